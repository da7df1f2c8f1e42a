"""Captions of drawn scenes: true to the scene, varied, and English."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, PLACES, SCENE_SHAPES, Scene, compose
from ganscribe.sources.drawn.wording import PLACE_WORDS, describe

THING = re.compile(
    rf"\b(a|an) (?:(large|big|small|little) )?({'|'.join(COLOURS)}) ({'|'.join(SCENE_SHAPES)})(?![\w-])"
)
SIZES = {"large": "large", "big": "large", "small": "small", "little": "small"}
PLACE = {"middle": "centre", "center": "centre", "left": "left", "right": "right"}


def scenes(count: int = 300) -> list[tuple[Scene, list[str]]]:
    drawn = []
    for index in range(count):
        rng = np.random.default_rng(stream_seed(5, "test", index))
        scene = compose(rng)
        drawn.append((scene, describe(scene, rng)))
    return drawn


def test_five_different_captions_true_to_the_scene() -> None:
    for scene, captions in scenes():
        assert len(captions) == len(set(captions)) == 5
        size_of = {(thing.colour, thing.shape): thing.size for thing in scene.things}
        for caption in captions:
            found = THING.findall(caption)
            assert {(colour, shape) for _, _, colour, shape in found} == size_of.keys(), caption
            assert len(found) == len(scene.things), caption
            for _, size, colour, shape in found:
                assert not size or (SIZES[size] == size_of[colour, shape] and len(found) == 2), caption
            grounds = [word for word in caption.split() if word in GROUNDS]
            assert grounds in ([], [scene.ground]), caption


def test_one_things_place_is_told_rightly() -> None:
    told = Counter[str]()
    for scene, captions in scenes():
        if len(scene.things) == 1:
            for caption in captions:
                words = [PLACE[word] for word in caption.split() if word in PLACE]
                assert words in ([], [scene.things[0].place]), caption
                told.update(words)
    assert told.keys() == PLACES.keys() == PLACE_WORDS.keys()


def test_two_things_lie_as_told() -> None:
    """Read back from the words and held against the places."""
    told = Counter[str]()
    for scene, captions in scenes():
        if len(scene.things) == 1:
            continue
        across = {thing.shape: PLACES[thing.place][0] for thing in scene.things}
        for caption in captions:
            (_, _, _, first), (_, _, _, second) = THING.findall(caption)
            if match := re.search(r"to its (left|right)", caption):
                first, second = second, first
            elif not (match := re.search(r"to the (left|right) of", caption)):
                continue
            assert (match[1] == "left") == (across[first] < across[second]), caption
            told[match[1]] += 1
    assert told.keys() == {"left", "right"}


def test_captions_vary() -> None:
    captions = [caption for _, five in scenes() for caption in five]
    assert len({word for caption in captions for word in caption.split()}) > 40
    assert len(set(captions)) > 0.6 * len(captions)
    lengths = [len(caption.split()) for caption in captions]
    assert 8 < np.mean(lengths) < 13 and max(lengths) < 22


def test_articles() -> None:
    for scene, captions in scenes(100):
        for caption in captions:
            assert not re.search(r"\ba [aeiou]", caption) and not re.search(r"\ban [^aeiou]", caption), scene
