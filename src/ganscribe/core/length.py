"""How far a training went: a scale's cap may end it long before its recipe does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ganscribe.core.scores import TRAINED

# A run that did less of its recipe was exercised: it shows that it works, and its scores and pictures mean nothing.
MEANINGFUL_SHARE = 0.1


@dataclass(frozen=True)
class Length:
    """The steps that were trained, and those that the recipe has on the same data."""

    trained_steps: int
    recipe_steps: int

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Length:
        """Return the length that is among `facts`: a model's training.json, or the scores of a run."""
        return cls(int(facts["trained_steps"]), int(facts["recipe_steps"]))

    @classmethod
    def find(cls, facts: Mapping[str, Any]) -> Length | None:
        """Return the length that is among `facts`; None for those of an earlier version, which say nothing of it."""
        return cls.read(facts) if {"trained_steps", "recipe_steps"} <= set(facts) else None

    @property
    def facts(self) -> dict[str, int]:
        """What training.json and scores say of it, and `read` reads."""
        return asdict(self)

    @property
    def share(self) -> float:
        """The part of the recipe that was trained, from 0 to 1."""
        return min(1.0, self.trained_steps / self.recipe_steps)

    @property
    def scores(self) -> dict[str, float]:
        """What the scores of a run say of it: the facts, and the share under its name in the tables of scores."""
        return self.facts | {TRAINED.name: self.share}

    @property
    def is_whole(self) -> bool:
        """Whether no cap has ended the run."""
        return self.trained_steps >= self.recipe_steps

    @property
    def is_exercised(self) -> bool:
        """Whether a cap ended the run so early that what came out means nothing."""
        return self.share < MEANINGFUL_SHARE

    def __str__(self) -> str:
        """Say it in words: `15 of 3,905 steps`, or `3,905 steps` for a whole recipe."""
        return f"{self.trained_steps:,}{'' if self.is_whole else f' of {self.recipe_steps:,}'} steps"

    @property
    def note(self) -> str:
        """What the reader of a figure has to know: nothing of a whole run, else how much of it there was."""
        if self.is_whole:
            return ""
        return f"only exercised, {self}" if self.is_exercised else str(self)

    def label(self, name: str) -> str:
        """Return the `name` of the run, with the note where there is one."""
        return f"{name}: {self.note}" if self.note else name

    def title(self, name: str) -> str:
        """Return what stands above a picture of the run, which needs no title where no cap has ended it."""
        return self.label(name) if self.note else ""


def is_exercised(facts: Mapping[str, Any]) -> bool:
    """Return whether `facts` are of a run that was only exercised; those that do not say so are not."""
    length = Length.find(facts)
    return length is not None and length.is_exercised


def labels(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return a figure's labels of some runs (name: facts)."""
    found = {name: Length.find(each) for name, each in facts.items()}
    return {name: length.label(name) if length else name for name, length in found.items()}


def exercised_sentence(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence, after a space, that names those of some runs (name: facts) that were only exercised."""
    found = {name: Length.find(each) for name, each in facts.items()}
    named = [f"{name} ({length})" for name, length in found.items() if length and length.is_exercised]
    return (
        f" Only exercised at this scale, so that their scores mean nothing: {', '.join(named)}."
        if named
        else ""
    )
