"""Shapes and grounds as they are painted."""

from __future__ import annotations

import numpy as np
import pytest

from ganscribe.sources.drawn.shapes import paint_ground, shape_mask
from ganscribe.sources.drawn.wording import GROUND_WORDS


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
