"""Drawn scenes: seeded, where they say, separable by shape."""

from __future__ import annotations

import numpy as np
import pytest

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, PLACES, SIZES, Group, Scene, compose
from ganscribe.sources.drawn.scenes import ICON_CLASSES, draw_icons, draw_scene, positions, render


def test_picture_depends_on_seed_and_index_alone() -> None:
    first, again, other, seeded = (draw_scene(i, seed=s) for i, s in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert first[0].tobytes() == again[0].tobytes() and first[1] == again[1]
    assert first[0].tobytes() != other[0].tobytes() and first[0].tobytes() != seeded[0].tobytes()
    few, many = draw_icons(5, seed=0), draw_icons(12, seed=0)
    np.testing.assert_array_equal(few[0], many[0][:5])
    assert many[1].tolist() == [*range(10), 0, 1]


def test_shapes_stay_inside_and_apart() -> None:
    for index in range(300):
        scene = compose(np.random.default_rng(stream_seed(5, "test", index)))
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
