"""What is on a drawn picture can be told from its ground, and all of it comes about as often."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, PLACES, SCENE_SHAPES, compose
from ganscribe.sources.drawn.shapes import SHAPES


def test_colours_stand_out_from_grounds_and_from_each_other() -> None:
    pairs = [
        *itertools.product(COLOURS.values(), GROUNDS.values()),
        *itertools.combinations(COLOURS.values(), 2),
    ]
    assert min(np.linalg.norm(np.subtract(*pair)) for pair in pairs) > 100
    assert not COLOURS.keys() & GROUNDS.keys()  # a word is of one or of the other


def test_every_colour_comes_with_every_shape_and_every_place_with_every_ground() -> None:
    scenes = [compose(np.random.default_rng(stream_seed(5, "test", index))) for index in range(600)]
    things = Counter((scene.colour, scene.shape) for scene in scenes)
    assert things.keys() == set(itertools.product(COLOURS, SCENE_SHAPES)) and max(things.values()) < 40
    around = Counter((scene.place, scene.ground) for scene in scenes)
    assert around.keys() == set(itertools.product(PLACES, GROUNDS)) and max(around.values()) < 100
    assert set(SCENE_SHAPES) < set(SHAPES)
