"""Captions of drawn scenes: true to the scene, varied, and English."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, PLACES, SCENE_SHAPES, Scene, compose
from ganscribe.sources.drawn.wording import describe

PLACE = {"middle": "centre", "center": "centre", "left": "left", "right": "right"}


def scenes(count: int = 300) -> list[tuple[Scene, list[str]]]:
    drawn = []
    for index in range(count):
        rng = np.random.default_rng(stream_seed(5, "test", index))
        scene = compose(rng)
        drawn.append((scene, describe(scene, rng)))
    return drawn


def test_five_different_captions_true_to_the_scene() -> None:
    told = Counter[str]()
    for scene, captions in scenes():
        assert len(captions) == len(set(captions)) == 5
        for caption in captions:
            words = caption.split()
            assert f" a {scene.colour} {scene.shape}" in f" {caption}"
            assert [word for word in words if word in COLOURS] == [scene.colour], caption
            assert [word for word in words if word in SCENE_SHAPES] == [scene.shape], caption
            assert [word for word in words if word in GROUNDS] in ([], [scene.ground]), caption
            places = [PLACE[word] for word in words if word in PLACE]
            assert places in ([], [scene.place]), caption
            told.update(places)
    assert told.keys() == PLACES.keys()


def test_captions_vary() -> None:
    captions = [caption for _, five in scenes() for caption in five]
    assert len({word for caption in captions for word in caption.split()}) > 38
    assert len(set(captions)) > 0.4 * len(captions)
    lengths = [len(caption.split()) for caption in captions]
    assert 7 < np.mean(lengths) < 12 and max(lengths) < 18


def test_articles() -> None:
    for scene, captions in scenes(100):
        for caption in captions:
            assert not re.search(r"\ba [aeiou]", caption) and not re.search(r"\ban [^aeiou]", caption), scene
