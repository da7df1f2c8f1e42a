"""What every training takes up again: the states of random generators, the rows that it has logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Row = dict[str, float]
Log = Callable[[int, Row], None]


def random_states(device: torch.device, **own: torch.Generator) -> dict[str, Tensor]:
    """Return the states of torch's generators, the device's among them, and of the training's `own`."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states | {name: generator.get_state() for name, generator in own.items()}


def restore_random_states(states: Mapping[str, Tensor], device: torch.device, **own: torch.Generator) -> None:
    """Put back what `random_states` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    for name, generator in own.items():
        generator.set_state(states[name])


def replay(history: Sequence[Row], log: Log | None) -> None:
    """Log again the rows that a resumed training had before: its MLflow run may have lost them."""
    for row in history if log else ():
        log(int(row["step"]), row)  # type: ignore[misc]
