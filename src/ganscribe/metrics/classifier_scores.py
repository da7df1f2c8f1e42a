"""The scores of a classifier, in one table."""

from __future__ import annotations

from ganscribe.core.scores import HEADLINE, LEADERBOARD, REPORT, TRAINED, Score

CLASSIFIER_SCORES: tuple[Score, ...] = (
    Score("accuracy", "share of test images that get the right class", "higher", HEADLINE),
    Score("calibration_error", "expected calibration error, 15 bins of confidence", "lower", LEADERBOARD),
    Score("nll", "mean negative log-likelihood of the right class, in nats", "lower", LEADERBOARD),
    # Not in the headline: `dvc metrics show` takes a metric called `error` for a failure.
    Score("error", "share of test images that get another class", "lower", LEADERBOARD),
    TRAINED,
    Score("parameters", "trained parameters", "", LEADERBOARD),
    Score("flops", "floating-point operations for one image", "", REPORT),
)
