"""Shapes and grounds as they are painted."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganscribe.sources.drawn.shapes import paint, paint_ground, shape_mask


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


def test_a_ground_is_one_colour_with_a_little_grain() -> None:
    ground = paint_ground((100, 150, 200), width=120, height=90, rng=np.random.default_rng(0))
    assert ground.size == (120, 90)
    pixels = np.asarray(ground, np.float64)
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), (100, 150, 200), atol=0.2)
    assert 1 < pixels.std(axis=(0, 1)).max() < 3
    assert np.ptp(pixels - pixels.mean(axis=(0, 1)), axis=-1).max() < 1.5  # of no colour of its own


def test_the_box_of_a_painted_shape_is_around_it_without_its_shadow() -> None:
    picture = Image.new("RGB", (200, 150), "white")
    box = paint(picture, "square", centre=(80.0, 70.0), radius=40.0, rotation=0.0, colour=(250, 20, 20))
    left, top, width, height = box
    np.testing.assert_allclose((left, top, width, height), (48, 38, 64, 64), atol=1.5)
    red = np.asarray(picture)[..., 0].astype(int) - np.asarray(picture)[..., 1] > 100
    rows, columns = np.nonzero(red)
    np.testing.assert_allclose((columns.min(), rows.min()), (left, top), atol=1)
    np.testing.assert_allclose((columns.max() + 1, rows.max() + 1), (left + width, top + height), atol=1)
    assert (np.asarray(picture.convert("L"))[top + height + 1 :] < 250).any()  # where the shadow falls
