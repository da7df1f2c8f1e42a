"""Which engine does the work, how many workers, and the connection to Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def engine() -> str:
    """Return `local` or `ray`, by GANSCRIBE_ENGINE. Raises ValueError for another name."""
    name = os.environ.get("GANSCRIBE_ENGINE") or "local"
    if name not in ("local", "ray"):
        raise ValueError(f"GANSCRIBE_ENGINE={name} is unknown: use local or ray")
    return name


def num_workers(available: int) -> int:
    """Return GANSCRIBE_WORKERS, or `available` if it is not set. Raises ValueError if it is not a number."""
    name = os.environ.get("GANSCRIBE_WORKERS") or str(available)
    if not name.isdecimal() or int(name) < 1:
        raise ValueError(f"GANSCRIBE_WORKERS={name} is not a number of workers: use 1 or more, or unset it")
    return int(name)


def takes_gpus(ray: Any, device: torch.device) -> bool:
    """Return whether the cluster's GPUs do the work: if `device`, that of the stage's own process, is one.

    That process prepares the work and takes up its result, which a GPU leaves for a GPU. Raises ValueError if it has a
    GPU and the cluster has none, and, unless GANSCRIBE_DEVICE is set, the other way round.
    """
    has_gpus = "GPU" in ray.cluster_resources()
    if device.type == "cuda" and not has_gpus:
        raise ValueError(f"the device is {device}, and the Ray cluster has no GPU: set GANSCRIBE_DEVICE=cpu")
    if has_gpus and device.type != "cuda" and not os.environ.get("GANSCRIBE_DEVICE"):
        raise ValueError(
            "the Ray cluster has GPUs, and torch sees none where this stage runs, which needs one too: run it on a node"
            " with a GPU, or set GANSCRIBE_DEVICE=cpu to compute on CPUs alone"
        )
    return device.type == "cuda"


def _knock(address: str | None) -> None:
    """Raise OSError if nobody listens at host:port, where ray.init would try again and again."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """Connect Ray to RAY_ADDRESS, or to a temporary cluster on this machine alone."""
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError(
            "GANSCRIBE_ENGINE=ray needs Ray: install the extra `ganscribe[ray]`, or unset GANSCRIBE_ENGINE"
        ) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    was_there = ray.is_initialized()
    if not was_there:
        # Workers use the package of this checkout, as in stages/_common.py, and do not change to a trial's folder.
        source = str(Path(__file__).resolve().parents[3])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        address = os.environ.get("RAY_ADDRESS")
        try:
            _knock(address)
            ray.init(
                include_dashboard=False,
                log_to_driver=False,  # errors arrive as exceptions; progress bars of all workers at once help nobody
                logging_level=logging.WARNING,
                runtime_env={"env_vars": {"PYTHONPATH": source, "RAY_CHDIR_TO_TRIAL_DIR": "0"}},
            )
        except (OSError, RuntimeError, ray.exceptions.RayError) as error:
            if not address:
                raise
            reason = str(error).strip().splitlines()[-1][:300]
            raise ValueError(f"RAY_ADDRESS={address} cannot be joined: {reason}") from error
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray's handler aborts with a dump, a checkpoint's asks for a stop
    try:
        yield ray
    finally:
        if not was_there:
            ray.shutdown()
