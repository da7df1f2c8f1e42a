"""The way back to an artifact: where its hash is recorded, whether the cache has it, and which commands restore it."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganscribe.core.files import file_md5
from ganscribe.records.lineage.dvc_lock import LOCKS, Output, join_locks, read_outputs
from ganscribe.records.lineage.origin import git


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A commit whose dvc.lock was the first to have a hash; `experiment` is its DVC name, if it is an experiment."""

    commit: str
    subject: str
    experiment: str | None


class Cache:
    """What DVC's cache contains, by md5."""

    def __init__(self, repo: Any) -> None:
        self._objects = repo.cache.local
        self._runs = Path(repo.stage_cache.cache_dir)
        self.has_remote = bool(repo.config.get("remote"))

    def read(self, md5: str) -> bytes | None:
        """Return the bytes of one object, or None if the cache lacks it."""
        path = Path(self._objects.oid_to_path(md5))
        return path.read_bytes() if path.is_file() else None

    def damaged(self, md5: str) -> Path | None:
        """Return the place of an object whose bytes are not those of its name, None if it is whole or absent."""
        path = Path(self._objects.oid_to_path(md5))
        return path if path.is_file() and file_md5(path) != md5 else None

    def files(self, md5: str) -> dict[str, str] | None:
        """Return the md5 of each file of a folder, by its path in it; None if the cache lacks the list."""
        listing = self.read(md5)
        return None if listing is None else {each["relpath"]: each["md5"] for each in json.loads(listing)}

    def has(self, md5: str) -> bool:
        """Return whether the cache has a file, or all of a folder."""
        if not md5.endswith(".dir"):
            return bool(self._objects.exists(md5))
        files = self.files(md5)
        return files is not None and all(self._objects.exists(each) for each in files.values())

    def remembers_run(self, md5: str) -> bool:
        """Return whether DVC's run cache has a run that ended with this hash."""
        mark = md5.encode()
        return any(mark in path.read_bytes() for path in self._runs.glob("*/*/*") if path.is_file())


