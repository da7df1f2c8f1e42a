"""Captions of drawn scenes.

Each colour and each shape has one word, and a caption says the colour right before the shape. So what a caption names
can be told from its words (`ganscribe.metrics.objects`).
"""

from __future__ import annotations

import numpy as np

from ganscribe.sources.drawn.composition import Scene, pick

PLACE_WORDS = {
    "left": ["on the left", "on the left side"],
    "centre": ["in the middle", "in the center"],
    "right": ["on the right", "on the right side"],
}
GROUND_WORDS = ["on a {} background", "in front of a {} wall"]
TEMPLATES = [
    "a {thing} {place} {ground}",
    "there is a {thing} {place}",
    "a picture of a {thing} {ground}",
    "a {thing} can be seen {place}",
    "an image that shows a {thing}",
    "we see a {thing} {ground}",
]


def describe(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Return five captions of a scene, no two the same."""
    return [
        TEMPLATES[number].format(
            thing=f"{scene.colour} {scene.shape}",
            place=pick(rng, PLACE_WORDS[scene.place]),
            ground=pick(rng, GROUND_WORDS).format(scene.ground),
        )
        for number in rng.permutation(len(TEMPLATES))[:5].tolist()
    ]
