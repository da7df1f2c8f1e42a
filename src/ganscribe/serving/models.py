"""MLflow pyfunc models: a generator, a classifier and a captioner that `mlflow models serve` can run.

The data of a served model is a folder. It contains `model.safetensors` as training saved it, and for a captioner also
`inception.safetensors`, the network that made its features (`.pt` in models of earlier versions). `serving/kinds.py`
says what goes in and out, by the kind of model.

A request that is refused raises `Refused`, which the server answers with status 400. Requests that come at the same
time are computed one after the other: the network uses all cores for each, and memory does not grow with their number.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts
import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ParamSchema, Schema

from ganscribe.core.weights import find_weights, load_facts
from ganscribe.serving.kinds import INCEPTION, KINDS, MODEL
from ganscribe.serving.refusals import Refused, check_request, refuse_before_mlflow

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# The rooms that a served model imports. Only these travel with it, since each file is one request to MLflow's server.
ROOMS = ("core", "datasets", "features", "gan", "convnets", "captioning", "serving")


class Served:
    """A loaded model as MLflow sees it: rows of a data frame in, rows of a data frame out."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.kind = KINDS[kind_of(find_weights(folder, MODEL))]
        self.predict_rows = self.kind.load(folder)
        self._turn = threading.Lock()

    def check_request(self, model_input: Any, params: Any = None) -> None:
        """Raise Refused if a request has something that the model does not know, or lacks something that it needs."""
        check_request(model_input, params, inputs=self.kind.meanings, params_known=self.kind.params)

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer the rows of `model_input`. A row that cannot be read has an `error` instead of an answer.

        Raises Refused, with the first reason, if no row can be read.
        """
        self.check_request(model_input, params)
        rows = [
            dict(zip(model_input.columns, row, strict=True)) for row in model_input.itertuples(index=False)
        ]
        try:
            with self._turn:
                answers = self.predict_rows(rows, dict(params or {}))
        except ValueError as error:
            raise Refused(str(error)) from error
        errors = [answer["error"] for answer in answers if answer.keys() == {"error"}]
        if len(errors) == len(answers):
            raise Refused(
                errors[0] if len(rows) == 1 else f"none of the {len(rows)} rows can be read: {errors[0]}"
            )
        names = dict.fromkeys(name for answer in answers for name in answer)  # in their order
        table = [[answer.get(name) for name in names] for answer in answers]
        return pd.DataFrame(table, columns=list(names), dtype=object if errors else None)


def load(folder: str | Path) -> Served:
    """Return the model whose files lie in `folder`, and leave `sys.path` as it was before MLflow loaded the model.

    MLflow puts the code that travels with a model at the front of `sys.path`. Later imports in this process do not need
    it, because a package's modules are found in the package's own folder. But processes that this one spawns inherit
    `sys.path`, and would find a package without the rooms that a model does not need, such as `training`. If there is
    no other ganscribe, the model's code stays on the path, because such processes have nothing else.
    """
    refuse_before_mlflow()
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
    """Return the kind of the model file at `path`, by its content. Raises ValueError for any other file."""
    facts = load_facts(path)
    for name, kind in KINDS.items():
        if kind.mark in facts:
            return name
    raise ValueError(f"{path} is not a model of a kind that can be served: {', '.join(KINDS)}")


def _other_rooms(folder: str, names: list[str]) -> list[str]:
    """Return what in a folder does not travel. All of an earlier version's package travels, because it has no rooms."""
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
    """Add the model file at `path` to the run as a pyfunc, register it, and return its version.

    A captioner needs `inception`, the network that extract_features writes. The `ROOMS` of the package in the folder
    `code` travel with the model, so that it can be served where ganscribe is not installed. Raises ValueError if the
    file is not of the `kind`, and FileNotFoundError if there is none.
    """
    parts = {MODEL: path} | ({INCEPTION: inception} if inception else {})
    for part in parts.values():
        if not part.is_file():
            raise FileNotFoundError(f"{part} cannot be logged as a model: there is no such file")
    if kind_of(path) != kind:
        raise ValueError(f"{path} holds a {kind_of(path)}: it cannot be logged as a {kind}")
    if (kind == "captioner") != (inception is not None):
        raise ValueError("a captioner, and nothing else, is logged with its `inception` network")
    entry = client.create_logged_model(experiment_id, name=kind, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as code_folder:
        for name, part in parts.items():
            shutil.copyfile(part, Path(folder, name + part.suffix))
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
    """Download the model that `log_model` registered as `uri` into `folder`, and return its model file.

    `uri`: models:/name/version or models:/name@alias, in MLflow's global store (see store.global_uri).
    Raises FileNotFoundError if there is none, and ValueError if it is not of the `kind`.
    """
    try:
        found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except MlflowException as error:
        reason = error.message.strip().splitlines()[0]
        if not set("/@") & set(uri.removeprefix("models:").strip("/")):  # MLflow takes it for a model's id
            reason = f"it names no version: write {uri}/1 or {uri}@candidate"
        raise FileNotFoundError(f"{uri} cannot be fetched from the model registry: {reason}") from error
    if not Path(found, "MLmodel").is_file():  # MLflow takes a missing folder for an empty one
        raise FileNotFoundError(f"{uri} is in the model registry, but its files are no longer in the store")
    path = next((find_weights(data, MODEL) for data in found.glob("data/*")), found)
    if not path.is_file() or kind_of(path) != kind:
        raise ValueError(f"{uri} is not a {kind} of this project")
    return path
