"""Drawn scenes: seeded, true to their captions, separable by shape."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import (
    COLOURS,
    GROUNDS,
    LAYOUTS,
    PLACES,
    SIZES,
    Group,
    Scene,
    colours_on,
    compose,
    contrast,
)
from ganscribe.sources.drawn.scenes import ICON_CLASSES, draw_icons, draw_scene, positions, render
from ganscribe.sources.drawn.shapes import SHAPES, paint_ground, shape_mask
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


def test_picture_depends_on_seed_and_index_alone() -> None:
    first, again, other, seeded = (draw_scene(i, seed=s) for i, s in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert first[0].tobytes() == again[0].tobytes() and first[1] == again[1]
    assert first[0].tobytes() != other[0].tobytes() and first[0].tobytes() != seeded[0].tobytes()
    few, many = draw_icons(5, seed=0), draw_icons(12, seed=0)
    np.testing.assert_array_equal(few[0], many[0][:5])
    assert many[1].tolist() == [*range(10), 0, 1]


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


def test_shapes_stay_inside_and_apart() -> None:
    for scene, _ in scenes():
        rng = np.random.default_rng(0)
        shorter = min(scene.width, scene.height)
        placed = []
        for group, centres in zip(scene.groups, positions(scene, rng), strict=True):
            radius = SIZES[group.size] * shorter * 1.08
            placed += [(x * scene.width, y * scene.height, radius) for x, y in centres]
        assert len(placed) == sum(group.count for group in scene.groups)
        for x, y, radius in placed:
            assert x - radius >= -1 and x + radius <= scene.width + 1, scene
            assert y - radius >= -1 and y + radius <= scene.height + 1, scene
        if scene.layout != "inside":
            for number, (x, y, radius) in enumerate(placed):
                for other_x, other_y, other in placed[:number]:
                    assert np.hypot(x - other_x, y - other_y) > 0.9 * (radius + other), scene


def test_places_are_where_they_say() -> None:
    for place, (x, y) in PLACES.items():
        scene = Scene(300, 300, "white", "plain", "single", (Group("circle", "red", "small"),), place)
        pixels = np.asarray(render(scene, np.random.default_rng(0)), np.float32)
        reddish = np.linalg.norm(pixels - np.float32(COLOURS["red"]), axis=-1) < 60
        rows, columns = np.nonzero(reddish)
        assert abs(columns.mean() / 300 - x) < 0.04 and abs(rows.mean() / 300 - y) < 0.04, place
        assert reddish.mean() == pytest.approx(np.pi * (0.92 * 0.075) ** 2, rel=0.3)


def test_colours_stand_out() -> None:
    for ground, tones in GROUNDS.items():
        names = colours_on(ground)
        assert len(names) >= 3
        assert ground not in names
        assert all(contrast(COLOURS[name], tone) >= 130 for name in names for tone in tones)


def test_areas_and_symmetry_of_shapes() -> None:
    def area(shape: str, radius: float = 40.0, rotation: float = 0.0) -> float:
        return float(np.asarray(shape_mask(shape, radius, rotation), np.float64).sum() / 255 / radius**2)

    expected = {
        "circle": np.pi * 0.92**2,
        "square": 1.6**2,
        "triangle": 1.9 * 1.65 / 2,
        "ring": np.pi * (0.95**2 - 0.52**2),
        "diamond": 1.4,
        "cross": 4 * 0.6 * 0.65 + 0.36,
        "star": 10 * 0.5 * 0.45 * np.sin(np.pi / 5),
        "arrow": 1.05 * 0.5 + 1.4 * 0.85 / 2,
        "heart": 6 * 30 * np.pi / 17**2,
    }
    for shape, value in expected.items():
        assert area(shape) == pytest.approx(value, rel=0.03), shape
        assert area(shape, rotation=1.0) == pytest.approx(value, rel=0.03), shape
    for shape in ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond"):
        mask = np.asarray(shape_mask(shape, 40.0), np.int64)
        assert np.abs(mask - mask[:, ::-1]).mean() < 3, shape


def test_edges_are_soft() -> None:
    mask = np.asarray(shape_mask("circle", 40.0))
    assert ((mask > 0) & (mask < 255)).sum() > 100


def test_grounds_are_two_tones() -> None:
    black, white = (0, 0, 0), (255, 255, 255)
    for kind in GROUND_WORDS:
        ground = paint_ground(
            kind, [black, white], width=120, height=90, period=30.0, rng=np.random.default_rng(0)
        )
        assert ground.size == (120, 90)
        mean = np.asarray(ground).mean() / 255
        assert mean < 0.05 if kind == "plain" else 0.2 < mean < 0.6, kind


def test_icons_can_be_told_apart() -> None:
    """Nearest class mean of the grey pictures' spectra does far better than chance; all classes as often."""
    images, labels = draw_icons(400, seed=1)
    assert images.shape == (400, 3, 32, 32) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [40] * len(ICON_CLASSES)
    grey = images.astype(np.float64).mean(axis=1)
    edges = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True)).reshape(400, -1)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    means = np.stack([edges[:200][labels[:200] == label].mean(axis=0) for label in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    accuracy = ((edges[200:] @ means.T).argmax(axis=1) == labels[200:]).mean()
    assert accuracy > 0.3
