"""The bootstrap against brute force, pycocoevalcap and closed forms."""

import math

import numpy as np
import pytest

from ganscribe.metrics.intervals import (
    corpus_bleu,
    difference_intervals,
    draw_images,
    resampled_scores,
    score_intervals,
)

REFERENCES = [
    ["a man rides a wave on a board", "a surfer on a big wave"],
    ["two dogs play with a ball in the grass", "dogs playing", "two brown dogs with a ball"],
    ["a cup of tea on a table", "there is a cup on a wooden table"],
    ["an elephant in the zoo", "elephants eat grass"],
]
CANDIDATES = [
    "a man on a wave",
    "two dogs play with a red ball in the grass",
    "",
    "an elephant in a zoo eats the grass",
]


def counts() -> np.ndarray:
    """Count independently what each image adds to BLEU."""
    rows = []
    for refs, candidate in zip(REFERENCES, CANDIDATES, strict=True):
        words = candidate.split()
        length = min((abs(len(ref.split()) - len(words)), len(ref.split())) for ref in refs)[1]
        guesses, correct = [], []
        for n in (1, 2, 3, 4):
            grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
            known = [[tuple(ref.split()[i : i + n]) for i in range(len(ref.split()) - n + 1)] for ref in refs]
            guesses.append(len(grams))
            correct.append(sum(min(grams.count(g), max(k.count(g) for k in known)) for g in set(grams)))
        rows.append([len(words), length, *guesses, *correct])
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("draw", [[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 0, 1], [0, 0, 4, 0]])
def test_bleu_of_a_resampled_corpus_is_pycocoevalcaps(draw: list[int]) -> None:
    from pycocoevalcap.bleu.bleu import Bleu

    images = [image for image, times in enumerate(draw) for _ in range(times)]
    expected, _ = Bleu(4).compute_score(
        {number: REFERENCES[image] for number, image in enumerate(images)},
        {number: [CANDIDATES[image]] for number, image in enumerate(images)},
        verbose=0,
    )
    found = resampled_scores({"BLEU": counts()}, np.array([draw], dtype=np.float64))
    assert [found[f"BLEU-{n}"][0] for n in (1, 2, 3, 4)] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert corpus_bleu(np.array(draw) @ counts()) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_means_and_draws_by_brute_force() -> None:
    draws = draw_images(7, seed=3, resamples=50)
    assert draws.shape == (50, 7) and draw_images(7, seed=3).shape == (2000, 7) and (draws.sum(1) == 7).all()
    assert (draws == draw_images(7, seed=3, resamples=50)).all()
    assert (draws != draw_images(7, seed=4, resamples=50)).any()
    values = np.random.default_rng(0).random(7)
    found = resampled_scores({"CIDEr": values}, draws)["CIDEr"]
    for row, score in zip(draws, found, strict=True):
        images = [image for image in range(7) for _ in range(int(row[image]))]
        assert score == pytest.approx(np.mean([values[image] for image in images]))


def test_intervals_of_means_come_near_the_normal_ones() -> None:
    values = np.random.default_rng(1).normal(5, 2, 4000)
    found = score_intervals({"CIDEr": values}, seed=0)["CIDEr"]
    error = 1.96 * values.std() / math.sqrt(4000)
    assert found["low"] == pytest.approx(values.mean() - error, abs=0.1 * error)
    assert found["high"] == pytest.approx(values.mean() + error, abs=0.1 * error)
    one = score_intervals({"CIDEr": np.array([0.5]), "BLEU": counts()[:1]}, seed=0)
    assert one["CIDEr"] == {"low": 0.5, "high": 0.5} and one["BLEU-1"]["low"] == one["BLEU-1"]["high"]


def test_meteor_has_no_interval() -> None:
    """Its corpus score, of summed statistics, may lie outside every interval of the mean of its images' scores."""
    each = {"CIDEr": np.array([0.5, 0.7]), "METEOR": np.array([0.9, 0.8])}
    assert set(score_intervals(each, seed=0)) == set(difference_intervals(each, each, seed=0)) == {"CIDEr"}


def test_a_paired_difference_is_surer_than_its_sides() -> None:
    rng = np.random.default_rng(2)
    easy = rng.normal(1, 1, 300)  # what makes an image easy for both
    first = {"CIDEr": easy + 0.2 + rng.normal(0, 0.1, 300), "BLEU": np.tile(counts(), (75, 1))}
    second = {"CIDEr": easy, "BLEU": first["BLEU"]}
    found = difference_intervals(first, second, seed=0)
    assert found["CIDEr"]["difference"] == pytest.approx((first["CIDEr"] - easy).mean())
    assert 0.15 < found["CIDEr"]["low"] < 0.2 < found["CIDEr"]["high"] < 0.25
    assert found["BLEU-4"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    width = [found["CIDEr"]["high"] - found["CIDEr"]["low"]]
    width += [row["high"] - row["low"] for row in [score_intervals({"CIDEr": easy}, seed=0)["CIDEr"]]]
    assert width[0] < width[1] / 5
    with pytest.raises(ValueError, match="not scored alike"):
        difference_intervals(first, {"CIDEr": easy}, seed=0)
