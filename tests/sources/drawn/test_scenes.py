"""Drawn scenes: seeded, where they say, boxed rightly; icons separable by shape."""

from __future__ import annotations

import numpy as np
import pytest

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, PLACES, RADIUS, Scene, compose
from ganscribe.sources.drawn.scenes import ICON_CLASSES, draw_icons, draw_scene, render


def test_picture_depends_on_seed_and_index_alone() -> None:
    first, again, other, seeded = (draw_scene(i, seed=s) for i, s in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert first.picture.tobytes() == again.picture.tobytes() and first[1:] == again[1:]
    assert first.picture.tobytes() not in (other.picture.tobytes(), seeded.picture.tobytes())
    few, many = draw_icons(5, seed=0), draw_icons(12, seed=0)
    np.testing.assert_array_equal(few[0], many[0][:5])
    assert many[1].tolist() == [*range(10), 0, 1]


def coloured(pixels: np.ndarray, colour: str) -> np.ndarray:
    """Where a picture has a colour of the palette, lit or shaded: nearest in direction, and far from grey."""
    values = pixels.astype(np.float64)
    spread = values.max(axis=-1) - values.min(axis=-1)
    palette = np.array([COLOURS[name] for name in COLOURS if name != "black"], np.float64)
    palette /= np.linalg.norm(palette, axis=1, keepdims=True)
    nearest = (values @ palette.T).argmax(axis=-1)
    is_black = values.max(axis=-1) < 60
    if colour == "black":
        return is_black
    names = [name for name in COLOURS if name != "black"]
    return (nearest == names.index(colour)) & (spread > 75) & ~is_black


def test_boxes_are_those_of_the_coloured_pixels() -> None:
    """Found again in the picture, without a look at how it was painted."""
    for index in range(60):
        scene = draw_scene(index, seed=7)
        left, top, width, height = scene.drawn.box
        mask = coloured(np.asarray(scene.picture), scene.drawn.colour)
        near = np.zeros_like(mask)
        near[max(top - 6, 0) : top + height + 6, max(left - 6, 0) : left + width + 6] = True
        rows, columns = np.nonzero(mask & near)
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(np.subtract(found, (left, top, left + width, top + height))).max() <= 4, scene.drawn
        assert (mask & ~near).sum() < 0.02 * mask.sum()


def test_objects_stay_inside_and_are_what_was_composed() -> None:
    for index in range(300):
        rng = np.random.default_rng(stream_seed(5, "test", index))
        scene = compose(rng)
        picture, (colour, shape, (left, top, width, height)) = render(scene, rng)
        assert (colour, shape) == (scene.colour, scene.shape) and picture.size == (320, 240)
        assert left >= 0 and top >= 0 and left + width <= 320 and top + height <= 240
        assert min(width, height) > 60


def test_places_are_where_they_say() -> None:
    for place, (x, y) in PLACES.items():
        scene = Scene("circle", "red", place, "white")
        pixels = np.asarray(render(scene, np.random.default_rng(0))[0], np.float32)
        reddish = np.linalg.norm(pixels - np.float32(COLOURS["red"]), axis=-1) < 60
        rows, columns = np.nonzero(reddish)
        assert abs(columns.mean() / 320 - x) < 0.03 and abs(rows.mean() / 240 - y) < 0.03, place
        assert reddish.sum() == pytest.approx(np.pi * (0.92 * RADIUS * 240) ** 2, rel=0.15)
    assert PLACES["left"] < PLACES["centre"] < PLACES["right"]


def test_icons_can_be_told_apart() -> None:
    """Nearest class mean of the grey pictures' edges does far better than chance; all classes as often."""
    images, labels = draw_icons(400, seed=1)
    assert images.shape == (400, 3, 32, 32) and images.dtype == np.uint8
    assert len(ICON_CLASSES) == 10 and np.bincount(labels).tolist() == [40] * 10
    grey = images.astype(np.float64).mean(axis=1)
    edges = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True)).reshape(400, -1)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    means = np.stack([edges[:200][labels[:200] == label].mean(axis=0) for label in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    accuracy = ((edges[200:] @ means.T).argmax(axis=1) == labels[200:]).mean()
    assert accuracy > 0.5
