"""Which run made an output, and which output a run has left."""

from __future__ import annotations

import json
from pathlib import Path

from ganscribe.core.files import file_md5
from ganscribe.records.lineage.dvc_lock import Output, Stage, read_stage
from ganscribe.records.lineage.restore import Cache, commits_of_locks, lock_at
from ganscribe.records.store import RunRecord

RUN_KEY = "run_key.json"


def _run_key(output: Output, cache: Cache) -> dict[str, str] | None:
    """Return what run_key.json says in a model's folder with this hash, from the cache."""
    md5 = (cache.files(output.md5) or {}).get(RUN_KEY) if output.is_folder else None
    text = cache.read(md5) if md5 else None
    return json.loads(text) if text else None


def output_of(run: RunRecord, lock: str, cache: Cache) -> tuple[Output | None, str]:
    """Return the model that a run left (by its tag, or by its key in any commit's lock), and that lock."""
    name = run.tags.get("dvc.stage", "")
    tagged = tagged_outputs(run)
    for text in [lock, *map(lock_at, commits_of_locks("--format=%H"))]:
        stage = read_stage(text, name)
        for path, md5 in (stage.outs if stage else {}).items():
            output = Output(path=path, md5=md5, stage=name)
            key = None if tagged else _run_key(output, cache)
            if tagged.get(path) == md5 or (key and key["run_key"] == run.tags.get("run_key")):
                return output, text
    left = [Output(path=path, md5=md5, stage=name) for path, md5 in tagged.items()]
    return next(iter(left), None), ""


def tagged_outputs(run: RunRecord) -> dict[str, str]:
    """Return DVC's md5 of what the run left, by path, if link_runs has tagged the run with it."""
    mark = "dvc.out."
    return {key.removeprefix(mark): md5 for key, md5 in run.tags.items() if key.startswith(mark)}


def run_of(output: Output, stage: Stage, runs: list[RunRecord], cache: Cache) -> RunRecord | None:
    """Return the run of an output: of the model that it is, that its stage made, or that its stage scored."""
    around = {output.path: output.md5} | stage.outs | stage.deps
    for path, md5 in around.items():
        key = _run_key(Output(path=path, md5=md5, stage=stage.name), cache)
        if key is None or (path in stage.deps and key["family"] not in stage.name.split("@")[0]):
            continue  # a judge, for example, is not what the stage scores
        of_key = [run for run in runs if run.tags.get("run_key") == key["run_key"]]
        of_bytes = [run for run in of_key if tagged_outputs(run).get(path) == md5]
        return _newest(of_bytes) or _newest(of_key)
    hashes = set(stage.deps.values())
    own = [run for run in runs if run.tags.get("dvc.stage") == stage.name and not run.is_deleted]
    return next((run for run in reversed(own) if set(run.inputs.values()) <= hashes), None)


def run_of_stranger(path: Path, runs: list[RunRecord]) -> RunRecord:
    """Return the run of a file or folder that no lock records, by the run_key.json that lies with it.

    Raises FileNotFoundError without such a file or run.
    """
    keys = [folder / RUN_KEY for folder in (path, *path.parents[:2])]  # a snapshot lies one folder deeper
    beside = next((each for each in keys if each.is_file()), None)
    if beside is None or not path.exists():
        raise FileNotFoundError(
            f"no dvc.lock records {path}, and no {RUN_KEY} lies beside it: it is not an output of a stage, or "
            f"`dvc repro` has not made it yet; if somebody sent you a model, ask for its {RUN_KEY}"
        )
    try:
        key = json.loads(beside.read_text(encoding="utf-8"))["run_key"]
    except (ValueError, LookupError, TypeError):
        raise ValueError(f"{beside} is damaged, or not what a training writes") from None
    found = _newest([run for run in runs if run.tags.get("run_key") == key])
    if found is None:
        raise FileNotFoundError(
            f"MLflow has no run of the key {key} in {beside}: set MLFLOW_TRACKING_URI to the store in which it was made"
        )
    return found


def changed_by_stranger(path: Path, output: Output | None, cache: Cache) -> str | None:
    """Return how the file or folder `path` differs from the output that its run left; None if it does not."""
    listed = cache.files(output.md5) if output else None
    if listed is None:
        return f"whether {path} is as the run left it cannot be told: the list of its files is not in DVC's cache"
    files = [path] if path.is_file() else sorted(each for each in path.rglob("[!.]*") if each.is_file())
    other = [str(each) for each in files if file_md5(each) not in listed.values()]
    return f"not as the run left it: {', '.join(other)}" if other else None


def _newest(runs: list[RunRecord]) -> RunRecord | None:
    alive = [run for run in runs if not run.is_deleted and run.status == "FINISHED"]
    return next(reversed(alive or runs), None)
