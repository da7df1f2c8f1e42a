"""Trainings on several workers of a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ganscribe.core.devices import resolve_precision
from ganscribe.execution.checkpoint import Checkpoint, Interrupted
from ganscribe.execution.engines.cluster import connected, engine, num_workers, takes_gpus
from ganscribe.execution.progress import progress

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")
Log = Callable[[int, dict[str, float]], None]

MAX_FAILURES = 3  # of workers, after which a training is given up
POLL_SECONDS = 1.0


class SharedCheckpoint(Checkpoint):
    """The checkpoint of a training on several workers: the first worker writes it, even after the last step."""

    def __init__(self, directory: Path, *, every_seconds: float, is_first: bool) -> None:
        super().__init__(directory, every_seconds=every_seconds)
        self.is_first = is_first

    def due(self, *, last: bool = False) -> bool:
        """Return, for the first worker, what `Checkpoint.due` does, and True at the last step."""
        self.loaded = None  # a step was taken: an error from now on is not the state's
        return self.is_first and (last or super().due())


def train(
    function: Callable[..., Result],
    *data: Any,
    budget: Any,
    device: torch.device,
    checkpoint: Checkpoint,
    log: Log,
    **settings: Any,
) -> Result:
    """Train on the chosen engine; return `function(*data, budget=budget, device=device, ...)`.

    On Ray, GANSCRIBE_WORKERS workers share each batch: on GPUs if `device` is one (by default on all), else on CPUs (by
    default one worker). `share_cpus` says how many CPUs each has. All train in the precision that `budget` means on
    `device`. Rows are logged as their checkpoints appear. A worker that dies is replaced, and all workers continue from
    the last checkpoint. Raises ValueError for what `function` refuses, if the number of workers does not divide the
    batch and if the cluster has no room for so many, and Interrupted if a signal came; the last checkpoint is then
    kept.
    """
    if engine() == "local":
        return function(*data, budget=budget, device=device, checkpoint=checkpoint, log=log, **settings)
    # What `auto` means here is recorded, and a worker's machine may be fast at something else.
    budget = dataclasses.replace(budget, precision=resolve_precision(budget.precision, device))
    settings["budget"] = budget
    seen: set[int] = set()

    def log_once(step: int, row: dict[str, float]) -> None:
        if step not in seen:
            seen.add(step)
            log(step, row)
            bar.update()

    with connected() as ray, progress(None, "training on ray", "row") as bar:
        _train_on(ray, function, data, settings, device, checkpoint, log_once)
    return function(*data, device=device, checkpoint=checkpoint, log=log_once, **settings)


def _train_on(
    ray: Any,
    function: Callable[..., Any],
    data: tuple[Any, ...],
    settings: dict[str, Any],
    device: torch.device,
    checkpoint: Checkpoint,
    log: Log,
) -> None:
    on_gpus = takes_gpus(ray, device)
    workers = num_workers(int(ray.cluster_resources()["GPU"]) if on_gpus else 1)
    cpus = share_cpus(ray, workers, on_gpus=on_gpus)

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    config = {
        "work": ray.put((function, data, settings)),
        "device": None if on_gpus else device,
        "folder": str(checkpoint.directory.resolve()),
        "every_seconds": checkpoint.every_seconds,
    }
    trainer = TorchTrainer(
        _work,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=on_gpus,
            resources_per_worker={"CPU": cpus},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(checkpoint.directory.resolve() / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    with ThreadPoolExecutor(1) as pool:
        fitting = pool.submit(trainer.fit)
        written = 0.0
        while not fitting.done():
            time.sleep(POLL_SECONDS)
            if checkpoint.stop_signal is not None:
                ray.shutdown()  # this ends the workers too; the error with which `fit` ends adds nothing
                raise Interrupted("the training was stopped; its last checkpoint is kept")
            with contextlib.suppress(FileNotFoundError):
                changed = (checkpoint.directory / "state.pt").stat().st_mtime
                if changed > written:
                    written = changed
                    state = Checkpoint(checkpoint.directory, every_seconds=0).load()
                    for row in state["history"] if state else []:
                        log(int(row["step"]), row)
        _reraise(fitting.exception())


def share_cpus(ray: Any, workers: int, *, on_gpus: bool) -> int:
    """Return how many CPUs each of `workers` can have: as many as possible, up to an equal part of the cluster's.

    On GPUs each worker has one, and CPUs beside it, possibly none. Ray would wait for ever for what no node has. Raises
    ValueError if there is no room for so many workers.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def room(cpus: int) -> int:
        places = ((node.get("CPU", 0) // cpus if cpus else math.inf, node.get("GPU", 0)) for node in nodes)
        return sum(int(min(place) if on_gpus else place[0]) for place in places)

    most = int(sum(node.get("CPU", 0) for node in nodes)) // workers
    for cpus in range(most, -1 if on_gpus else 0, -1):
        if room(cpus) >= workers:
            return cpus
    kind = "GPU" if on_gpus else "CPU"
    raise ValueError(
        f"the Ray cluster has no {kind} for each of {workers} workers, only for {room(0 if on_gpus else 1)}: lower"
        " GANSCRIBE_WORKERS"
    )


def _reraise(error: BaseException | None) -> None:
    """Raise a user's mistake as the error that it was on the worker, and anything else as it came."""
    if error is None:
        return
    for failure in getattr(error, "worker_failures", {}).values():
        cause = getattr(failure, "cause", None) or failure
        if isinstance(cause, ValueError | OSError):
            raise type(cause)(str(cause)) from error
    raise error


def _work(config: dict[str, Any]) -> None:
    """Train as one worker."""
    import ray
    import ray.train.torch

    function, data, settings = ray.get(config["work"])
    is_first = ray.train.get_context().get_world_rank() == 0
    checkpoint = SharedCheckpoint(
        Path(config["folder"]), every_seconds=config["every_seconds"], is_first=is_first
    )
    device = config["device"] or ray.train.torch.get_device()
    with checkpoint.explaining():
        function(*data, device=device, checkpoint=checkpoint, **settings)
