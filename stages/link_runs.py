"""Tie this pipeline's models to the MLflow runs that trained them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from _common import stage
from ganscribe import tracking
from ganscribe.runtime import file_sha256

METRICS = {
    "gan": "metrics/gan/{name}.json",
    "classifier": "metrics/classifiers/{name}.json",
    "captioner": "metrics/captioner/*.json",  # one file a decoding
}


def read_scores(family: str, name: str) -> dict[str, Any]:
    """The scores of one model; where they lie in several files, each under its file's name."""
    pattern = METRICS[family].format(name=name)
    files = {path.stem: json.loads(path.read_text()) for path in sorted(Path().glob(pattern))}
    return files if "*" in pattern else files.get(name, {})


@stage
def main() -> None:
    """Find the MLflow run of every model, by the key that training left beside it.

    A model that DVC took from its cache was trained in another pipeline: its run is tagged with this one.
    """
    lock = Path("dvc.lock")
    lock_sha256 = file_sha256(lock) if lock.exists() else "none"
    for path in sorted(Path("models").rglob("run_key.json")):
        found = json.loads(path.read_text())
        family, name = found["family"], found["name"]
        link = tracking.link_run(
            found["run_key"],
            family=family,
            name=name,
            scores=read_scores(family, name),
            lock_sha256=lock_sha256,
        )
        click.echo(f"{family}/{name}: {link}")


if __name__ == "__main__":
    main()
