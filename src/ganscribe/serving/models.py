"""MLflow pyfunc models: a generator, a classifier and a captioner that `mlflow models serve` can run.

Images travel as base64 text of PNG (any format that pillow reads is taken in). The data of a served model is
a folder: `model.pt` as training saved it, and for a captioner `inception.pt`, the network that made its
features.

What is wrong with a request is an MlflowException that the server answers with status 400. A file or picture
that is too large is refused before it is decoded. Requests that come at once are computed one after the
other: the network uses all cores for one, and memory does not grow with their number.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

from ganscribe.core.files import load_torch
from ganscribe.serving.pictures import decode_image, encode_png, read_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MODEL, INCEPTION = "model.pt", "inception.pt"
# The rooms that a served model imports. Each file that travels with a model is a request to MLflow's server.
ROOMS = ("core", "datasets", "features", "gan", "convnets", "captioning", "serving")

MAX_COUNT = 1000  # images of one request
BATCH_SIZE = 16  # photographs captioned at once

Rows = list[dict[str, Any]]
Predict = Callable[[Rows, dict[str, Any]], Rows]

# What loading and predicting imports; given to MLflow, since finding it out takes seconds a model.
_REQUIREMENTS = ("filelock", "mlflow", "numpy", "pandas", "pillow", "torch", "tqdm")


def _load_generator(folder: Path) -> Predict:
    from ganscribe.gan.common.sampling import load_generator

    saved = load_generator(folder / MODEL)

    def predict(rows: Rows, params: dict[str, Any]) -> Rows:
        answers = []
        counts = [int(row["count"]) for row in rows]
        if min(counts) < 1 or sum(counts) > MAX_COUNT:
            raise ValueError(f"{sum(counts)} images: ask for 1 to {MAX_COUNT} in one request")
        for row in rows:
            images = saved.sample(int(row["count"]), seed=int(row["seed"]), device=torch.device("cpu"))
            for index, image in enumerate(images.numpy()):
                answers.append({"seed": int(row["seed"]), "index": index, "image": encode_png(image)})
        return answers

    return predict


def _load_classifier(folder: Path) -> Predict:
    from ganscribe.convnets import load_classifier
    from ganscribe.convnets.common.evaluation import predict_probabilities

    saved, model = load_torch(folder / MODEL), load_classifier(folder / MODEL)
    shape, classes = tuple(saved["image_shape"]), saved["classes"]

    def predict(rows: Rows, params: dict[str, Any]) -> Rows:
        images = []
        for row in rows:
            images.append(decode_image(row["image"], shape[0]))
            if images[-1].shape != shape:
                raise ValueError(f"the image is {images[-1].shape} (C, H, W), the classifier takes {shape}")
        table = predict_probabilities(model, torch.from_numpy(np.stack(images))).tolist()
        answers = []
        for probabilities in table:
            best = classes[max(range(len(classes)), key=probabilities.__getitem__)]
            answers.append({"label": best} | dict(zip(classes, probabilities, strict=True)))
        return answers

    return predict


def _load_captioner(folder: Path) -> Predict:
    from ganscribe.features.pictures import load_image
    from ganscribe.serving.photographs import caption_photographs, open_captioner

    captioner = open_captioner(folder / MODEL, folder / INCEPTION)

    def predict(rows: Rows, params: dict[str, Any]) -> Rows:
        answers = []
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            images = [load_image(read_file(row["image"]), crop=captioner.crop) for row in batch]
            for found in caption_photographs(captioner, torch.stack(images)):
                maps = {"attention": found.attention.tolist()} if params.get("attention") else {}
                answers.append({"caption": found.text, "words": found.words, **maps})
        return answers

    return predict


def _classifier_outputs(path: Path) -> list[ColSpec]:
    classes = load_torch(path)["classes"]
    return [ColSpec(DataType.string, "label"), *(ColSpec(DataType.double, name) for name in classes)]


def _classifier_example(path: Path) -> dict[str, Any]:
    return {"image": encode_png(np.zeros(tuple(load_torch(path)["image_shape"]), dtype=np.uint8))}


@dataclass(frozen=True)
class Kind:
    """How one kind of model file is known and loaded, and what goes in and out."""

    mark: str  # a key that only this kind's file has
    requirements: tuple[str, ...]
    load: Callable[[Path], Predict]
    inputs: list[ColSpec]
    outputs: Callable[[Path], list[ColSpec]]
    example: Callable[[Path], dict[str, Any]]
    params: tuple[ParamSpec, ...] = ()


KINDS: dict[str, Kind] = {
    "generator": Kind(
        mark="noise_dim",
        requirements=_REQUIREMENTS,
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
        requirements=_REQUIREMENTS,
        load=_load_classifier,
        inputs=[ColSpec(DataType.string, "image")],
        outputs=_classifier_outputs,
        example=_classifier_example,
    ),
    "captioner": Kind(
        mark="vocabulary",
        requirements=(*_REQUIREMENTS, "pyarrow", "torchvision"),
        load=_load_captioner,
        inputs=[ColSpec(DataType.string, "image")],
        outputs=lambda path: [
            ColSpec(DataType.string, "caption"),
            ColSpec(Array(DataType.string), "words"),
            # a word: 64 positions, 8 x 8 row by row; where it is asked for
            ColSpec(Array(Array(DataType.double)), "attention", required=False),
        ],
        params=(ParamSpec("attention", DataType.boolean, False),),
        example=lambda path: {"image": encode_png(np.zeros((3, 32, 32), dtype=np.uint8))},
    ),
}


class Served:
    """What MLflow holds of a loaded model: rows of a data frame in, rows of a data frame out."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.predict_rows = KINDS[kind_of(folder / MODEL)].load(folder)
        self._turn = threading.Lock()

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer the rows of `model_input`. Raises MlflowException for what is wrong with them."""
        rows = [
            dict(zip(model_input.columns, row, strict=True)) for row in model_input.itertuples(index=False)
        ]
        if not rows:
            raise MlflowException.invalid_parameter_value("the request has no rows: send at least one")
        try:
            with self._turn:
                return pd.DataFrame(self.predict_rows(rows, params or {}))
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def load(folder: str | Path) -> Served:
    """Return the model whose files lie in `folder`, and leave `sys.path` as it was before MLflow loaded the model.

    MLflow puts the code that travels with a model in front of it. Whatever is imported later of the package in use is
    found without that, in the package's own folder; but processes that this one spawns take its `sys.path`, and would
    find a package without the rooms that a model does not need, such as `training`. Where there is no other ganscribe
    to be found, the model's code stays on the path: such processes have nothing else.
    """
    try:
        return Served(folder)
    finally:
        home = next((parent for parent in Path(folder).parents if (parent / "MLmodel").is_file()), None)
        before = sys.path
        sys.path = [entry for entry in before if home is None or Path(entry) != home / "code"]
        package = __name__.partition(".")[0]
        found = [finder.find_spec(package, None) for finder in sys.meta_path]
        if not any(spec is not None and spec.origin is not None for spec in found):
            sys.path = before


def kind_of(path: Path) -> str:
    """The kind of the model file at `path`, by what it holds. Raises ValueError for another file."""
    saved = load_torch(path)
    for name, kind in KINDS.items():
        if isinstance(saved, dict) and kind.mark in saved:
            return name
    raise ValueError(f"{path} is not a model of a kind that can be served: {', '.join(KINDS)}")


def _other_rooms(folder: str, names: list[str]) -> list[str]:
    """Return what of a folder does not travel. The package of an earlier version, without rooms, does as a whole."""
    has_rooms = Path(folder, "serving", "__init__.py").is_file()
    travels = {*ROOMS, "__init__.py"} if has_rooms else set(names)
    return [name for name in names if name not in travels or name == "__pycache__"]


def log_model(
    client: MlflowClient,
    kind: str,
    path: Path,
    *,
    inception: Path | None = None,
    code: Path = Path(__file__).parents[1],
    experiment_id: str,
    run_id: str,
    registered_name: str,
) -> str:
    """Add the model file at `path` to the run as a pyfunc, registered; returns its version.

    A captioner needs `inception`, which extract_features leaves. The `ROOMS` of the package in the folder
    `code` travel with the model, so that it can be served where ganscribe is not installed. Raises ValueError
    where the file is not of the `kind`, FileNotFoundError where there is none.
    """
    parts = {MODEL: path} | ({INCEPTION: inception} if inception else {})
    for part in parts.values():
        if not part.is_file():
            raise FileNotFoundError(f"{part} cannot be logged as a model: there is no such file")
    if kind_of(path) != kind:
        raise ValueError(f"{path} holds a {kind_of(path)}, it cannot be logged as a {kind}")
    if (kind == "captioner") != (inception is not None):
        raise ValueError("a captioner, and nothing else, is logged with its `inception` network")
    entry = client.create_logged_model(experiment_id, name=kind, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as code_folder:
        for name, part in parts.items():
            shutil.copyfile(part, Path(folder, name))
        package = shutil.copytree(code, Path(code_folder, "ganscribe"), ignore=_other_rooms)
        info = Model.log(
            artifact_path=None,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            model_id=entry.model_id,
            registered_model_name=registered_name,
            loader_module="ganscribe.serving",
            data_path=folder,
            code_paths=[str(package)],
            pip_requirements=[f"{name}=={version(name)}" for name in KINDS[kind].requirements],
            signature=ModelSignature(
                Schema(KINDS[kind].inputs),
                Schema(KINDS[kind].outputs(path)),
                ParamSchema(list(KINDS[kind].params)) if KINDS[kind].params else None,
            ),
            input_example=pd.DataFrame([KINDS[kind].example(path)]),
        )
    return str(info.registered_model_version)


def fetch_model(kind: str, uri: str, folder: Path) -> Path:
    """Download the model that `log_model` has registered as `uri` into `folder`; returns its model file.

    `uri`: models:/name/version or models:/name@alias, in MLflow's global store (see store.global_uri).
    Raises FileNotFoundError where there is none, ValueError where it is not of the `kind`.
    """
    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except MlflowException as error:
        reason = error.message.strip().splitlines()[0]
        raise FileNotFoundError(f"{uri} cannot be had from the model registry: {reason}") from error
    if not Path(found, "MLmodel").is_file():  # MLflow takes a missing folder for an empty one
        raise FileNotFoundError(f"{uri} is in the model registry, but its files are gone from the store")
    path = next(found.glob(f"data/*/{MODEL}"), None)
    if path is None or kind_of(path) != kind:
        raise ValueError(f"{uri} is not a {kind} of this project")
    return path
