"""Where a run, a file or a registered model comes from, and the commands that bring it back."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.core.files import atomic_write, project_root
from ganscribe.records.lineage import matching, restore
from ganscribe.records.lineage.dvc_lock import Output, Stage, owner_of, read_locks, read_outputs, read_stage
from ganscribe.records.lineage.restore import Cache, Recording
from ganscribe.records.place import as_path
from ganscribe.records.rows import Rows
from ganscribe.records.store import (
    RunRecord,
    VersionRecord,
    open_existing,
    open_reader,
    read_runs,
    read_versions,
)

if TYPE_CHECKING:
    from ganscribe.records.store import MlflowClient

PATCH = "git.diff"


@dataclass(kw_only=True)
class Lineage:
    """All that is known about one artifact; `commands` bring it back, `warnings` say what no longer matches."""

    subject: str
    output: Output | None = None
    part: str = "."  # the path inside an output that is a folder
    stranger: str | None = None  # a file that no dvc.lock records, known by its run_key.json
    is_here: bool = False  # whether it is in the working folder, as recorded
    run: RunRecord | None = None
    commit: str | None = None
    is_dirty: bool = False
    recorded: list[Recording] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    versions: list[VersionRecord] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def trace(subject: str) -> Lineage:
    """Return the lineage of a run's id (or its first digits), a file or folder, or a `models:/` URI.

    Raises ValueError for anything else, and FileNotFoundError if MLflow or dvc.lock do not know it.
    """
    found = Lineage(subject=subject)
    lock = present = read_locks(project_root())
    with restore.open_cache() as cache:
        client = _client(found, is_needed=_is_id(subject) or subject.startswith("models:"))
        runs = read_runs(client) if client else []
        if subject.startswith("models:") and client:
            _from_version(found, client, runs)
        elif _is_id(subject):
            _from_id(found, runs)
        else:
            lock = _from_file(found, lock, runs)
        if found.output is None and found.run is not None:
            found.output, lock = matching.output_of(found.run, lock, cache)
            if found.stranger:
                changed = matching.changed_by_stranger(Path(found.stranger), found.output, cache)
                found.warnings += [changed] if changed else []
        stage = read_stage(lock, found.output.stage) if found.output else None
        if found.run is None and found.output is not None and stage is not None:
            found.run = matching.run_of(found.output, stage, runs, cache)
        _describe(found, stage)
        if client and found.run:
            found.versions = read_versions(client, f"run_id = '{found.run.run_id}'")
        _find_way_back(found, client, present, cache)
    return found


def _is_id(subject: str) -> bool:
    digits = set(subject.lower()) <= set("0123456789abcdef")
    return digits and 6 <= len(subject) <= 32 and not Path(subject).exists()


def _client(found: Lineage, *, is_needed: bool) -> MlflowClient | Rows | None:
    try:
        return open_reader()
    except OSError as error:
        if is_needed:
            raise
        found.warnings.append(str(error))
        return None


def _from_id(found: Lineage, runs: list[RunRecord]) -> None:
    chosen = [run for run in runs if run.run_id.startswith(found.subject.lower())]
    if len(chosen) != 1:
        problem = "no run has this id" if not chosen else f"the ids of {len(chosen)} runs begin like this"
        raise ValueError(f"{found.subject}: {problem}: `ganscribe runs` lists the runs")
    found.run = chosen[0]


def _from_version(found: Lineage, client: MlflowClient | Rows, runs: list[RunRecord]) -> None:
    name, _, alias = found.subject.removeprefix("models:/").partition("@")
    number = ""
    if not alias:
        name, _, number = name.partition("/")
    versions = read_versions(client, f"name = '{name}'")
    chosen = [each for each in versions if each.version == number or (alias and alias in each.aliases)]
    if not chosen:
        known = ", ".join(f"{each.version}" for each in versions) or "none"
        raise FileNotFoundError(
            f"{found.subject} is not in the model registry, which has these versions of {name}: {known}"
        )
    found.run = next((run for run in runs if run.run_id == chosen[0].run_id), None)
    if found.run is None:
        found.warnings.append(f"the run {chosen[0].run_id} of this version is no longer in MLflow")
        found.data = {"dvc.md5": chosen[0].tags["dvc.md5"]} if "dvc.md5" in chosen[0].tags else {}
    found.versions = [chosen[0]]


def _from_file(found: Lineage, lock: str, runs: list[RunRecord]) -> str:
    """Find the output that the file belongs to, in the working folder's lock or a commit's; return that lock.

    The run of a file that is in none is found by its run_key.json.
    """
    path = Path(os.path.normpath(project_root() / found.subject))
    if not path.is_relative_to(project_root()):
        found.stranger, found.run = str(path), matching.run_of_stranger(path, runs)
        return lock
    name = path.relative_to(project_root()).as_posix()
    found.output = owner_of(lock, name)
    if found.output is not None:
        found.part = Path(name).relative_to(found.output.path).as_posix()
        return lock
    for commit in restore.commits_of_locks("--format=%H"):
        older = restore.lock_at(commit)
        found.output = owner_of(older, name)
        if found.output is not None:
            found.warnings.append(f"dvc.lock no longer records {name}; the commit {commit[:7]} does")
            return older
    found.stranger, found.run = str(path), matching.run_of_stranger(path, runs)
    return lock


def _describe(found: Lineage, stage: Stage | None) -> None:
    """Find parameters, data and commit, from the lock or else from the run, and warn of what is wrong."""
    run = found.run
    if stage is not None:
        found.params, found.data = stage.params, stage.data
    elif run is not None:
        found.params, found.data = dict(run.params), run.inputs
    if run is None:
        found.warnings.append(
            "MLflow has no run of it: its stage records none, or the run was recorded elsewhere or deleted for good"
        )
        return
    if run.is_deleted:
        found.warnings.append(f"the MLflow run was deleted: `{run.restored_by}` brings it back")
    if run.status != "FINISHED":
        found.warnings.append(f"the MLflow run has not finished: it is {run.status}")
    if "restored" in run.tags:
        found.warnings.append(
            "the run was added afterwards, from files that DVC had: its commit is the one of that moment"
        )
    found.commit = run.tags.get("git.commit", "unknown")
    found.is_dirty = run.tags.get("git.dirty") == "true"
    if found.commit == "unknown":
        found.warnings.append("the commit is unknown: the run was made outside git")
    elif not restore.has_commit(found.commit):
        found.warnings.append(f"the commit {found.commit} is not in this repository: try `git fetch --all`")
    tagged = run.tags.get(f"dvc.out.{found.output.path}") if found.output else None
    if found.output and tagged not in (None, found.output.md5):
        found.warnings.append(
            f"{found.output.path} is {found.output.md5} here, but the run left {tagged}, which was made elsewhere"
        )


def _find_way_back(found: Lineage, client: MlflowClient | Rows | None, lock: str, cache: Cache) -> None:
    output, run = found.output, found.run
    if output is not None:
        found.recorded = restore.recordings(output)
        if not cache.has(output.md5) and not restore.is_kept_by_git(output.path):
            remedy = (
                f": `dvc pull {output.path}` may have it"
                if cache.has_remote
                else ", and no remote is configured"
            )
            found.warnings.append(f"{output.path} ({output.md5}) is not in DVC's cache{remedy}")
        working = read_outputs(lock)
        if working.get(output.path) == output:
            differences = restore.changes(output, cache, part=found.part)
            found.is_here, found.warnings = not differences, found.warnings + differences
            if differences and (cache.has(output.md5) or restore.is_kept_by_git(output.path)):
                found.commands = restore.in_place(output)
                if damaged := restore.damaged_copies(output, cache, part=found.part):
                    found.warnings.append(
                        f"DVC's cache has damaged copies of {len(damaged)} of its files, too"
                    )
                    found.commands = restore.instead_of(damaged, output, cache)
                return
            if differences and not restore.has_changes():
                found.commands = [restore.get_again(output, cache)]
                return
        if found.recorded:
            found.commands = restore.to_recording(output, found.recorded[0], cache)
            return
    if run is not None and found.commit and restore.has_commit(found.commit):
        patch = _patch(found, run) if found.is_dirty and client else None
        found.commands = restore.to_run(found.commit, patch, run.tags["dvc.stage"])
        if output is not None and not cache.remembers_run(output.md5):
            found.warnings.append("DVC's run cache has no such run: `dvc repro` makes it again")
    elif run is None and found.is_here and output is not None and cache.has(output.md5):
        found.warnings.append(
            "no commit records it yet: `git add dvc.lock && git commit` keeps the way to it"
        )
        found.commands = restore.in_place(output)


def _read_artifact(client: MlflowClient, run_id: str, name: str) -> str | None:
    """Return the text of a run's artifact, or None if the run has none of this name."""
    if name not in [entry.path for entry in client.list_artifacts(run_id)]:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, name, folder)
        return Path(path).read_text(encoding="utf-8", errors="replace")


