"""Tie this pipeline's models to the MLflow runs that trained them, and to DVC's hashes of them."""

from __future__ import annotations

from _common import stage

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ganscribe.core.files import file_sha256, read_json, write_csv
from ganscribe.records import registry, sender, store
from ganscribe.records.lineage import origin
from ganscribe.records.lineage.dvc_lock import Output, Stage, owner_of, read_lock, read_stage
from ganscribe.records.runs import TrackedRun, reopen_run

INCEPTION = Path("data/features/inception.safetensors")  # goes with a captioner
TABLE = Path("data/linked_runs.csv")
ZOO_LOCK = Path("zoo/dvc.lock")
LOCKS = (Path("dvc.lock"), ZOO_LOCK)
Locks = dict[Path, str]  # the text of each of those

# Where the scores lie: with what they were made of, else the headline numbers. Where there may be several files, each
# holds one decoding.
SCORES = {
    "gan": ("data/gan_scores/{name}/scores.json", "metrics/gan/{name}.json"),
    "classifier": (
        "plots/classifiers/{name}/scores.json",
        "zoo/plots/classifiers/{name}/scores.json",
        "metrics/classifiers/{name}.json",
        "zoo/metrics/classifiers/{name}.json",
    ),
    "captioner": ("data/captioned/{name}/*.json", "metrics/captioner/{name}.json"),
}


def read_scores(family: str, name: str) -> dict[str, Any]:
    """The scores of one model, none where it has not been scored."""
    for pattern in SCORES[family]:
        paths = sorted(Path().glob(pattern.format(name=name)))
        found = {path.stem: json.loads(path.read_text()) for path in paths}
        if found:
            return found if "*" in pattern else next(iter(found.values()))
    return {}


def locked_params(locked: Stage, family: str, name: str) -> dict[str, Any]:
    """Return the parameters of a training by dvc.lock, called as the training's own run calls them.

    The cap is the run's own for the scale, else the family's; in locks of the first edition, `max_updates`.
    """
    params, caps, own, scale = {}, {}, {}, origin.scale()
    for entry, value in sorted(locked.params.items()):
        key = entry.partition(":")[2]
        short = key.removeprefix(f"{family}.runs.{name}.").removeprefix(f"{family}.zoo.{name}.")
        if short.startswith("cap."):
            own[short.removeprefix("cap.")] = value
        elif key.startswith(f"{family}.cap."):
            caps[key.removeprefix(f"{family}.cap.")] = value
        else:
            params["max_updates" if key.startswith("max_updates.") else short.removeprefix(f"{family}.")] = (
                value
            )
    found = caps | own
    return params | ({"max_updates": found[scale]} if scale in found else {})


def restore_run(tracked: TrackedRun, folder: Path, locked: Stage | None, family: str, name: str) -> None:
    """Give a run that is made afterwards what files and dvc.lock still tell of the training."""
    known = tracked.client.get_run(tracked.run_id).data.tags
    if locked is not None and "params.sha256" not in known:
        tags = origin.tags(name) | {"dvc.stage": locked.name}
        params = locked_params(locked, family, name)
        inputs, changes = origin.input_hashes(list(locked.data)), origin.git_changes()
        tracked.describe(tags=tags, params=params, inputs=inputs, changes=changes)
    kind, file = registry.REGISTERED[family]
    is_registered = store.read_versions(tracked.client, f"run_id = '{tracked.run_id}'")
    if (folder / file).is_file() and not is_registered:
        tracked.log_model(kind, folder / file, inception=INCEPTION if family == "captioner" else None)
    if not any(key.startswith("scores.") for key in known):
        tracked.score(read_scores(family, name), pipeline=origin.pipeline())


def find_output(locks: Locks, folder: Path) -> tuple[Path | None, Output | None]:
    """The lock file that records the model's folder, and its entry there; else the first file."""
    for path, text in locks.items():
        output = owner_of(text, folder.as_posix())
        if output is not None:
            return path, output
    return next(iter(locks), None), None


def link_run(client: Any, folder: Path, locks: Locks, *, run_key: str, family: str, name: str) -> str:
    """Tie the run of one model to this pipeline; returns `trained`, `linked` or `restored`.

    A model that DVC took from its run cache was trained by another pipeline's run, which gets the tag
    `linked.<pipeline>`; where the store has no run with the key, a light one is made of what there is.
    """
    run, pipeline = store.find_run(client, run_key, name=name), origin.pipeline()
    lock, output = find_output(locks, folder)
    is_restored = run is None or "restored" in run.data.tags
    is_own = run is not None and not is_restored and run.data.tags["pipeline"] == pipeline
    tracked = reopen_run(client, family=family, name=name, run_key=run_key, tags=origin.tags(name))
    if not is_own:
        client.set_tag(tracked.run_id, f"linked.{pipeline}", file_sha256(lock) if lock else "none")
    if is_restored:
        locked = read_stage(locks[lock], output.stage) if lock and output else None
        if locked is not None and lock == ZOO_LOCK:  # as `dvc repro` takes its name
            locked = replace(locked, name=f"{ZOO_LOCK.with_name('dvc.yaml')}:{locked.name}")
        restore_run(tracked, folder, locked, family=family, name=name)
    record = store.as_record(client.get_run(tracked.run_id), family)
    if output is not None and f"dvc.out.{output.path}" not in record.tags:
        client.set_tag(tracked.run_id, f"dvc.out.{output.path}", output.md5)
    registry.tag_versions(client, record, folder=folder, md5=output.md5 if output else None)
    return "trained" if is_own else "restored" if is_restored else "linked"


@stage
def main() -> None:
    """Find the MLflow run of every model, by the key that training left beside it; list the keys."""
    locks = {path: read_lock(path) for path in LOCKS if path.exists()}
    sender.finish()  # all that the other stages have recorded
    client = store.open_client()
    models = {path: read_json(path) for path in sorted(Path("models").glob("*/[!.]*/run_key.json"))}
    for path, model in models.items():
        link = link_run(client, path.parent, locks, **model)
        click.echo(f"{model['family']}/{model['name']}: {link}")
    write_csv(TABLE, list(models.values()))


if __name__ == "__main__":
    main()
