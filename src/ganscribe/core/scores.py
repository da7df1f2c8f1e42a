"""What a score is: the tables of scores are made of these, and whatever shows scores goes by the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Place = Literal["headline", "leaderboard", "report"]

# The report shows whatever is shown anywhere.
REPORT: frozenset[Place] = frozenset({"report"})
HEADLINE: frozenset[Place] = REPORT | {"headline"}
LEADERBOARD: frozenset[Place] = REPORT | {"leaderboard"}
EVERYWHERE: frozenset[Place] = HEADLINE | LEADERBOARD


@dataclass(frozen=True)
class Score:
    """A score: its name, what it is, which direction is better, and where it is shown.

    `better` is empty for a fact, such as a count. The headline is what metrics/*.json and `dvc metrics show`
    have: of all families together it is at most ten scores, in a table of 120 columns, so that one with a long
    name has another there, `short`.
    """

    name: str
    meaning: str
    better: Literal["higher", "lower", ""]
    shown: frozenset[Place]
    short: str = field(default="", kw_only=True)


TRAINED = Score("trained", "the part of the recipe that was trained: 1 for all of its steps", "", HEADLINE)


def headline(table: Iterable[Score], scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `scores` that the table shows in the headline, in its order, to four significant digits."""
    shown = {
        score.short or score.name: scores.get(score.name) for score in table if "headline" in score.shown
    }
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in shown.items()
        if value is not None
    }
