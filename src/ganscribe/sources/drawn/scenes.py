"""Scenes and icons that the project draws itself. A scene is described five times, and what is on it is known.

Picture i of a seed is the same whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import (
    COLOURS,
    GROUNDS,
    HEIGHT,
    PLACES,
    RADIUS,
    WIDTH,
    Scene,
    compose,
    pick,
)
from ganscribe.sources.drawn.shapes import SHAPES, Box, Colour, paint, paint_ground
from ganscribe.sources.drawn.wording import describe
from ganscribe.sources.formats import Bytes

ICON_CLASSES = list(SHAPES)
ICON_SIZE = 32


class DrawnObject(NamedTuple):
    """The object on a scene: the words for it that captions use, and where it is (without its shadow)."""

    colour: str
    shape: str
    box: Box


class DrawnScene(NamedTuple):
    """A picture, five captions that differ, and its object."""

    picture: Image.Image
    captions: list[str]
    drawn: DrawnObject


def _shift(colour: Colour, amount: Sequence[int]) -> Colour:
    red, green, blue = np.clip(np.add(colour, amount), 0, 255).tolist()
    return red, green, blue


def render(scene: Scene, rng: np.random.Generator) -> tuple[Image.Image, DrawnObject]:
    """Draw a scene, with a little chance in place, size, turn and colour; return what is where, too."""
    brightness = int(rng.integers(-4, 5))  # the same for all channels: no tint
    ground = _shift(GROUNDS[scene.ground], (brightness,) * 3)
    picture = paint_ground(ground, width=WIDTH, height=HEIGHT, rng=rng)
    x, y = PLACES[scene.place]
    box = paint(
        picture,
        scene.shape,
        centre=(x * WIDTH + rng.uniform(-3, 3), y * HEIGHT + rng.uniform(-3, 3)),
        radius=RADIUS * HEIGHT * rng.uniform(0.95, 1.05),
        rotation=rng.uniform(-0.1, 0.1),
        colour=_shift(COLOURS[scene.colour], rng.integers(-8, 9, 3).tolist()),
    )
    return picture, DrawnObject(scene.colour, scene.shape, box)


def draw_scene(index: int, *, seed: int) -> DrawnScene:
    """Return scene `index` of `seed`."""
    rng = np.random.default_rng(stream_seed(seed, "scenes", index))
    scene = compose(rng)
    picture, drawn = render(scene, rng)
    return DrawnScene(picture, describe(scene, rng), drawn)


def draw_icon(index: int, *, seed: int) -> Image.Image:
    """Return icon `index` of `seed`: one shape on a ground, 32x32; its class is `index` modulo ten."""
    rng = np.random.default_rng(stream_seed(seed, "icons", index))
    ground = GROUNDS[pick(rng, list(GROUNDS))]
    colour = _shift(COLOURS[pick(rng, list(COLOURS))], rng.integers(-8, 9, 3).tolist())
    picture = paint_ground(ground, width=ICON_SIZE, height=ICON_SIZE, rng=rng)
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
    """Return images (N, 3, 32, 32) and labels (N,): ten classes in turn."""
    pictures = [np.asarray(draw_icon(index, seed=seed)) for index in range(num_images)]
    labels = np.arange(num_images) % len(ICON_CLASSES)
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)), labels.astype(np.uint8)
