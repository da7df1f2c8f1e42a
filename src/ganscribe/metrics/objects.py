"""Whether captions name the main object of an image rightly, and whether attention points to it.

Both need images whose objects are known, such as the scenes that this project draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]


class Target(NamedTuple):
    """What a caption is to name: the words for an object's colour and shape, and the object's box.

    The box (left, top, right, bottom) and the peaks of attention are in the same coordinates.
    """

    colour: str
    shape: str
    box: tuple[float, float, float, float]


def naming_word(words: Sequence[str], colour: str, shape: str) -> int | None:
    """Return the place in a caption of the first word `shape` that comes right after `colour`, or None."""
    pairs = enumerate(itertools.pairwise(words), 1)
    return next((place for place, pair in pairs if pair == (colour, shape)), None)


def score_objects(
    targets: Sequence[Target], captions: Sequence[Sequence[str]], peaks: Sequence[Sequence[Point]]
) -> tuple[dict[str, float], npt.NDArray[np.float64]]:
    """Return the scores, and whether each caption names its target (N,), 1 or 0.

    `object_accuracy`: the share of the captions (lists of words) that name colour and shape of their image's target.
    `attention_on_object`: of these, the share in which the attention of the word that names it is highest within its
    box; `peaks` has that place (x, y) for every word. This is the pointing game's accuracy (Zhang et al. 2016,
    1608.00507, section 4.2), hits / (hits + misses), without their tolerance of 15 pixels. It is left out where no
    target is named. Raises ValueError for no captions at all.
    """
    if not captions:
        raise ValueError("there are no captions to look for objects in: is the split empty?")
    named, hits = [], 0
    for target, words, places in zip(targets, captions, peaks, strict=True):
        place = naming_word(words, target.colour, target.shape)
        named.append(place is not None)
        if place is not None:
            x, y = places[place]
            left, top, right, bottom = target.box
            hits += left <= x <= right and top <= y <= bottom
    scores = {"object_accuracy": sum(named) / len(named)}
    if any(named):
        scores["attention_on_object"] = hits / sum(named)
    return scores, np.array(named, dtype=np.float64)
