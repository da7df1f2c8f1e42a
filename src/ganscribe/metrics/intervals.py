"""How sure a corpus score of captions is: percentile bootstrap over images (Efron & Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ganscribe.core.seeds import stream_seed

Array = npt.NDArray[np.float64]
PerImage = Mapping[str, Array]  # one score per image (N,), or under BLEU the counts (N, 10) of `corpus_bleu`

BLEU = "BLEU"
METEOR = "METEOR"  # whose corpus score is made of statistics that only its Java knows: it has no interval
RESAMPLES = 2000
LEVEL = 0.95


def corpus_bleu(counts: Array) -> Array:
    """BLEU-1..4 (..., 4) of summed counts (..., 10), as pycocoevalcap has it (Papineni et al. 2002).

    Counts: words of the candidate, words of the reference nearest in length, then for n-grams of 1 to 4 words
    how many the candidate has, and how many of them a reference has.
    """
    words, reference, guesses, correct = np.split(counts, [1, 2, 6], axis=-1)
    precisions = (correct + 1e-15) / (guesses + 1e-9)
    means = np.exp(np.log(precisions).cumsum(-1) / np.arange(1, 5))
    ratio = (words + 1e-15) / (reference + 1e-9)
    return np.asarray(means * np.exp(np.minimum(0, 1 - 1 / ratio)))


def resampled_scores(per_image: PerImage, draws: Array) -> dict[str, Array]:
    """Each score (R,) of R resampled corpora; draws (R, N) says how often each has each image.

    The mean of the images' scores, and for BLEU the score of the summed counts. METEOR is left out, because the mean of
    its images' scores is another number than its corpus score.
    """
    scores: dict[str, Array] = {}
    for name, values in per_image.items():
        if name == BLEU:
            every = corpus_bleu(draws @ values)
            scores |= {f"BLEU-{n}": every[:, n - 1] for n in range(1, 5)}
        elif name != METEOR:
            scores[name] = draws @ values / draws.sum(1)
    return scores


def draw_images(num_images: int, *, seed: int, resamples: int = RESAMPLES) -> Array:
    """How often each of `num_images` comes in each resampled corpus of as many images: (R, N)."""
    generator = np.random.default_rng(stream_seed(seed, "bootstrap"))
    return generator.multinomial(num_images, [1 / num_images] * num_images, size=resamples).astype(np.float64)


def _percentiles(values: Array) -> dict[str, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"low": float(low), "high": float(high)}


def score_intervals(per_image: PerImage, *, seed: int) -> dict[str, dict[str, float]]:
    """95% intervals by score, {"low": ..., "high": ...}: percentiles over 2,000 corpora of as many images.

    They say how the scores of one trained model vary with the images, not with its training. CIDEr's document
    frequencies stay those of all images.
    """
    draws = draw_images(len(next(iter(per_image.values()))), seed=seed)
    return {name: _percentiles(values) for name, values in resampled_scores(per_image, draws).items()}


def difference_intervals(first: PerImage, second: PerImage, *, seed: int) -> dict[str, dict[str, float]]:
    """`first` less `second` on the same images, by score: {"difference", "low", "high"}, a paired bootstrap.

    Both are scored on the same resampled corpora, so that what makes an image easy for both drops out.
    Raises ValueError for different scores or numbers of images.
    """
    sizes = [{name: values.shape for name, values in side.items()} for side in (first, second)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"the two are not scored alike on the same images: {sizes[0]} and {sizes[1]}")
    num_images = len(next(iter(first.values())))
    draws = np.concatenate([np.ones((1, num_images)), draw_images(num_images, seed=seed)])  # first, all as is
    one, other = resampled_scores(first, draws), resampled_scores(second, draws)
    return {
        name: {
            "difference": float((one[name] - other[name])[0]),
            **_percentiles((one[name] - other[name])[1:]),
        }
        for name in one
    }
