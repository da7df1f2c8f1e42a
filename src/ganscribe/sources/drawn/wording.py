"""Captions of drawn scenes, in words that vary as people's do."""

from __future__ import annotations

import numpy as np

from ganscribe.sources.drawn.composition import Group, Scene

NOUNS = {
    "circle": ["circle", "disc", "circle"],
    "square": ["square", "square", "box"],
    "triangle": ["triangle"],
    "star": ["star", "star", "five-pointed star"],
    "heart": ["heart"],
    "cross": ["cross", "plus sign"],
    "ring": ["ring", "ring", "hoop"],
    "moon": ["crescent moon", "crescent", "moon"],
    "diamond": ["diamond", "diamond", "rhombus"],
    "arrow": ["arrow"],
}
PLURALS = {"cross": "crosses", "box": "boxes", "rhombus": "rhombuses"}
SIZE_WORDS = {"small": ["small", "little", "tiny"], "large": ["large", "big", "huge"]}
NUMBERS = {
    2: ["two", "two", "a pair of"],
    3: ["three", "three", "a group of three"],
    4: ["four"],
    5: ["five"],
    6: ["six", "half a dozen"],
}
PLACE_WORDS = {
    "centre": ["in the middle", "in the center", "right in the middle of the picture"],
    "left": ["on the left", "on the left side", "at the left edge"],
    "right": ["on the right", "on the right side", "at the right edge"],
    "top": ["at the top", "near the top", "in the upper part"],
    "bottom": ["at the bottom", "near the bottom", "in the lower part"],
    "top left": ["in the top left corner", "in the upper left", "at the top left"],
    "top right": ["in the top right corner", "in the upper right", "at the top right"],
    "bottom left": ["in the bottom left corner", "in the lower left", "at the bottom left"],
    "bottom right": ["in the bottom right corner", "in the lower right", "at the bottom right"],
}
GROUND_WORDS = {
    "plain": ["on a {} background", "on a plain {} background", "in front of a {} wall", "against plain {}"],
    "striped": ["on {} horizontal stripes", "on a striped {} background", "in front of a striped {} wall"],
    "barred": ["on {} vertical stripes", "on a striped {} background", "in front of a striped {} wall"],
    "slanted": ["on {} diagonal stripes", "on a background of slanted {} stripes"],
    "checkered": ["on a {} checkerboard", "on a checkered {} background", "on a {} tiled floor"],
    "dotted": ["on a dotted {} background", "on a {} background with dots", "against {} polka dots"],
    "fading": ["on a {} background", "on a fading {} background", "against a smooth {} wall"],
    "speckled": ["on a rough {} background", "on a speckled {} wall", "on a grainy {} surface"],
}
TEMPLATES = {
    "single": [
        "{a} {place} {ground}",
        "there is {a} {place}",
        "a picture of {a} {ground}",
        "{a} can be seen {place}",
        "{a} sits {place} {ground}",
        "an image that shows only {a}",
        "we see {a} {ground}",
    ],
    "row": [
        "{a} in a row {ground}",
        "a row of {many} {ground}",
        "there are {a} next to each other",
        "{a} side by side {ground}",
        "a picture with {a} lined up from left to right",
        "{a} are standing in a line",
    ],
    "column": [
        "{a} in a column {ground}",
        "a column of {many} {ground}",
        "there are {a} above each other",
        "{a} stacked from top to bottom {ground}",
        "a picture with {a} in a vertical line",
        "{a} are hanging one below the other",
    ],
    "scattered": [
        "{a} scattered {ground}",
        "{a} spread all over the picture",
        "there are {a} {ground}",
        "a picture full of {many} {ground}",
        "{a} lie here and there {ground}",
        "several {many} {ground}",
    ],
    "beside": [
        "{a} to the left of {b}",
        "{b} to the right of {a} {ground}",
        "{a} next to {b} {ground}",
        "there is {a} on the left and {b} on the right",
        "a picture of {a} beside {b}",
        "{a} and {b} {ground}",
    ],
    "above": [
        "{a} above {b}",
        "{b} below {a} {ground}",
        "{a} over {b} {ground}",
        "there is {a} at the top and {b} at the bottom",
        "a picture of {b} under {a}",
        "{a} and {b} {ground}",
    ],
    "inside": [
        "{b} inside {a}",
        "{b} in front of {a} {ground}",
        "{a} with {b} in it {ground}",
        "there is {b} in the middle of {a}",
        "a picture of {a} that has {b} at its center",
        "{b} on top of {a} {ground}",
    ],
    "sides": [
        "{a} on the left and {b} on the right",
        "{a} and {b} {ground}",
        "there are {b} to the right of {a}",
        "{a} across from {b} {ground}",
        "a picture with {a} next to {b}",
        "{b} beside {a} {ground}",
    ],
}


def _pick(rng: np.random.Generator, words: list[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _things(group: Group, rng: np.random.Generator, *, plural: bool) -> str:
    """Size, colour and noun, without a number."""
    noun = _pick(rng, NOUNS[group.shape])
    if plural:
        noun = PLURALS.get(noun, noun + "s")
    says_size = group.size in SIZE_WORDS and rng.random() < 0.7
    return " ".join([*([_pick(rng, SIZE_WORDS[group.size])] if says_size else []), group.colour, noun])


def _phrase(group: Group, rng: np.random.Generator) -> str:
    if group.count > 1:
        return f"{_pick(rng, NUMBERS[group.count])} {_things(group, rng, plural=True)}"
    things = _things(group, rng, plural=False)
    return f"{'an' if things[0] in 'aeiou' else 'a'} {things}"


def describe(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Five captions of a scene, no two the same."""
    templates = TEMPLATES[scene.layout]
    captions: list[str] = []
    for number in rng.permutation(len(templates)).tolist():
        caption = templates[number].format(
            a=_phrase(scene.groups[0], rng),
            b=_phrase(scene.groups[-1], rng),
            many=_things(scene.groups[0], rng, plural=True),
            place=_pick(rng, PLACE_WORDS[scene.place]),
            ground=_pick(rng, GROUND_WORDS[scene.texture]).format(scene.ground),
        )
        if caption not in captions:
            captions.append(caption)
    return captions[:5]
