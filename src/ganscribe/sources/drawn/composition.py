"""What is on a drawn picture: shapes, colours, sizes, counts, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ganscribe.sources.drawn.shapes import SHAPES, Colour

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
