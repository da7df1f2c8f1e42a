"""Every score of the table from one judge and the pixels; what is absent has no score."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ganscribe.core.length import Length
from ganscribe.core.scores import EVERYWHERE, REPORT, headline
from ganscribe.metrics.gan import scores
from ganscribe.metrics.gan.images import (
    Judged,
    class_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    sliced_wasserstein,
)
from ganscribe.metrics.gan.scores import GAN_SCORES, GanScore, Scored, score_gan


def judged(count: int, seed: int, classes: int = 4) -> Judged:
    rng = torch.Generator().manual_seed(seed)
    features, logits = (
        torch.randn(count, width, generator=rng, dtype=torch.float64) for width in (6, classes)
    )
    return Judged(features, logits)


@pytest.fixture
def scored() -> Scored:
    rng = torch.Generator().manual_seed(0)
    real, generated = (
        torch.randint(0, 256, (count, 1, 8, 8), generator=rng, dtype=torch.uint8) for count in (60, 50)
    )
    return Scored(
        judged(60, 1),
        judged(50, 2),
        seed=5,
        pixels=(real, generated),
        real_labels=torch.arange(60) % 4,
        floor=judged(40, 3),
        inception=Scored(judged(60, 4), judged(50, 5), seed=5),
        length=Length(15, 60),
    )


def test_the_table_names_what_is_computed(scored: Scored) -> None:
    found = score_gan(scored)
    assert list(found) == [score.name for score in GAN_SCORES]
    assert all(math.isfinite(value) for value in found.values())
    assert (found["num_samples"], found["trained"]) == (50, 0.25)
    both = precision_recall(scored.real.features, scored.generated.features)
    assert (found["precision"], found["recall"]) == both and both[0] != both[1]
    assert scored.pixels is not None
    assert found["swd"] == sliced_wasserstein(*scored.pixels, seed=5)
    assert found["is"] == inception_score(scored.generated.logits, seed=5)
    assert found["kid"] == kernel_distance(scored.real.features, scored.generated.features, seed=5)
    assert found["fid"] == frechet_distance(scored.real.features, scored.generated.features)
    assert scored.floor is not None and scored.real_labels is not None
    assert found["floor_fid"] == frechet_distance(scored.real.features, scored.floor.features)
    coverage = class_coverage(scored.generated.logits.argmax(1), scored.real_labels, 4)
    assert (found["modes"], found["kl"]) == (coverage.modes, coverage.kl)


def test_the_inception_network_scores_by_the_same_functions(scored: Scored) -> None:
    assert scored.inception is not None
    found, alone = score_gan(scored), score_gan(scored.inception)
    theirs = {name.removesuffix("_inception"): value for name, value in found.items() if "_inception" in name}
    theirs["is"] = theirs.pop("isc")
    assert theirs == {name: alone[name] for name in ("fid", "kid", "precision", "recall", "is")}
    assert theirs["fid"] != found["fid"]


def test_what_is_absent_has_no_score(scored: Scored) -> None:
    bare = Scored(scored.real, scored.generated, seed=5)
    whole, found = score_gan(scored), score_gan(bare)
    assert list(found) == ["fid", "kid", "is", "precision", "recall", "num_samples"]
    assert found.items() <= whole.items()
    assert set(headline(GAN_SCORES, whole)) == {"fid", "modes", "trained"}
    chosen = score_gan(replace(scored, real_labels=None))  # a run on chosen classes
    assert whole.keys() - chosen.keys() == {"modes", "kl"}


def test_scores_are_the_same_again_and_depend_on_the_seed_only_through_subsets(scored: Scored) -> None:
    again, other = score_gan(replace(scored)), score_gan(replace(scored, seed=6))
    assert score_gan(scored) == again
    assert other["fid"] == again["fid"]
    assert all(other[name] != again[name] for name in ("kid", "is", "swd"))


def test_precision_and_recall_are_computed_once(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*features: torch.Tensor) -> tuple[float, float]:
        calls.append(features)
        return precision_recall(*features)

    monkeypatch.setattr("ganscribe.metrics.gan.images.precision_recall", counted)
    score_gan(replace(scored, inception=None))
    assert len(calls) == 1


def test_a_row_is_all_that_a_new_score_takes(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(scored: Scored) -> float:
        return float(scored.generated.features.std())

    row = GanScore("spread", "standard deviation of the features", "higher", EVERYWHERE, spread)
    monkeypatch.setattr(scores, "GAN_SCORES", (*GAN_SCORES, row))
    found = score_gan(scored)
    assert found["spread"] == spread(scored)
    assert list(headline(scores.GAN_SCORES, found))[-1] == "spread"


def test_a_score_that_is_no_number_is_named(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    row = GanScore(
        "spread", "what a colleague forgot", "", REPORT, lambda scored: scored.generated.features.std()
    )  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(scores, "GAN_SCORES", (*GAN_SCORES, row))
    with pytest.raises(
        ValueError, match=r"^the function of the score 'spread' returned tensor.*: return a number"
    ):
        score_gan(scored)


def test_too_few_images_are_refused(scored: Scored) -> None:
    with pytest.raises(ValueError, match="3 images are too few to score: give at least 4"):
        score_gan(replace(scored, generated=judged(3, 2)))


def test_each_score_is_better_for_better_images(scored: Scored) -> None:
    """Samples of the real images' distribution, against others that are far from it, dark, and of one class."""

    def far(found: Judged) -> Judged:
        return Judged(found.features + 10, torch.zeros_like(found.logits))

    assert scored.pixels is not None and scored.inception is not None
    poor = replace(
        scored,
        generated=far(scored.generated),
        pixels=(scored.pixels[0], scored.pixels[1] // 4),
        inception=replace(scored.inception, generated=far(scored.inception.generated)),
    )
    good, bad = score_gan(scored), score_gan(poor)
    assert sum(bool(score.better) for score in GAN_SCORES) == 13
    for score in GAN_SCORES:
        change = {"higher": 1, "lower": -1, "": 0}[score.better] * (good[score.name] - bad[score.name])
        assert change > 0 or not score.better, score.name
