"""Copies of what a run left, from a commit or from MLflow, in the layout of a project's folder."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.core.files import write_json
from ganscribe.records.store import RunRecord, global_uri, read_versions

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# The folder of a run's scores among its artifacts, by family.
SCORES = {"gan": "evaluation", "classifier": "evaluation", "captioner": "evaluation/captions"}


class Revision:
    """The files of a commit or DVC experiment, including those in DVC's cache.

    Raises ValueError if there is no such commit or experiment.
    """

    def __init__(self, name: str) -> None:
        from dvc.api import DVCFileSystem
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.scm import resolve_rev

        try:
            with Repo() as repo:
                self.commit = str(resolve_rev(repo.scm, name))
            self._files = DVCFileSystem(rev=self.commit)
        except DvcException as error:
            raise ValueError(
                f"{name} is neither a commit nor an experiment of this project: {error}"
            ) from error
        self.name = name

    def has(self, path: str) -> bool:
        """Return whether the revision has a file or folder, whether or not the cache has it."""
        return bool(self._files.exists(path))

    def copy(self, path: str, folder: Path, *, only: Sequence[str] = ()) -> None:
        """Copy a file or folder to the same place below `folder`, if the revision has it; `only` files named so.

        Raises FileNotFoundError if DVC's cache lacks a file, or the list of a folder's files.
        """
        from dvc_data.index import DataIndexDirError

        if not self.has(path):
            return
        try:
            files = self._files.find(path) if self._files.isdir(path) else [path]
            if not files:
                raise FileNotFoundError(path)
            for name in files:
                place = folder / name.lstrip("/")
                if not only or place.name in only:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    self._files.get_file(name, str(place))
        except (FileNotFoundError, DataIndexDirError) as error:
            raise FileNotFoundError(
                f"{path} of {self.name} is not in DVC's cache: `dvc pull {path}`, in that commit, or `dvc exp pull` "
                "may have it"
            ) from error


def _value(text: str) -> Any:
    """Return the value of a parameter that MLflow keeps as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def copy_run(
    client: MlflowClient, run: RunRecord, folder: Path, *, curve: str, scores: str, model: str
) -> None:
    """Copy the curve, the scores, the parameters and the generator of an MLflow run to their places below `folder`.

    What the run does not have is left out, and so is what its parameters say of the features. Raises ValueError for a
    run without parameters, because MLflow knows nothing about its training.
    """
    if not run.params:
        raise ValueError(
            f"the MLflow run {run.run_id} has no parameters: it was added afterwards, from files that DVC had"
        )
    downloads = folder / "artifacts"
    downloads.mkdir(parents=True)
    present = {entry.path for entry in client.list_artifacts(run.run_id)}
    for artifact, place in (("curves", Path(curve).parent), (SCORES[run.family], Path(scores))):
        if artifact.split("/")[0] in present:
            found = Path(client.download_artifacts(run.run_id, artifact, str(downloads)))
            shutil.copytree(found, folder / place, dirs_exist_ok=True)
    recipe = {key: _value(text) for key, text in run.params.items() if not key.startswith("features.")}
    write_json(folder / model / "training.json", {"recipe": recipe})
    if "run_key" in run.tags:
        write_json(folder / model / "run_key.json", {"run_key": run.tags["run_key"]})
    if run.family == "gan":
        _copy_generator(client, run, downloads, folder / model / "generator.safetensors")


def _copy_generator(client: MlflowClient, run: RunRecord, downloads: Path, place: Path) -> None:
    from ganscribe.serving.models import fetch_model

    versions = read_versions(client, f"run_id = '{run.run_id}'")
    if versions:
        with global_uri():
            uri = f"models:/{versions[-1].name}/{versions[-1].version}"
            shutil.copyfile(fetch_model("generator", uri, downloads), place)
