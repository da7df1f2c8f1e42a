"""What is on a drawn picture: one shape of one colour, where it lies, and on which ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ganscribe.sources.drawn.shapes import Colour

WIDTH, HEIGHT = 320, 240
RADIUS = 0.21  # of a shape, as a share of the picture's height
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
PLACES = {"left": (0.27, 0.5), "centre": (0.5, 0.5), "right": (0.73, 0.5)}  # shares of width and height

Item = TypeVar("Item")


@dataclass(frozen=True)
class Scene:
    """What is on a picture: a shape of `SCENE_SHAPES` in one of `COLOURS`, at one of `PLACES` of a ground."""

    shape: str
    colour: str
    place: str
    ground: str


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Return one of `items`, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def compose(rng: np.random.Generator) -> Scene:
    """Choose what is on a picture."""
    return Scene(
        shape=pick(rng, SCENE_SHAPES),
        colour=pick(rng, list(COLOURS)),
        place=pick(rng, list(PLACES)),
        ground=pick(rng, list(GROUNDS)),
    )
