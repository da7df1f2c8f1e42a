"""What is on a drawn picture can be told from its ground, and one from another."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from ganscribe.core.seeds import stream_seed
from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, PLACES, SCENE_SHAPES, compose


def test_colours_stand_out_from_grounds_and_from_each_other() -> None:
    pairs = [
        *itertools.product(COLOURS.values(), GROUNDS.values()),
        *itertools.combinations(COLOURS.values(), 2),
    ]
    assert min(np.linalg.norm(np.subtract(*pair)) for pair in pairs) > 100
    assert not COLOURS.keys() & GROUNDS.keys()  # a word is of one or of the other


def test_scenes_have_one_thing_or_two_that_differ_and_all_of_them_come() -> None:
    scenes = [compose(np.random.default_rng(stream_seed(5, "test", index))) for index in range(600)]
    sizes = Counter(tuple(thing.size for thing in scene.things) for scene in scenes)
    assert sizes.keys() == {("large",), ("large", "small")} and min(sizes.values()) > 240
    for scene in scenes:
        for attribute in ("shape", "colour", "place"):
            assert len({getattr(thing, attribute) for thing in scene.things}) == len(scene.things)
    assert {scene.things[0].place for scene in scenes if len(scene.things) == 1} == PLACES.keys()
    pairs = {tuple(thing.place for thing in scene.things) for scene in scenes if len(scene.things) == 2}
    assert pairs == {("left", "right"), ("right", "left")}
    assert {scene.ground for scene in scenes} == GROUNDS.keys()
    mains = Counter((scene.things[0].colour, scene.things[0].shape) for scene in scenes)
    assert mains.keys() == set(itertools.product(COLOURS, SCENE_SHAPES))
