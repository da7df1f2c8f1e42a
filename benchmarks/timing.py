"""What a step costs, the tutorial's way and ours, which take turns: without set-up, warm-up and capturing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Span = tuple[int, int]  # the steps of a short run and of a long one
Shown = Callable[[float], float]  # from seconds per step to what the table shows


def milliseconds(seconds: float) -> float:
    """Return the milliseconds of each."""
    return 1000 * seconds


def per_second(seconds: float) -> float:
    """Return how many a second."""
    return 1 / seconds


class TooBusyError(RuntimeError):
    """The machine does so much else that a long run took no longer than a short one."""


@dataclass(frozen=True, kw_only=True)
class Spans:
    """The steps of the tutorial's runs and of ours."""

    tutorial: Span
    ours: Span


def alike(few: int, many: int) -> Spans:
    """Return the same span for both."""
    return Spans(tutorial=(few, many), ours=(few, many))


# On a card our set-up takes as long as hundreds of our steps.
CARD_SPANS = Spans(tutorial=(5, 105), ours=(50, 1050))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is done in two ways.

    `tutorial(steps)` and `ours(steps, precision)` take about so many steps, and return how many they took.
    """

    name: str
    tutorial: Callable[[int], int]
    ours: Callable[[int, str], int]
    cpu: Spans
    card: Spans = CARD_SPANS
    unit: str = "ms"
    shown: Shown = milliseconds


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: medians over turns, in `unit`; ours, and how many times as fast, by precision."""

    work: str
    unit: str
    tutorial: float
    ours: dict[str, float]
    ratios: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where, in which precisions of ours, and how often is measured."""

    device: torch.device
    precisions: tuple[str, ...]
    turns: int = 3
    clock: Callable[[], float] = time.perf_counter

    def cost(self, run: Callable[[int], int], span: Span) -> float:
        """Return the seconds of a step: the difference of two runs, divided by that of their steps.

        Raises TooBusyError where the longer run was not longer.
        """
        taken, seconds = [], []
        for steps in span:
            start = self.clock()
            taken.append(run(steps))
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            seconds.append(self.clock() - start)
        if seconds[1] <= seconds[0]:
            raise TooBusyError(
                f"{taken[1]} steps took {seconds[1]:.2f} s, and {taken[0]} steps {seconds[0]:.2f} s: "
                "measure on an idle machine"
            )
        return (seconds[1] - seconds[0]) / (taken[1] - taken[0])

    def measure(self, work: Work) -> Row:
        """Let the ways take turns: whatever slows the machine down slows all of them.

        A ratio is the median of the turns' own. Short runs before the first turn warm up.
        """
        spans = work.cpu if self.device.type == "cpu" else work.card
        ours = {
            precision: lambda steps, precision=precision: work.ours(steps, precision)
            for precision in self.precisions
        }
        work.tutorial(spans.tutorial[0])
        for run in ours.values():
            run(spans.ours[0])
        turns = [
            (
                self.cost(work.tutorial, spans.tutorial),
                {precision: self.cost(run, spans.ours) for precision, run in ours.items()},
            )
            for _ in range(self.turns)
        ]
        median = statistics.median
        return Row(
            work=work.name,
            unit=work.unit,
            tutorial=work.shown(median(theirs for theirs, _ in turns)),
            ours={key: work.shown(median(costs[key] for _, costs in turns)) for key in ours},
            ratios={key: median(theirs / costs[key] for theirs, costs in turns) for key in ours},
        )
