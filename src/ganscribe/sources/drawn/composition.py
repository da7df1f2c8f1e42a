"""What is on a drawn picture: one or two shapes, their colours and sizes, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ganscribe.sources.drawn.shapes import Colour

WIDTH, HEIGHT = 320, 240
SCENE_SHAPES = ["circle", "triangle", "star", "heart", "moon", "diamond"]
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
RADII = {"large": 0.27, "small": 0.13}  # as a share of the picture's height
PLACES = {"left": (0.27, 0.5), "centre": (0.5, 0.5), "right": (0.73, 0.5)}  # shares of width and height

Item = TypeVar("Item")


@dataclass(frozen=True)
class Thing:
    """A shape on a picture; `size` is one of `RADII`, `place` one of `PLACES`."""

    shape: str
    colour: str
    size: str
    place: str


@dataclass(frozen=True)
class Scene:
    """What is on a picture, on a plain ground: a large shape, and perhaps a small one on the other side."""

    ground: str
    things: tuple[Thing, ...]  # the large one first


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Return one of `items`, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def compose(rng: np.random.Generator) -> Scene:
    """Choose what is on a picture: as often one shape as two, which differ in shape and colour."""
    ground = pick(rng, list(GROUNDS))
    shapes = rng.permutation(SCENE_SHAPES)[:2].tolist()
    colours = rng.permutation(list(COLOURS))[:2].tolist()
    is_alone = rng.random() < 0.5
    places = [pick(rng, list(PLACES))] if is_alone else rng.permutation(["left", "right"]).tolist()
    things = tuple(Thing(*each) for each in zip(shapes, colours, RADII, places, strict=False))
    return Scene(ground, things)
