"""Random streams by name, and the seed of everything else."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the random stream `names` of `seed`; streams are independent of each other."""
    digest = hashlib.sha256("/".join([str(seed), *map(str, names)]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the random stream `names` of `seed`."""
    import torch

    return torch.Generator(device).manual_seed(stream_seed(seed, *names))


def seed_everything(seed: int) -> None:
    """Seed torch's global generator and hold it to deterministic kernels (initialisation, dropout)."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(stream_seed(seed, "global"))
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports the compiler: 2 s
    # Filling what is overwritten anyway takes a tenth of a small network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
