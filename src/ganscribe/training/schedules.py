"""Learning-rate schedules: factors on the rate, by name."""

from __future__ import annotations

import math
from collections.abc import Callable

# progress of the training in [0, 1) -> factor on the learning rate
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "step": lambda done: 0.1 ** ((done >= 0.5) + (done >= 0.75)),  # a tenth at 1/2 and at 3/4
}


def find_schedule(name: str) -> Callable[[float], float]:
    """The schedule `name`; ValueError for an unknown one."""
    if name not in SCHEDULES:
        raise ValueError(f"schedule {name!r} is unknown: choose one of {', '.join(sorted(SCHEDULES))}")
    return SCHEDULES[name]
