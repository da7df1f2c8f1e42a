"""Captions of drawn scenes.

Each colour and each shape has one word, and a caption says the colour right before the shape. So what a caption names
can be told from its words (`ganscribe.metrics.objects`).
"""

from __future__ import annotations

import numpy as np

from ganscribe.sources.drawn.composition import Scene, Thing, pick

SIZE_WORDS = {"large": ["large", "big"], "small": ["small", "little"]}
PLACE_WORDS = {
    "left": ["on the left", "on the left side"],
    "centre": ["in the middle", "in the center"],
    "right": ["on the right", "on the right side"],
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
    "{a} with {b} to its {b_side}",
    "{b} to the {b_side} of {a}",
    "{a} to the {a_side} of {b} {ground}",
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
        caption = templates[number].format(
            a=_phrase(large, rng, says_size=not is_alone and rng.random() < 0.5),
            b=_phrase(small, rng, says_size=rng.random() < 0.5),
            a_side=large.place,
            b_side=small.place,
            place=pick(rng, PLACE_WORDS[large.place]),
            ground=pick(rng, GROUND_WORDS).format(scene.ground),
        )
        captions.append(caption)
    return captions
