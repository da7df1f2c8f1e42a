"""What is on a drawn picture: one or two shapes, their colours and sizes, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ganscribe.sources.drawn.shapes import Colour

PICTURE_SIZES = [(320, 240), (320, 240), (300, 300)]
SCENE_SHAPES = ["circle", "square", "triangle", "star", "heart", "cross"]
COLOURS: dict[str, Colour] = {
    "red": (214, 40, 40),
    "yellow": (250, 214, 30),
    "green": (40, 150, 60),
    "blue": (35, 90, 210),
    "purple": (130, 50, 170),
    "black": (30, 30, 32),
}
GROUNDS: dict[str, Colour] = {
    "white": (244, 243, 238),
    "grey": (176, 178, 180),
    "beige": (232, 214, 176),
}
RADII = {"large": 0.24, "small": 0.12}  # as a share of the picture's shorter side
PLACES = {  # of an only shape: share of width, share of height
    "centre": (0.5, 0.5),
    "left": (0.3, 0.5),
    "right": (0.7, 0.5),
    "top": (0.5, 0.3),
    "bottom": (0.5, 0.7),
}
SIDES = {  # of two shapes, by where the small one is: the large one's place, the small one's
    "left": ((0.66, 0.5), (0.19, 0.5)),
    "right": ((0.34, 0.5), (0.81, 0.5)),
    "above": ((0.5, 0.66), (0.5, 0.18)),
    "below": ((0.5, 0.34), (0.5, 0.82)),
}

Item = TypeVar("Item")


@dataclass(frozen=True)
class Thing:
    """A shape on a picture; `place` is that of its centre, as shares of width and height."""

    shape: str
    colour: str
    size: str
    place: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """What is on a picture, on a plain ground: a large shape, and perhaps a small one beside it.

    `where` is the large shape's place if it is the only one (`PLACES`), else the small one's side (`SIDES`).
    """

    width: int
    height: int
    ground: str
    where: str
    things: tuple[Thing, ...]  # the large one first


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Return one of `items`, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def compose(rng: np.random.Generator) -> Scene:
    """Choose what is on a picture: as often one shape as two, which differ in shape and colour."""
    width, height = pick(rng, PICTURE_SIZES)
    ground = pick(rng, list(GROUNDS))
    shapes = rng.permutation(SCENE_SHAPES)[:2].tolist()
    colours = rng.permutation(list(COLOURS))[:2].tolist()
    if rng.random() < 0.5:
        where = pick(rng, list(PLACES))
        places: tuple[tuple[float, float], ...] = (PLACES[where],)
    else:
        where = pick(rng, list(SIDES))
        places = SIDES[where]
    things = tuple(Thing(*each) for each in zip(shapes, colours, RADII, places, strict=False))
    return Scene(width, height, ground, where, things)
