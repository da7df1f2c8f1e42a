"""What the commands share: the tracking store, and where the files of models are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ganscribe.records.store import MlflowClient


def send_recorded() -> None:
    """Send what stages have recorded to MLflow before it is read; say so if that does not work."""
    from ganscribe.records import outbox, sender

    try:
        sender.finish()
    except OSError as error:
        if outbox.entries(
            outbox.outbox_folder()
        ):  # else whoever reads the store next says what is wrong with it
            click.echo(str(error), err=True)


def open_store() -> MlflowClient:
    """Return the tracking store, after sending what was recorded."""
    from ganscribe.records import store

    send_recorded()
    return store.open_existing()


def _fetch_registered(kind: str, uri: str, scratch: Path) -> Path:
    """Download the model of a `models:/` URI into `scratch`, and return its file."""
    open_store()
    from ganscribe.records import store
    from ganscribe.serving.models import fetch_model

    with store.global_uri():
        return fetch_model(kind, uri, scratch)


def find_model(family: str, run: str, scratch: Path) -> Path:
    """Return the file of the family's model that `run` stands for.

    It is a run's name, a path to the file or its folder, or a `models:/` URI, which is downloaded into `scratch`.
    """
    from ganscribe import config
    from ganscribe.core.files import project_root
    from ganscribe.core.weights import EARLIER_SUFFIX, SUFFIX, find_weights
    from ganscribe.records.leaderboard import FAMILIES

    known = FAMILIES[family]
    if run.startswith("models:"):
        return _fetch_registered(known.kind, run, scratch)
    path = Path(run)
    if path.suffix in (SUFFIX, EARLIER_SUFFIX) or len(path.parts) > 1:
        if path.is_dir():
            path = find_weights(path, Path(known.file).stem)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: give a run's name, or a path to a {known.file}")
        return path
    path = find_weights(project_root() / "models" / known.folder / run, Path(known.file).stem)
    if path.is_file():
        return path
    runs = getattr(config.read(project_root())[0], family).runs
    if run not in runs:
        raise ValueError(f"there is no {known.title} run {run!r}: choose one of {', '.join(sorted(runs))}")
    raise FileNotFoundError(f"the run {run} has no model yet: make it with `dvc repro train_{family}@{run}`")
