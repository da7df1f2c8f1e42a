"""The scores of a GAN, in one table. To add one, write a function of `Scored` and a row of `GAN_SCORES`.

The row alone has evaluate_gan compute the score and the leaderboard, the report and `dvc metrics show` show it.
Those three import this table without torch, so the functions import what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ganscribe.core.scores import EVERYWHERE, LEADERBOARD, REPORT, TRAINED, Score

if TYPE_CHECKING:
    from torch import Tensor

    from ganscribe.core.length import Length
    from ganscribe.metrics.gan.images import Coverage, Judged


@dataclass(frozen=True)
class Scored:
    """What a judge and the pixels say of real and of generated images; what is None has no scores.

    `pixels`: the real and the generated images, (N, C, H, W) uint8 each. `real_labels`: the classes of the real
    ones, (N,), where every class of the judge is among them. `floor`: what the judge says of other real images.
    `inception`: the same images as the FID Inception network sees them. `length`: how far the GAN was trained.
    """

    real: Judged
    generated: Judged
    seed: int
    pixels: tuple[Tensor, Tensor] | None = None
    real_labels: Tensor | None = None
    floor: Judged | None = None
    inception: Scored | None = None
    length: Length | None = None

    @cached_property
    def precision_recall(self) -> tuple[float, float]:
        """Precision and recall, which are computed together."""
        from ganscribe.metrics.gan.images import precision_recall

        return precision_recall(self.real.features, self.generated.features)

    @cached_property
    def coverage(self) -> Coverage | None:
        """The classes that were generated, by the judge's labels."""
        from ganscribe.metrics.gan.images import class_coverage

        if self.real_labels is None:
            return None
        logits = self.generated.logits
        return class_coverage(logits.argmax(1), self.real_labels, logits.shape[1])


@dataclass(frozen=True)
class GanScore(Score):
    """A score with the function that computes it; None is for images that have no such score."""

    compute: Callable[[Scored], float | None]


def _fid(scored: Scored) -> float:
    from ganscribe.metrics.gan.images import frechet_distance

    return frechet_distance(scored.real.features, scored.generated.features)


def _kid(scored: Scored) -> float:
    from ganscribe.metrics.gan.images import kernel_distance

    return kernel_distance(scored.real.features, scored.generated.features, seed=scored.seed)


def _inception_score(scored: Scored) -> float:
    from ganscribe.metrics.gan.images import inception_score

    return inception_score(scored.generated.logits, seed=scored.seed)


def _precision(scored: Scored) -> float:
    return scored.precision_recall[0]


def _recall(scored: Scored) -> float:
    return scored.precision_recall[1]


def _modes(scored: Scored) -> int | None:
    return scored.coverage.modes if scored.coverage else None


def _kl(scored: Scored) -> float | None:
    return scored.coverage.kl if scored.coverage else None


def _swd(scored: Scored) -> float | None:
    from ganscribe.metrics.gan.images import sliced_wasserstein

    return sliced_wasserstein(*scored.pixels, seed=scored.seed) if scored.pixels else None


def _floor_fid(scored: Scored) -> float | None:
    from ganscribe.metrics.gan.images import frechet_distance

    return frechet_distance(scored.real.features, scored.floor.features) if scored.floor else None


def _trained(scored: Scored) -> float | None:
    return scored.length.share if scored.length else None


def _num_samples(scored: Scored) -> int:
    return len(scored.generated.features)


def _by_inception(compute: Callable[[Scored], float | None]) -> Callable[[Scored], float | None]:
    """Return `compute` on the features of the FID Inception network."""
    return lambda scored: compute(scored.inception) if scored.inception else None


GAN_SCORES: tuple[GanScore, ...] = (
    GanScore("fid", "Fréchet distance to real images, by the judge's features", "lower", EVERYWHERE, _fid),
    GanScore("kid", "kernel distance (MMD²) to real images, by the same", "lower", LEADERBOARD, _kid),
    GanScore("is", "Inception Score by the judge's class scores", "higher", LEADERBOARD, _inception_score),
    GanScore("precision", "share of samples that lie among real images", "higher", LEADERBOARD, _precision),
    GanScore("recall", "share of real images that lie among samples", "higher", LEADERBOARD, _recall),
    GanScore("modes", "classes that are generated, by the judge's labels", "higher", EVERYWHERE, _modes),
    GanScore("kl", "KL divergence of their shares from the real ones, in nats", "lower", REPORT, _kl),
    GanScore("swd", "sliced Wasserstein distance of pixels", "lower", LEADERBOARD, _swd),
    GanScore(**vars(TRAINED), compute=_trained),
    GanScore("floor_fid", "FID of other real images", "", REPORT, _floor_fid),
    GanScore("num_samples", "images that were generated and scored", "", REPORT, _num_samples),
    GanScore("fid_inception", "FID by the FID Inception network", "lower", REPORT, _by_inception(_fid)),
    GanScore("kid_inception", "KID by that network", "lower", REPORT, _by_inception(_kid)),
    GanScore("isc_inception", "IS by that network", "higher", REPORT, _by_inception(_inception_score)),
    GanScore("precision_inception", "precision by that network", "higher", REPORT, _by_inception(_precision)),
    GanScore("recall_inception", "recall by that network", "higher", REPORT, _by_inception(_recall)),
)


def score_gan(scored: Scored) -> dict[str, float]:
    """Compute every score of the table that these images have, in the order of the table.

    Raises ValueError for sets of fewer than four images (precision and recall look at three neighbours), and for a
    score that is not a number.
    """
    from ganscribe.metrics.gan.images import NEIGHBOURHOOD

    smallest = min(len(scored.real.features), len(scored.generated.features))
    if smallest <= NEIGHBOURHOOD:
        raise ValueError(f"{smallest} images are too few to score: give at least {NEIGHBOURHOOD + 1} of each")
    computed = {score.name: score.compute(scored) for score in GAN_SCORES}
    for name, value in computed.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(
                f"the function of the score {name!r} returned {value!r}: return a number, as float() does"
            )
    return {name: value for name, value in computed.items() if value is not None}
