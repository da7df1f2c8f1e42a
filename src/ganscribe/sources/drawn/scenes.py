"""Scenes that the project draws itself: shapes, colours, sizes, counts and positions, described five times.

Picture i of a seed is the same whatever the number of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.shapes import SHAPES, Colour, paint, paint_ground
from ganscribe.sources.formats import Bytes

ICON_CLASSES = list(SHAPES)
ICON_SIZE = 32
SIZES = {"small": 0.075, "medium": 0.14, "large": 0.22}  # radius as a share of the picture's shorter side
PICTURE_SIZES = [(320, 240), (320, 240), (300, 300), (240, 320), (320, 214), (280, 210)]
PLACES = {  # share of width, share of height
    "centre": (0.5, 0.5),
    "left": (0.25, 0.5),
    "right": (0.75, 0.5),
    "top": (0.5, 0.25),
    "bottom": (0.5, 0.75),
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
COLOURS: dict[str, Colour] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 25),
    "yellow": (250, 214, 30),
    "green": (40, 150, 60),
    "blue": (35, 90, 210),
    "purple": (130, 50, 170),
    "pink": (245, 120, 180),
    "brown": (125, 75, 35),
    "black": (30, 30, 32),
    "white": (248, 248, 246),
}
GROUNDS: dict[str, tuple[Colour, Colour]] = {  # two tones of one colour
    "white": ((244, 243, 238), (222, 222, 218)),
    "grey": ((176, 178, 180), (150, 152, 156)),
    "beige": ((232, 214, 176), (214, 190, 144)),
    "light blue": ((178, 214, 240), (146, 190, 226)),
    "light green": ((188, 226, 168), (158, 206, 138)),
    "dark blue": ((24, 38, 84), (38, 58, 116)),
    "dark green": ((20, 66, 48), (32, 92, 66)),
    "black": ((26, 26, 28), (54, 54, 58)),
}
TEXTURES = [
    "plain",
    "plain",
    "plain",
    "striped",
    "barred",
    "slanted",
    "checkered",
    "dotted",
    "fading",
    "speckled",
]
LAYOUTS = ["single", "single", "row", "column", "scattered", "beside", "above", "inside", "sides"]
MIN_CONTRAST = 130.0  # Euclidean distance in RGB between a shape and the ground's tones

Item = TypeVar("Item")


@dataclass(frozen=True)
class Group:
    """`count` equal shapes."""

    shape: str
    colour: str
    size: str
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """What is on a picture: groups of shapes in a layout, on a ground. `place` matters to a single shape."""

    width: int
    height: int
    ground: str
    texture: str
    layout: str
    groups: tuple[Group, ...]
    place: str


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    return items[int(rng.integers(len(items)))]


def contrast(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one, other)))


def colours_on(ground: str) -> list[str]:
    """The colours that stand out from a ground."""
    return [
        name
        for name, colour in COLOURS.items()
        if min(contrast(colour, tone) for tone in GROUNDS[ground]) >= MIN_CONTRAST
    ]


def compose(rng: np.random.Generator) -> Scene:
    """Choose what is on a picture."""
    width, height = pick(rng, PICTURE_SIZES)
    ground, texture, layout = pick(rng, list(GROUNDS)), pick(rng, TEXTURES), pick(rng, LAYOUTS)
    place = pick(rng, list(PLACES))
    shapes = rng.permutation(list(SHAPES))[:2].tolist()
    colours = rng.permutation(colours_on(ground))[:2].tolist()
    sizes = [pick(rng, list(SIZES)) for _ in range(2)]

    if layout == "single":
        groups = [Group(shapes[0], colours[0], sizes[0])]
    elif layout in ("row", "column", "scattered"):
        size = pick(rng, ["small", "medium"])
        most = 3 if size == "medium" else {"row": 5, "column": 4, "scattered": 6}[layout]
        count = int(rng.integers(3 if layout == "scattered" else 2, most + 1))
        groups = [Group(shapes[0], colours[0], size, count)]
    elif layout == "inside":
        outer = pick(rng, [name for name in ("circle", "square", "diamond", "heart") if name != shapes[1]])
        inner = pick(
            rng, [name for name in COLOURS if contrast(COLOURS[name], COLOURS[colours[0]]) > MIN_CONTRAST]
        )
        groups = [Group(outer, colours[0], "large"), Group(shapes[1], inner, "small")]
    elif layout == "sides":
        counts = [int(rng.integers(1, 4)), int(rng.integers(2, 4))]
        groups = [
            Group(shape, colour, "small", count)
            for shape, colour, count in zip(shapes, colours, counts, strict=True)
        ]
    else:
        sizes = ["medium" if size == "large" and layout == "above" else size for size in sizes]
        groups = [Group(*each) for each in zip(shapes, colours, sizes, strict=True)]
    return Scene(width, height, ground, texture, layout, tuple(groups), place)


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
    from ganscribe.sources.drawn.wording import describe

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