@contextlib.contextmanager
def open_cache() -> Iterator[Cache]:
    """Open the cache of the working folder's repository. Raises ValueError if it is not a DVC project."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise ValueError(
            f"this is not a DVC project ({error}): run it in the project's top folder"
        ) from error
    with repo:
        yield Cache(repo)


def changes(output: Output, cache: Cache, *, part: str = ".") -> list[str]:
    """Return how the output (or a `part` of it) in the working folder differs from its md5; empty if it does not."""
    path = Path(output.path, part)
    if not path.exists():
        return [f"{path} is not in the working folder"]
    whole = cache.files(output.md5) if output.is_folder else {".": output.md5}
    if whole is None:
        return [f"{path} cannot be compared with dvc.lock: the list of its files is not in the cache"]
    top = Path(output.path)
    listed = {name: md5 for name, md5 in whole.items() if Path(part) in (Path(name), *Path(name).parents)}
    inside = [each for each in sorted(path.rglob("[!.]*")) if each.is_file()] if path.is_dir() else [path]
    present = {each.relative_to(top).as_posix(): each for each in inside}
    problems = [f"{top / name} is missing" for name in sorted(set(listed) - set(present))]
    problems += [f"{each} is new since dvc.lock" for name, each in present.items() if name not in listed]
    for name, each in present.items():
        if name in listed and file_md5(each) != listed[name]:
            problems.append(f"{each} has changed since dvc.lock")
    return problems


def damaged_copies(output: Output, cache: Cache, *, part: str = ".") -> list[Path]:
    """Return the damaged objects of DVC's cache among those of the output's (or a `part`'s) files.

    An output that is a hard link to the cache, and is changed in its place, changes the cache as well.
    """
    whole = (cache.files(output.md5) or {}) if output.is_folder else {".": output.md5}
    of_part = {md5 for name, md5 in whole.items() if Path(part) in (Path(name), *Path(name).parents)}
    return sorted(path for md5 in of_part if (path := cache.damaged(md5)))


def lock_at(commit: str) -> str:
    """Return what the lock files record as a commit has them, empty if it has none."""
    return join_locks(git("show", f"{commit}:./{name}") or "" for name in LOCKS)


def commits_of_locks(*options: str) -> list[str]:
    """Return the commits that changed a lock file, newest first: lines of `git log` with the `options`."""
    return (git("log", "--all", *options, "--", *LOCKS) or "").splitlines()


def experiments() -> dict[str, str]:
    """Return the names of DVC's experiments, by their commits."""
    listed = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    pairs = [line.split(" ", 1) for line in listed.splitlines()]
    names = {commit: ref.split("/") for commit, ref in pairs}
    return {commit: parts[-1] for commit, parts in names.items() if len(parts) == 5}  # refs/exps/12/345/name


def recordings(output: Output) -> list[Recording]:
    """Return the commits that brought the output's hash into dvc.lock: oldest first, experiments last."""
    names = experiments()
    found = []
    for line in commits_of_locks("--reverse", "--format=%H %s", f"-S{output.md5}"):
        commit, _, subject = line.partition(" ")
        recorded = read_outputs(lock_at(commit)).get(output.path)
        if recorded is not None and recorded.md5 == output.md5 and subject != "WIP on experiment":
            found.append(Recording(commit=commit, subject=subject, experiment=names.get(commit)))
    on_branches = git("log", "--branches", "--tags", "--remotes", "HEAD", "--format=%H") or ""
    kept = [each for each in found if each.experiment or each.commit in on_branches]
    return sorted(kept, key=lambda each: each.experiment is not None)


def has_commit(commit: str) -> bool:
    """Return whether the repository has the commit."""
    return git("cat-file", "-e", f"{commit}^{{commit}}") is not None


def is_kept_by_git(path: str) -> bool:
    """Return whether git keeps the output (metrics, curves); what DVC keeps is in .gitignore."""
    return git("check-ignore", "-q", path) is None


def has_changes() -> bool:
    """Return whether files that git knows differ from the commit."""
    return bool((git("status", "--porcelain", "--untracked-files=no") or "").strip())


def get_again(output: Output, cache: Cache) -> str:
    """Return the command that gets what DVC's cache lacks: from the remote, or by running the stage."""
    if cache.has_remote:
        return f"dvc pull --force {shlex.quote(output.path)}"
    return f"dvc repro {shlex.quote(output.stage)}"


def _stash_first() -> list[str]:
    """Return the command that puts uncommitted changes aside, if there are any."""
    changed = (git("status", "--porcelain") or "").strip()
    return ["git stash --include-untracked"] if changed else []


def in_place(output: Output) -> list[str]:
    """Return the commands that put an output of the working folder's lock back in its place."""
    path = shlex.quote(output.path)
    if not is_kept_by_git(output.path):
        return [f"dvc checkout --force {path}"]
    committed = read_outputs(lock_at("HEAD")).get(output.path)
    stage = shlex.quote(output.stage)
    return [f"git checkout HEAD -- {path}"] if committed == output else [f"dvc repro {stage}"]


def instead_of(damaged: list[Path], output: Output, cache: Cache) -> list[str]:
    """Return the commands that put an output back in its place if DVC's cache has damaged copies of its files."""
    return [f"rm -f {' '.join(shlex.quote(str(path)) for path in damaged)}", get_again(output, cache)]


def to_recording(output: Output, recording: Recording, cache: Cache) -> list[str]:
    """Return the commands that check out a commit, and make DVC or git put the output in its place."""
    comment = f"  # the experiment {recording.experiment}" if recording.experiment else ""
    commands = [*_stash_first(), f"git checkout {recording.commit}{comment}"]
    if is_kept_by_git(output.path):
        return commands
    if cache.has(output.md5):
        return [*commands, f"dvc checkout --force {shlex.quote(output.path)}"]
    return [*commands, get_again(output, cache)]


def to_run(commit: str, patch: str | None, stage: str) -> list[str]:
    """Return the commands that check out a run's commit, apply its changes, and take the stage from DVC's cache."""
    commands = [*_stash_first(), f"git checkout {commit}"]
    if patch:
        commands.append(f"git apply {shlex.quote(patch)}")
    return [*commands, f"dvc repro {shlex.quote(stage)}"]
