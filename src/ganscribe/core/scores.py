"""What a score is: the tables of scores are made of these, and whatever shows scores goes by the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    have.
    """

    name: str
    meaning: str
    better: Literal["higher", "lower", ""]
    shown: frozenset[Place]


def headline(table: Iterable[Score], scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `scores` that the table shows in the headline, in the order of the table."""
    shown = (score.name for score in table if "headline" in score.shown)
    return {name: scores[name] for name in shown if name in scores}
