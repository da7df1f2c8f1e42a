"""Made-up captions and made-up attention, scored by hand and by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ganscribe.metrics.objects import Target, naming_word, score_objects

STAR = Target("red", "star", (10.0, 20.0, 50.0, 60.0))


@pytest.mark.parametrize(
    ("caption", "place"),
    [
        ("a red star on a white background", 2),
        ("red star", 1),
        ("a blue circle and a red star", 6),
        ("a red star above a red star", 2),
        ("a red circle and a red star", 6),
        ("a red circle and a blue star", None),  # both words, of two things
        ("a star that is red", None),
        ("a red big star", None),
        ("a red stars", None),
        ("star red", None),
        ("star", None),
        ("", None),
    ],
)
def test_an_object_is_named_by_its_shape_right_after_its_colour(caption: str, place: int | None) -> None:
    assert naming_word(caption.split(), "red", "star") == place


def test_scores_of_four_captions_by_hand() -> None:
    inside, outside, corner = (30.0, 30.0), (51.0, 30.0), (50.0, 60.0)
    captions = ["a red star", "a red star", "a blue star", "red star here"]
    peaks = [
        [outside, outside, inside],  # only the shape word's own attention counts
        [inside, inside, outside],
        [inside, inside, inside],  # named wrongly: does not count, wherever the attention is
        [outside, corner, outside],
    ]
    scores, named = score_objects([STAR] * 4, [one.split() for one in captions], peaks)
    assert scores == {"object_accuracy": 3 / 4, "attention_on_object": 2 / 3}
    np.testing.assert_array_equal(named, [1, 1, 0, 1])


def test_what_cannot_be_told() -> None:
    scores, named = score_objects([STAR], [["a", "heart"]], [[(30, 30), (30, 30)]])
    assert scores == {"object_accuracy": 0.0} and named.tolist() == [0]
    assert score_objects([STAR], [[]], [[]])[0] == {"object_accuracy": 0.0}
    with pytest.raises(ValueError, match="no captions"):
        score_objects([], [], [])
    with pytest.raises(ValueError, match="zip"):
        score_objects([STAR], [["red", "star"]] * 2, [[(0, 0)] * 2] * 2)


def test_random_captions_have_the_scores_of_a_slow_count() -> None:
    rng = np.random.default_rng(0)
    colours, shapes, others = ["red", "blue"], ["star", "heart"], ["a", "and"]
    count, length = 400, 6
    captions = rng.choice([*colours, *shapes, *others], (count, length)).tolist()
    targets, peaks = [], []
    for _ in range(count):
        left, top = rng.uniform(0, 60, 2)
        width, height = rng.uniform(5, 40, 2)
        words = str(rng.choice(colours)), str(rng.choice(shapes))
        targets.append(Target(*words, (left, top, left + width, top + height)))
        peaks.append([tuple(point) for point in rng.uniform(0, 100, (length, 2))])
    right, on_it = 0, 0
    for target, words, places in zip(targets, captions, peaks, strict=True):
        at = [i for i in range(1, length) if words[i - 1] == target.colour and words[i] == target.shape]
        if at:
            right += 1
            pixels = itertools.product(*(np.linspace(target.box[k], target.box[k + 2], 400) for k in (0, 1)))
            distance = min(max(abs(x - places[at[0]][0]), abs(y - places[at[0]][1])) for x, y in pixels)
            on_it += distance < 0.06
    scores, named = score_objects(targets, captions, peaks)
    assert 30 < right < count and 3 < on_it < right
    assert scores == {"object_accuracy": right / count, "attention_on_object": on_it / right}
    assert named.sum() == right
