"""Scenes that the project draws itself: shapes, colours, sizes, counts and positions, described five times.

Picture i of a seed is the same whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import (
    COLOURS,
    GROUNDS,
    PLACES,
    SIZES,
    TEXTURES,
    Scene,
    colours_on,
    compose,
    pick,
)
from ganscribe.sources.drawn.shapes import SHAPES, Colour, paint, paint_ground
from ganscribe.sources.drawn.wording import describe
from ganscribe.sources.formats import Bytes

ICON_CLASSES = list(SHAPES)
ICON_SIZE = 32


def positions(scene: Scene, rng: np.random.Generator) -> list[list[tuple[float, float]]]:
    """Centres for each group's shapes, as shares of width and height."""
    counts = [group.count for group in scene.groups]
    if scene.layout == "single":
        return [[PLACES[scene.place]]]
    if scene.layout == "inside":
        return [[(0.5, 0.5)], [(0.5, 0.5)]]
    if scene.layout == "row":
        return [[((step + 0.5) / counts[0] * 0.9 + 0.05, 0.5) for step in range(counts[0])]]
    if scene.layout == "column":
        return [[(0.5, (step + 0.5) / counts[0] * 0.9 + 0.05) for step in range(counts[0])]]
    if scene.layout == "scattered":
        cells = rng.permutation(6)[: counts[0]]
        return [[((cell % 3 + 0.5) / 3, (cell // 3 + 0.5) / 2) for cell in cells.tolist()]]
    if scene.layout == "beside":
        return [[(0.27, 0.5)], [(0.73, 0.5)]]
    if scene.layout == "above":
        return [[(0.5, 0.27)], [(0.5, 0.73)]]
    return [
        [(x, (step + 0.5) / count * 0.8 + 0.1) for step in range(count)]
        for x, count in zip((0.25, 0.75), counts, strict=True)
    ]


def _shift(colour: Colour, amount: Sequence[int]) -> Colour:
    red, green, blue = np.clip(np.add(colour, amount), 0, 255).tolist()
    return red, green, blue


def render(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Draw a scene, with a little chance in place, size, turn and colour."""
    shorter = min(scene.width, scene.height)
    brightness = int(rng.integers(-8, 9))  # the same for both tones and all channels: no tint
    tones = [_shift(tone, (brightness,) * 3) for tone in GROUNDS[scene.ground]]
    picture = paint_ground(
        scene.texture, tones, width=scene.width, height=scene.height, period=rng.uniform(26, 44), rng=rng
    )
    loose = 0.05 if scene.layout == "scattered" and scene.groups[0].size == "small" else 0.015
    for group, centres in zip(scene.groups, positions(scene, rng), strict=True):
        colour = _shift(COLOURS[group.colour], rng.integers(-8, 9, 3).tolist())
        radius = SIZES[group.size] * shorter * rng.uniform(0.92, 1.08)
        for x, y in centres:
            shift_x, shift_y = rng.uniform(-loose, loose, 2) * (scene.layout != "inside")
            paint(
                picture,
                group.shape,
                centre=((x + shift_x) * scene.width, (y + shift_y) * scene.height),
                radius=radius,
                rotation=rng.uniform(-0.15, 0.15),
                colour=colour,
            )
    return picture


def draw_scene(index: int, *, seed: int) -> tuple[Image.Image, list[str]]:
    """Picture `index` of `seed`, and five captions that differ."""
    rng = np.random.default_rng(stream_seed(seed, "scenes", index))
    scene = compose(rng)
    picture = render(scene, rng)
    return picture, describe(scene, rng)


def draw_icon(index: int, *, seed: int) -> Image.Image:
    """Picture `index` of `seed`: one shape on a ground, 32x32; its class is `index` modulo ten."""
    rng = np.random.default_rng(stream_seed(seed, "icons", index))
    ground = pick(rng, list(GROUNDS))
    colour = _shift(COLOURS[pick(rng, colours_on(ground))], rng.integers(-8, 9, 3).tolist())
    picture = paint_ground(
        pick(rng, TEXTURES),
        GROUNDS[ground],
        width=ICON_SIZE,
        height=ICON_SIZE,
        period=rng.uniform(6, 11),
        rng=rng,
    )
    x, y = rng.uniform(14.5, 17.5, 2)
    paint(
        picture,
        ICON_CLASSES[index % len(ICON_CLASSES)],
        centre=(x, y),
        radius=rng.uniform(10, 13.5),
        rotation=rng.uniform(-0.2, 0.2),
        colour=colour,
    )
    return picture


def draw_icons(num_images: int, *, seed: int) -> tuple[Bytes, Bytes]:
    """Images (N, 3, 32, 32) and labels (N,): ten classes in turn."""
    pictures = [np.asarray(draw_icon(index, seed=seed)) for index in range(num_images)]
    labels = np.arange(num_images) % len(ICON_CLASSES)
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)), labels.astype(np.uint8)
