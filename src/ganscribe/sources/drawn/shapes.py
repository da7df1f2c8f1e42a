"""Painting: shapes with soft edges, shading and shadows, on plain grounds."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]
Box = tuple[int, int, int, int]  # left, top, width, height in pixels, as COCO has boxes

SUPERSAMPLING = 4


def _circle(radius: float, x: float = 0.0, y: float = 0.0) -> Points:
    angles = [2 * math.pi * step / 72 for step in range(72)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _star() -> Points:
    angles = [-math.pi / 2 + math.pi * corner / 5 for corner in range(10)]
    radii = [1.0 if corner % 2 == 0 else 0.45 for corner in range(10)]
    return [(r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)]


def _heart() -> Points:
    turns = [2 * math.pi * step / 72 for step in range(72)]
    curve = [
        (
            16 * math.sin(t) ** 3,
            -13 * math.cos(t) + 5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t),
        )
        for t in turns
    ]
    return [(x / 17, (y - 2.5) / 17) for x, y in curve]


def _cross() -> Points:
    a, b = 0.3, 0.95
    return [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]


_ARROW = [(-0.95, -0.25), (0.1, -0.25), (0.1, -0.7), (0.95, 0.0), (0.1, 0.7), (0.1, 0.25), (-0.95, 0.25)]
# Layers in the unit circle, y downwards: polygons that fill (True) or cut out (False), in this order.
SHAPES: dict[str, list[tuple[Points, bool]]] = {
    "circle": [(_circle(0.92), True)],
    "square": [([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)], True)],
    "triangle": [([(0.0, -0.9), (0.95, 0.75), (-0.95, 0.75)], True)],
    "star": [(_star(), True)],
    "heart": [(_heart(), True)],
    "cross": [(_cross(), True)],
    "ring": [(_circle(0.95), True), (_circle(0.52), False)],
    "moon": [(_circle(0.95), True), (_circle(0.82, 0.48, -0.12), False)],
    "diamond": [([(0.0, -1.0), (0.7, 0.0), (0.0, 1.0), (-0.7, 0.0)], True)],
    "arrow": [(_ARROW, True)],
}


def shape_mask(shape: str, radius: float, rotation: float = 0.0) -> Image.Image:
    """Coverage (0 to 255) of a shape in the middle of a square; `radius` in pixels, `rotation` in radians."""
    size = 2 * math.ceil(1.25 * radius) + 4  # corners and a shadow need some room
    mask = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING), 0)
    canvas = ImageDraw.Draw(mask)
    cosine, sine = math.cos(rotation), math.sin(rotation)
    for points, fills in SHAPES[shape]:
        turned = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in points]
        scaled = [
            ((size / 2 + radius * x) * SUPERSAMPLING, (size / 2 + radius * y) * SUPERSAMPLING)
            for x, y in turned
        ]
        canvas.polygon(scaled, fill=255 if fills else 0)
    return mask.reduce(SUPERSAMPLING)


def paint(
    picture: Image.Image,
    shape: str,
    *,
    centre: tuple[float, float],
    radius: float,
    rotation: float,
    colour: Colour,
) -> Box:
    """Paint a shape with its shadow, lit from the upper left; return the box around the shape itself."""
    mask = shape_mask(shape, radius, rotation)
    size = mask.width
    corner = (round(centre[0] - size / 2), round(centre[1] - size / 2))
    offset = max(1, round(radius * 0.09))
    shadow = mask.filter(ImageFilter.GaussianBlur(offset)).point([value * 2 // 5 for value in range(256)])
    picture.paste((0, 0, 0), (corner[0] + offset, corner[1] + offset), shadow)

    ramp = np.linspace(0.0, 0.5, size, dtype=np.float32)
    light = 1.12 - 0.28 * (ramp[:, None] + ramp[None, :])
    shaded = np.clip(np.asarray(colour, np.float32) * light[..., None], 0, 255).astype(np.uint8)
    picture.paste(Image.fromarray(shaded), corner, mask)
    covered = mask.point([0] * 128 + [255] * 128)  # half of a pixel or more
    left, top, right, bottom = covered.getbbox() or (0, 0, 0, 0)
    return corner[0] + left, corner[1] + top, right - left, bottom - top


def paint_ground(colour: Colour, *, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Return a ground of one colour with a little grain."""
    grain = 2 * rng.standard_normal((height, width, 1), np.float32)
    flat = np.asarray(colour, np.float32) + grain
    return Image.fromarray(np.clip(flat + 0.5, 0, 255).astype(np.uint8))