def _patch(found: Lineage, run: RunRecord) -> str | None:
    """Return the file of the run's uncommitted changes, if it has any that git can apply."""
    text = _read_artifact(open_existing(), run.run_id, PATCH)
    if text is None:
        found.warnings.append("the run had uncommitted changes, but its git.diff is no longer in MLflow")
        return None
    untracked = [line[3:] for line in text.splitlines() if line.startswith("?? ")]
    if untracked:
        found.warnings.append(
            "files that git did not know were there, and cannot be brought back: " + ", ".join(untracked)
        )
    if "\ndiff --git " not in text:
        return None
    kept = as_path(run.artifact_uri) / PATCH
    if not kept.is_file():  # it is on a server
        kept = project_root() / ".checkpoints" / f"{run.run_id}.diff"
        with atomic_write(kept) as handle:
            handle.write(text.encode())
    return kept.relative_to(project_root()).as_posix() if kept.is_relative_to(project_root()) else str(kept)


def as_text(found: Lineage) -> str:
    """Return what is known, for the terminal; the commands are alone at the end, to be copied."""
    run, output = found.run, found.output
    lines = [("", found.subject)]
    if output:
        place = "here, as recorded" if found.is_here else "not here as recorded"
        lines.append(("output", f"{output.path}, md5 {output.md5}, by the stage {output.stage}: {place}"))
    if found.commit:
        changed = ", with uncommitted changes" if found.is_dirty else ""
        lines.append(("commit", f"{found.commit}{changed}"))
    for each in found.recorded:
        name = f"the experiment {each.experiment}" if each.experiment else each.subject
        lines.append(("recorded in", f"{each.commit[:12]} {name}"))
    if run:
        lines.append(("MLflow run", f"{run.run_id} {run.name}, {run.status}, in ganscribe/{run.family}"))
        experiment = run.tags.get("dvc.exp_name")
        made_by = f"the DVC experiment {experiment}" if experiment else "a plain `dvc repro`"
        lines.append(("pipeline", f"{run.tags.get('pipeline', 'unknown')} ({made_by})"))
        linked = [key.removeprefix("linked.") for key in run.tags if key.startswith("linked.")]
        lines += [("also in", f"{name}, which took it from DVC's cache") for name in sorted(linked)]
    for version in found.versions:
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        lines.append(("registered as", f"models:/{version.name}/{version.version}{aliases}"))
    lines += [("data", f"{path} {md5}") for path, md5 in sorted(found.data.items())]
    lines += [("parameter", f"{key} = {value}") for key, value in sorted(found.params.items())]
    lines += [("WARNING", text) for text in found.warnings]
    text = "\n".join(f"{name:14}{value}" if name else value for name, value in lines)
    if not found.commands:
        return f"{text}\n\nThere is no way back to it from here: see the warnings."
    once = "It is here. To bring it back another time" if found.is_here else "To bring it back"
    return f"{text}\n\n{once}, in the project's top folder:\n\n" + "\n".join(found.commands)
