"""The kinds of served models: how each is recognised and loaded, what goes in and what comes out.

Images travel as base64 text. Answers are PNG; requests may have any format that Pillow reads. A file or picture that
is too large is refused before it is decoded. If a picture cannot be read, its row of the answer has an `error`, and
the other rows are answered as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mlflow.types import ColSpec, DataType, ParamSpec
from mlflow.types.schema import Array

from ganscribe.core.weights import find_weights, load_facts
from ganscribe.serving.pictures import decode_image, encode_png, explained, read_file

MODEL, INCEPTION = "model", "inception"  # the names of their files, without the ending
MAX_COUNT = 1000  # images of one request
BATCH_SIZE = 16  # photographs captioned at once

Rows = list[dict[str, Any]]
Predict = Callable[[Rows, dict[str, Any]], Rows]
Image = TypeVar("Image")  # a picture as a model takes it

_PICTURE = {"image": "base64 text of a picture file"}
_ERROR = ColSpec(DataType.string, "error", required=False)  # the only value of a picture that cannot be read
# What loading and predicting imports. MLflow would need seconds per model to find it out.
_REQUIREMENTS = ("filelock", "mlflow", "numpy", "pandas", "pillow", "safetensors", "torch", "tqdm")


def _load_generator(folder: Path) -> Predict:
    from ganscribe.gan.common.sampling import load_generator

    saved = load_generator(find_weights(folder, MODEL))

    def predict(rows: Rows, params: dict[str, Any]) -> Rows:
        counts = [int(row["count"]) for row in rows]
        if min(counts) < 1 or sum(counts) > MAX_COUNT:
            asked = f"{min(counts)} images in a row" if min(counts) < 1 else f"{sum(counts):,} images"
            raise ValueError(f"{asked}: ask for 1 to {MAX_COUNT} in one request")
        answers = []
        for row in rows:
            images = saved.sample(int(row["count"]), seed=int(row["seed"]), device=torch.device("cpu"))
            for index, image in enumerate(images.numpy()):
                answers.append({"seed": int(row["seed"]), "index": index, "image": encode_png(image)})
        return answers

    return predict


def _answer_pictures(rows: Rows, read: Callable[[Any], Image], answer: Callable[[list[Image]], Rows]) -> Rows:
    """Answer the rows whose pictures can be read, all at once, and the others with an `error`."""
    answers: Rows = []
    pictures: list[Image] = []
    for row in rows:
        try:
            pictures.append(read(row["image"]))
            answers.append({})
        except ValueError as error:
            answers.append({"error": str(error)})
    found = iter(answer(pictures) if pictures else [])
    return [one or next(found) for one in answers]


def _load_classifier(folder: Path) -> Predict:
    from ganscribe.convnets import load_classifier
    from ganscribe.convnets.common.evaluation import predict_probabilities

    path = find_weights(folder, MODEL)
    saved, model = load_facts(path), load_classifier(path)
    channels, height, width = saved["image_shape"]
    classes = saved["classes"]

    def read(text: Any) -> np.ndarray:
        return decode_image(text, channels, size=(width, height))

    def answer(images: list[np.ndarray]) -> Rows:
        answers = []
        for probabilities in predict_probabilities(model, torch.from_numpy(np.stack(images))).tolist():
            best = classes[max(range(len(classes)), key=probabilities.__getitem__)]
            answers.append({"label": best} | dict(zip(classes, probabilities, strict=True)))
        return answers

    return lambda rows, params: _answer_pictures(rows, read, answer)


def _load_captioner(folder: Path) -> Predict:
    from ganscribe.features.pictures import load_image
    from ganscribe.serving.photographs import caption_photographs, open_captioner

    captioner = open_captioner(find_weights(folder, MODEL), find_weights(folder, INCEPTION))

    def read(text: Any) -> torch.Tensor:
        return explained(load_image, read_file(text), crop=captioner.crop)

    def predict(rows: Rows, params: dict[str, Any]) -> Rows:
        def answer(images: list[torch.Tensor]) -> Rows:
            answers = []
            for found in caption_photographs(captioner, torch.stack(images)):
                maps = {"attention": found.attention.tolist()} if params.get("attention") else {}
                answers.append({"caption": found.text, "words": found.words, **maps})
            return answers

        batches = (rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE))
        return [one for batch in batches for one in _answer_pictures(batch, read, answer)]

    return predict


def _classifier_outputs(path: Path) -> list[ColSpec]:
    classes = load_facts(path)["classes"]
    return [ColSpec(DataType.string, "label"), *(ColSpec(DataType.double, name) for name in classes), _ERROR]


def _classifier_example(path: Path) -> dict[str, Any]:
    return {"image": encode_png(np.zeros(tuple(load_facts(path)["image_shape"]), dtype=np.uint8))}


@dataclass(frozen=True)
class Kind:
    """How one kind of model file is recognised and loaded, and what goes in and out."""

    mark: str  # a key that only this kind's file has
    requirements: tuple[str, ...]
    load: Callable[[Path], Predict]
    inputs: list[ColSpec]
    meanings: dict[str, str]  # of the inputs, for a person
    outputs: Callable[[Path], list[ColSpec]]
    example: Callable[[Path], dict[str, Any]]
    params: tuple[ParamSpec, ...] = ()


KINDS: dict[str, Kind] = {
    "generator": Kind(
        mark="noise_dim",
        requirements=_REQUIREMENTS,
        load=_load_generator,
        inputs=[ColSpec(DataType.long, "seed"), ColSpec(DataType.long, "count")],
        meanings={"seed": "a whole number", "count": "how many images"},
        outputs=lambda path: [
            ColSpec(DataType.long, "seed"),
            ColSpec(DataType.long, "index"),
            ColSpec(DataType.string, "image"),
        ],
        example=lambda path: {"seed": 0, "count": 2},
    ),
    "classifier": Kind(
        mark="num_classes",
        requirements=_REQUIREMENTS,
        load=_load_classifier,
        inputs=[ColSpec(DataType.string, "image")],
        meanings=_PICTURE,
        outputs=_classifier_outputs,
        example=_classifier_example,
    ),
    "captioner": Kind(
        mark="vocabulary",
        requirements=(*_REQUIREMENTS, "pyarrow", "torchvision"),
        load=_load_captioner,
        inputs=[ColSpec(DataType.string, "image")],
        meanings=_PICTURE,
        outputs=lambda path: [
            ColSpec(DataType.string, "caption"),
            ColSpec(Array(DataType.string), "words"),
            # for each word, 64 weights, 8 x 8 row by row; only if asked for
            ColSpec(Array(Array(DataType.double)), "attention", required=False),
            _ERROR,
        ],
        params=(ParamSpec("attention", DataType.boolean, False),),
        example=lambda path: {"image": encode_png(np.zeros((3, 32, 32), dtype=np.uint8))},
    ),
}
