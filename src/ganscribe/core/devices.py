"""The device that is computed on, and the precision that it is fast at."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def choose_device() -> torch.device:
    """The device to compute on: `GANSCRIBE_DEVICE` where it is set, else CUDA where there is one."""
    import torch

    name = os.environ.get("GANSCRIBE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"GANSCRIBE_DEVICE={name}, but torch sees no CUDA device: unset it or set it to cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"GANSCRIBE_DEVICE={name} is no device: unset it or set it to cpu, cuda or cuda:1"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(
            f"GANSCRIBE_DEVICE={name}, but the last CUDA device that torch sees is cuda:{count - 1}"
        )
    return device


# Instructions that multiply bfloat16, by the names of `torch.cpu.get_capabilities`. oneDNN calls bfloat16
# supported on every AVX-512 machine and emulates it where these are missing: two to four times slower.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's


def explain_bf16(device: torch.device) -> tuple[bool, str]:
    """Return whether `device` is fast at bfloat16, and why, in a few words for people.

    A CPU goes by the instructions that `torch.cpu.get_capabilities` finds, a GPU by its compute capability.
    """
    import torch

    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}, native bfloat16 from 8.0 on"
    # A torch without that function (before 2.11) says nothing of the processor: fp32 is never slow.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    found = [name for name in BF16_INSTRUCTIONS if capabilities.get(name)]
    if found:
        return True, f"the processor has {', '.join(found)}"
    return False, f"the processor has none of {', '.join(BF16_INSTRUCTIONS)}"


@functools.cache
def _warn_of_emulation(device: torch.device) -> None:
    fast, reason = explain_bf16(device)
    if not fast:
        sys.stderr.write(
            f"precision bf16 is emulated on {device} ({reason}) and two to four times slower than fp32: "
            "`precision: auto` would take fp32\n"
        )


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return `bf16` or `fp32`: `auto` takes what the device is fast at, an explicit value never falls back.

    An explicit bf16 that the device can only emulate is warned of, once in a process. Raises ValueError for
    any other word.
    """
    if precision == "auto":
        return "bf16" if explain_bf16(device)[0] else "fp32"
    if precision not in ("bf16", "fp32"):
        raise ValueError(f"precision {precision!r} is unknown: use auto, bf16 or fp32")
    if precision == "bf16":
        _warn_of_emulation(device)
    return precision


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A context in which matrix products run in `precision` (`bf16` or `fp32`)."""
    import torch

    if precision == "bf16":
        # A cache of cast weights would outlive the CUDA graph that a step is captured in.
        return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=device.type != "cuda")
    return contextlib.nullcontext()
