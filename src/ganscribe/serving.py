"""MLflow pyfunc models: a generator, a classifier and a captioner that `mlflow models serve` can run.

Images travel as base64 text of PNG (any format that pillow reads is taken in).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image

from ganscribe.runtime import load_torch

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Rows = list[dict[str, Any]]

# What loading and predicting imports; given to MLflow, since finding it out takes seconds a model.
REQUIREMENTS = ("filelock", "mlflow", "numpy", "pandas", "pillow", "torch", "tqdm")


def encode_png(image: np.ndarray) -> str:
    """uint8 pixels (C, H, W), C = 1 or 3 -> base64 text of a PNG."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def decode_image(text: str, num_channels: int) -> np.ndarray:
    """Base64 text of an image file -> uint8 pixels (C, H, W). Raises ValueError for anything else."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
        pixels = np.asarray(image.convert("L" if num_channels == 1 else "RGB"))
    except (ValueError, OSError) as error:
        raise ValueError(f"the input is no base64 text of an image file: {error}") from error
    return pixels[None] if num_channels == 1 else pixels.transpose(2, 0, 1)


def _load_generator(path: Path) -> Callable[[Rows], Rows]:
    from ganscribe.gan.sampling import load_generator, sample_images

    saved = load_generator(path)

    def predict(rows: Rows) -> Rows:
        answers = []
        for row in rows:
            images = sample_images(
                saved.network,
                int(row["count"]),
                noise_dim=saved.noise_dim,
                noise=saved.noise,
                seed=int(row["seed"]),
                device=torch.device("cpu"),
            )
            for index, image in enumerate(images.numpy()):
                answers.append({"seed": int(row["seed"]), "index": index, "image": encode_png(image)})
        return answers

    return predict


def _load_classifier(path: Path) -> Callable[[Rows], Rows]:
    from ganscribe.convnets import load_classifier
    from ganscribe.convnets.evaluation import predict_probabilities

    saved, model = load_torch(path), load_classifier(path)
    shape, classes = tuple(saved["image_shape"]), saved["classes"]

    def predict(rows: Rows) -> Rows:
        images = [decode_image(row["image"], shape[0]) for row in rows]
        for image in images:
            if image.shape != shape:
                raise ValueError(f"the image is {image.shape} (C, H, W), the classifier takes {shape}")
        table = predict_probabilities(model, torch.from_numpy(np.stack(images))).tolist()
        answers = []
        for probabilities in table:
            best = classes[max(range(len(classes)), key=probabilities.__getitem__)]
            answers.append({"label": best} | dict(zip(classes, probabilities, strict=True)))
        return answers

    return predict


def _classifier_outputs(path: Path) -> list[ColSpec]:
    classes = load_torch(path)["classes"]
    return [ColSpec(DataType.string, "label"), *(ColSpec(DataType.double, name) for name in classes)]


def _classifier_example(path: Path) -> dict[str, Any]:
    return {"image": encode_png(np.zeros(tuple(load_torch(path)["image_shape"]), dtype=np.uint8))}


@dataclass(frozen=True)
class Kind:
    """How one kind of model file is known, loaded (path -> rows to rows), and what goes in and comes out."""

    mark: str  # a key that only this kind's file has
    load: Callable[[Path], Callable[[Rows], Rows]]
    inputs: list[ColSpec]
    outputs: Callable[[Path], list[ColSpec]]
    example: Callable[[Path], dict[str, Any]]


KINDS: dict[str, Kind] = {
    "generator": Kind(
        mark="noise_dim",
        load=_load_generator,
        inputs=[ColSpec(DataType.long, "seed"), ColSpec(DataType.long, "count")],
        outputs=lambda path: [
            ColSpec(DataType.long, "seed"),
            ColSpec(DataType.long, "index"),
            ColSpec(DataType.string, "image"),
        ],
        example=lambda path: {"seed": 0, "count": 2},
    ),
    "classifier": Kind(
        mark="num_classes",
        load=_load_classifier,
        inputs=[ColSpec(DataType.string, "image")],
        outputs=_classifier_outputs,
        example=_classifier_example,
    ),
}


class Served:
    """What MLflow holds of a loaded model: rows of a data frame in, rows of a data frame out."""

    def __init__(self, path: Path) -> None:
        self.predict_rows = KINDS[kind_of(path)].load(path)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer the rows of `model_input`."""
        rows = [
            dict(zip(model_input.columns, row, strict=True)) for row in model_input.itertuples(index=False)
        ]
        return pd.DataFrame(self.predict_rows(rows))


def _load_pyfunc(path: str) -> Served:
    """MLflow's entry: the model whose file lies at `path`."""
    return Served(Path(path))


def kind_of(path: Path) -> str:
    """The kind of the model file at `path`, by what it holds. Raises ValueError for another file."""
    saved = load_torch(path)
    for name, kind in KINDS.items():
        if kind.mark in saved:
            return name
    raise ValueError(f"{path} is no model of a kind that can be served: {', '.join(KINDS)}")


def log_model(
    client: MlflowClient, kind: str, path: Path, *, experiment_id: str, run_id: str, registered_name: str
) -> str:
    """Add the model file at `path` to the run as a pyfunc, registered; returns its version.

    The package's own code travels with the model, so that it can be served where ganscribe is not installed.
    Raises ValueError where the file is not of the `kind`, FileNotFoundError where there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} cannot be logged as a model: there is no such file")
    if kind_of(path) != kind:
        raise ValueError(f"{path} holds a {kind_of(path)}, it cannot be logged as a {kind}")
    entry = client.create_logged_model(experiment_id, name=kind, source_run_id=run_id)
    info = Model.log(
        artifact_path=None,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        model_id=entry.model_id,
        registered_model_name=registered_name,
        loader_module="ganscribe.serving",
        data_path=str(path),
        code_paths=[str(Path(__file__).parent)],
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        signature=ModelSignature(Schema(KINDS[kind].inputs), Schema(KINDS[kind].outputs(path))),
        input_example=pd.DataFrame([KINDS[kind].example(path)]),
    )
    return str(info.registered_model_version)
