"""Captions of drawn scenes: true to the scene, varied, and English."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, LAYOUTS, PLACES, Scene, compose
from ganscribe.sources.drawn.shapes import SHAPES
from ganscribe.sources.drawn.wording import (
    GROUND_WORDS,
    NOUNS,
    NUMBERS,
    PLACE_WORDS,
    PLURALS,
    TEMPLATES,
    describe,
)


def scenes(count: int = 300) -> list[tuple[Scene, list[str]]]:
    drawn = []
    for index in range(count):
        rng = np.random.default_rng(stream_seed(5, "test", index))
        scene = compose(rng)
        drawn.append((scene, describe(scene, rng)))
    return drawn


def test_five_different_captions_true_to_the_scene() -> None:
    shape_of = {noun: shape for shape, nouns in NOUNS.items() for noun in nouns}
    shape_of |= {PLURALS.get(noun, noun + "s"): shape for noun, shape in shape_of.items()}
    numbers = {word: number for number, words in NUMBERS.items() for word in words}
    things = re.compile(
        rf"({'|'.join(sorted(numbers, key=len, reverse=True))}|an?|several|full of|row of|column of) "
        rf"(?:(?:small|little|tiny|large|big|huge) )?({'|'.join(COLOURS)}) "
        rf"({'|'.join(sorted(shape_of, key=len, reverse=True))})\b"
    )
    for scene, captions in scenes():
        assert len(set(captions)) == 5
        groups = {(group.shape, group.colour): group.count for group in scene.groups}
        for caption in captions:
            found = things.findall(caption)
            assert found, caption
            for number, colour, noun in found:
                count = groups[shape_of[noun], colour]
                assert numbers.get(number, 1 if number in ("a", "an") else count) == count, caption


def test_captions_vary() -> None:
    captions = [caption for _, five in scenes() for caption in five]
    words = Counter(word for caption in captions for word in caption.split())
    assert len(words) > 120
    assert len(set(captions)) > 0.97 * len(captions)
    lengths = [len(caption.split()) for caption in captions]
    assert 8 < np.mean(lengths) < 14 and max(lengths) < 30
    assert {scene.layout for scene, _ in scenes()} == set(LAYOUTS) == set(TEMPLATES)
    assert set(PLACE_WORDS) == set(PLACES)
    assert set(NOUNS) == set(SHAPES)
    assert {scene.texture for scene, _ in scenes()} == set(GROUND_WORDS)


def test_articles() -> None:
    for scene, captions in scenes(100):
        for caption in captions:
            assert not re.search(r"\ba [aeiou]", caption) and not re.search(r"\ban [^aeiou]", caption), scene
