"""The tables of scores of all families, for what shows scores: the leaderboard and the report.

Stages that score one family import that family's table alone: a new score of a GAN changes no other stage.
"""

from __future__ import annotations

from ganscribe.core.scores import Score
from ganscribe.metrics.caption_scores import CAPTION_SCORES
from ganscribe.metrics.classifier_scores import CLASSIFIER_SCORES
from ganscribe.metrics.gan.scores import GAN_SCORES

FAMILIES: dict[str, tuple[Score, ...]] = {
    "gan": GAN_SCORES,
    "classifier": CLASSIFIER_SCORES,
    "captioner": CAPTION_SCORES,
}

# The score of a family by which its runs are put in order.
RANKING = {"gan": "fid", "classifier": "error", "captioner": "CIDEr"}


def find(family: str, name: str) -> Score | None:
    """Return the family's score of that name; None for whatever else a file of scores may hold."""
    return next((score for score in FAMILIES[family] if score.name == name), None)
