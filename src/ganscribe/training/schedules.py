"""Learning-rate schedules: factors on the rate, by name, each with options of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ganscribe.core.registry import option_names

ScheduleName = Literal["constant", "linear", "cosine", "step"]
Schedule = Callable[[float], float]


def constant(done: float) -> float:
    """The rate of the recipe, all along."""
    return 1.0


def linear(done: float) -> float:
    """A straight line from the recipe's rate to 0."""
    return 1.0 - done


def cosine(done: float) -> float:
    """Half a cosine from the recipe's rate to 0: Loshchilov and Hutter 2016 (1608.03983), eq. 5."""
    return (1 + math.cos(math.pi * done)) / 2


def step(done: float, *, factor: float = 0.1, at: Sequence[float] = (0.5, 0.75)) -> float:
    """The rate times `factor` at each part of the training in `at`: He et al. 2015 (1512.03385)."""
    return math.prod([factor for part in at if done >= part])


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "step": step,
}


def build_schedule(name: str, steps: int, options: Mapping[str, Any] | None = None) -> Schedule:
    """Return the schedule `name`: the part of the training that is done, in [0, 1), to the factor.

    `options` are its own (see the functions above), and for every schedule `warm_up`, the steps over which
    the rate rises in a line (Goyal et al. 2017, 1706.02677, section 2.2). They are steps of the whole
    recipe, `steps` long: a training that is cut short has as much less of them. Raises ValueError for an
    unknown name or option, and for a warm-up that is not shorter than the training.
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule {name!r} is unknown: choose one of {', '.join(sorted(SCHEDULES))}")
    own = dict(options or {})
    warm_up = own.pop("warm_up", 0)
    taken = [*option_names(SCHEDULES[name]), "warm_up"]
    for option in own:
        if option not in taken:
            raise ValueError(f"schedule {name!r} has no option {option!r}: it takes {', '.join(taken)}")
    if not (isinstance(warm_up, int) and 0 <= warm_up < steps):
        raise ValueError(f"schedule_options.warm_up {warm_up!r} must be a number of steps below {steps}")

    def factor(done: float) -> float:
        rise = min(1.0, (done * steps + 1) / warm_up) if warm_up else 1.0
        return rise * SCHEDULES[name](done, **own)

    return factor
