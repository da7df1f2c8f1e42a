"""What is on the images of a captions file, where it is known: a file in the layout of COCO's instances.

COCO's own objects have no colour, and its captions no fixed word for an object, so that only the scenes that this
project draws have such a file. An annotation is an object, with its `bbox` (left, top, width, height in pixels), its
category, whose `name` is the word for its shape, and its `colour`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from ganscribe.core.files import read_json

OBJECTS = Path("annotations/objects_train2014.json")


class SceneObject(NamedTuple):
    """An object on an image: the words for its colour and shape, its box and the image's size, in pixels."""

    image_id: int
    colour: str
    shape: str
    left: float
    top: float
    width: float
    height: float
    image_width: int
    image_height: int


def read_objects(path: str | Path) -> list[SceneObject]:
    """Return the objects of a file in the order in which it has them.

    Raises ValueError for broken JSON, and for objects without an image, a category, a colour or a box.
    """
    path = Path(path)
    try:
        document = read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `dvc repro download@coco`") from None
    try:
        sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
        shapes = {category["id"]: category["name"] for category in document["categories"]}
        return [_object(entry, shapes, sizes) for entry in document["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a file of drawn objects ({error!r}): correct or remove it"
        ) from error


def _object(entry: Any, shapes: dict[int, str], sizes: dict[int, tuple[int, int]]) -> SceneObject:
    words = entry["colour"], shapes[entry["category_id"]]
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError(f"object {entry['id']} has no word for its colour or shape")
    left, top, width, height = (float(value) for value in entry["bbox"])
    if not all(map(math.isfinite, (left, top))) or not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"object {entry['id']} has the box {entry['bbox']}")
    image_width, image_height = sizes[entry["image_id"]]
    return SceneObject(entry["image_id"], *words, left, top, width, height, image_width, image_height)
