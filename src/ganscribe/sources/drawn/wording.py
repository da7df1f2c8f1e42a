"""Captions of drawn scenes.

Each colour and each shape has one word, and a caption says the colour right before the shape. So what a caption names
can be told from its words (`ganscribe.metrics.objects`).
"""

from __future__ import annotations

import numpy as np

from ganscribe.sources.drawn.composition import Scene, Thing, pick

SIZE_WORDS = {"large": ["large", "big"], "small": ["small", "little"]}
PLACE_WORDS = {
    "centre": ["in the middle", "in the center"],
    "left": ["on the left", "on the left side"],
    "right": ["on the right", "on the right side"],
    "top": ["at the top", "near the top"],
    "bottom": ["at the bottom", "near the bottom"],
}
SIDE_WORDS = {  # where the small shape is, seen from the large one; the large one, seen from it; its side
    "left": ("to the left of", "to the right of", "to its left"),
    "right": ("to the right of", "to the left of", "to its right"),
    "above": ("above", "below", "above it"),
    "below": ("below", "above", "below it"),
}
GROUND_WORDS = ["on a {} background", "in front of a {} wall"]
OF_ONE = [
    "{a} {place} {ground}",
    "there is {a} {place}",
    "a picture of {a} {ground}",
    "{a} can be seen {place}",
    "an image that shows {a}",
    "we see {a} {ground}",
]
OF_TWO = [
    "{a} with {b} {side}",
    "{b} {b_from_a} {a}",
    "{a} {a_from_b} {b} {ground}",
    "there is {a} and {b}",
    "a picture of {a} and {b} {ground}",
    "we see {a} and {b} {ground}",
]


def _phrase(thing: Thing, rng: np.random.Generator, *, says_size: bool) -> str:
    words = [*([pick(rng, SIZE_WORDS[thing.size])] if says_size else []), thing.colour, thing.shape]
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def describe(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Return five captions of a scene, no two the same; sizes are told where there are two to compare."""
    large, small = scene.things[0], scene.things[-1]
    is_alone = len(scene.things) == 1
    templates = OF_ONE if is_alone else OF_TWO
    captions = []
    for number in rng.permutation(len(templates))[:5].tolist():
        ground = pick(rng, GROUND_WORDS).format(scene.ground)
        a = _phrase(large, rng, says_size=not is_alone and rng.random() < 0.5)
        if is_alone:
            words = {"a": a, "place": pick(rng, PLACE_WORDS[scene.where])}
        else:
            b_from_a, a_from_b, side = SIDE_WORDS[scene.where]
            b = _phrase(small, rng, says_size=rng.random() < 0.5)
            words = {"a": a, "b": b, "b_from_a": b_from_a, "a_from_b": a_from_b, "side": side}
        captions.append(templates[number].format(ground=ground, **words))
    return captions
