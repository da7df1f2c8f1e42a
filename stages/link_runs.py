"""Tie this pipeline's models to the MLflow runs that trained them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from _common import stage
from ganscribe import origin, tracking
from ganscribe.runtime import file_sha256

METRICS = {
    "gan": "metrics/gan/{name}.json",
    "classifier": "metrics/classifiers/{name}.json",
    "captioner": "metrics/captioner/{name}.json",
}


def read_scores(home: Path, family: str, name: str) -> dict[str, Any]:
    """The scores of one model, none where it has not been scored."""
    path = home / METRICS[family].format(name=name)
    return json.loads(path.read_text()) if path.exists() else {}


def link_run(client: Any, run_key: str, *, family: str, name: str, lock_sha256: str, home: Path) -> str:
    """Tie the run of one model to this pipeline; returns `trained`, `linked` or `restored`.

    A model that DVC took from its run cache was trained by another pipeline's run, which gets the tag
    `linked.<pipeline>`; where the store has no run with the key, a light one is made of the scores.
    """
    run, pipeline = tracking.find_run(client, run_key), origin.pipeline()
    is_restored = run is None or "restored" in run.data.tags
    if run is not None and not is_restored and run.data.tags["pipeline"] == pipeline:
        return "trained"
    with tracking.reopened_run(run_key, family=family, name=name) as tracked:
        client.set_tag(tracked.run_id, f"linked.{pipeline}", lock_sha256)
        if is_restored:
            tracked.score(read_scores(home, family, name))
    return "restored" if is_restored else "linked"


@stage
@click.option("--home", type=Path, default=".", help="Where models/, metrics/ and dvc.lock are.")
def main(home: Path) -> None:
    """Find the MLflow run of every model, by the key that training left beside it."""
    lock = home / "dvc.lock"
    lock_sha256 = file_sha256(lock) if lock.exists() else "none"
    client = tracking.open_client()
    for path in sorted((home / "models").rglob("run_key.json")):
        model = json.loads(path.read_text())
        link = link_run(client, **model, lock_sha256=lock_sha256, home=home)
        click.echo(f"{model['family']}/{model['name']}: {link}")


if __name__ == "__main__":
    main()
