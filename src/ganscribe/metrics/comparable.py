"""What scores must have in common to be compared: the judge, the counts, and the very data that were scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# `data_sha256` digests what was scored: the real images of a GAN, the test images of a classifier with their labels,
# the test pictures of a captioner with their references. Scores of an earlier version of the project do not have it.
SAME: dict[str, tuple[str, ...]] = {
    "gan": ("dataset", "source", "judge", "judge_sha256", "num_samples", "num_real", "data_sha256"),
    "classifier": ("dataset", "source", "num_images", "data_sha256"),
    "captioner": ("num_images", "num_references", "data_sha256", "tokeniser"),
}
# What an earlier version of the project had, and did not say.
UNSAID = {"tokeniser": "tutorial"}

UNKNOWN_DATA = (
    "an earlier version of the project did not record which data were scored (`dvc repro` scores the models of this"
    " folder again)"
)


def made_of(family: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the scores of a family's run were made of; None for what they do not say.

    Two sets of scores may stand in one table, and one be called better, where this is equal.
    """
    return {key: scores.get(key, UNSAID.get(key)) for key in SAME[family]}


def is_known(facts: Mapping[str, Any]) -> bool:
    """Return whether scores that were made of `facts` say which data were scored."""
    return facts.get("data_sha256") is not None
