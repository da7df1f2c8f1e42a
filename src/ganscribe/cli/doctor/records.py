"""Checks of what records the work: MLflow, git and DVC."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ganscribe.cli.doctor.findings import INSTALL, Finding, fault, ok
from ganscribe.core.files import file_md5, project_root
from ganscribe.records import place, store
from ganscribe.records.lineage.origin import git
from ganscribe.records.outbox import entries, outbox_folder, tracking_uri
from ganscribe.records.rows import restored_by


def check_mlflow() -> Iterator[Finding]:
    """Check whether the tracking store opens, and whether its sqlite file is undamaged."""
    # Otherwise a check of a server that is down takes minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    path, uri = place.store_file(), tracking_uri()
    reasons = [reason for entry in entries(outbox_folder()) if (reason := entry.failure())]
    if reasons:
        text = f"{len(reasons)} recordings have not reached MLflow ({reasons[-1]})"
        yield fault("mlflow outbox", text, "remove the cause, then `ganscribe runs sync`")
    if path is not None and not path.is_file():
        folder = next(parent for parent in path.parents if parent.is_dir())
        if os.access(folder, os.W_OK):
            yield ok("mlflow store", f"none yet: the first training makes {path}")
        else:
            yield fault("mlflow store", f"{folder} cannot be written to", "set MLFLOW_TRACKING_URI")
        return
    try:
        client = store.open_reader()
        if path is not None:
            with sqlite3.connect(path) as connection:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise OSError(f"{path} is damaged: {verdict}")
        records = store.read_runs(client)
    except (OSError, ValueError, sqlite3.DatabaseError) as error:
        yield fault("mlflow store", str(error), "restore it, move it away, or set MLFLOW_TRACKING_URI")
        return
    yield ok("mlflow store", f"{uri}: {len(records)} runs")
    for folder in place.left_behind():
        text = (
            f"it was copied or moved from {folder}, and some artifacts are only in {folder / 'mlartifacts'}"
        )
        yield fault("mlflow store", text, "copy that folder beside mlflow.db, without overwriting anything")
    for number, name in store.deleted_experiments(client).items():
        text = f"the experiment {name} was deleted in MLflow, and accepts no run"
        yield fault("mlflow store", text, f"`{restored_by(number)}`, then `ganscribe runs sync`")


def check_git() -> Iterator[Finding]:
    """Check that the repository has a commit to tie runs to, and no unfinished merge."""
    if shutil.which("git") is None:
        yield fault("git", "is not installed", "install git: no run can be tied to its code without it")
        return
    inside = git("rev-parse", "--is-inside-work-tree")
    if inside is None:
        yield fault("git", "this is not a git repository", "clone the project, or `git init` and commit")
        return
    commit = git("rev-parse", "--verify", "HEAD")
    if commit is None:
        yield fault("git", "there is no commit yet", "git add --all && git commit")
        return
    if git("ls-files", "--unmerged"):
        yield fault("git", "a merge is not finished", "resolve the conflicts and commit")
        return
    status = git("status", "--porcelain")
    if status is None:
        yield fault("git", "`git status` fails", "run it, and do what it says")
        return
    changed = len(status.splitlines())
    branch = (git("branch", "--show-current") or "").strip() or "no branch"
    text = f"{commit.strip()[:12]} ({branch})"
    text = f"{text}, {changed} uncommitted changes" if changed else f"{text}, nothing uncommitted"
    if git("config", "user.name") and git("config", "user.email"):
        yield ok("git", text)
    else:
        remedy = (
            "`git config user.name NAME && git config user.email ADDRESS`: `dvc exp run --queue` needs them"
        )
        yield ok("git", f"{text}; your name or e-mail address is not set", remedy)


def check_dvc() -> Iterator[Finding]:
    """Check DVC's repository, its pipeline, and the remotes through which results are shared."""
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ImportError as error:
        yield fault("dvc", str(error), INSTALL)
        return
    try:
        with Repo(str(project_root())) as repo:
            stages = Counter(stage.path_in_repo for stage in repo.index.stages)
            configured = sorted(repo.config.get("remote", {}).items())
            remotes = {name: str(remote["url"]) for name, remote in configured}
    except (DvcException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        remedy = "fix dvc.yaml, params.yaml or .dvc/config (`git status`)"
        if "dvc.lock" in reason:  # a kill while DVC wrote it leaves a part of it, or nothing
            remedy = (
                "rm dvc.lock, when no other dvc is at work, then `dvc repro`: results come from its cache"
            )
        yield fault("dvc pipeline", reason, remedy)
        return
    rwlock = project_root() / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(rwlock.read_text())
    except FileNotFoundError:
        pass
    except ValueError:
        text = f"{rwlock} was cut off by a kill while DVC wrote it, and `dvc repro` fails"
        yield fault("dvc pipeline", text, f"rm {rwlock}, when no other dvc is at work")
        return
    counts = (f"{count} in {file}" for file, count in sorted(stages.items()))
    yield ok("dvc pipeline", f"stages: {', '.join(counts)}")
    if not remotes:
        remedy = "`dvc remote add --default NAME URL` to share results"
        yield ok("dvc remote", "none: results stay on this machine", remedy)
    for name, url in remotes.items():
        if url.startswith("s3://") and importlib.util.find_spec("dvc_s3") is None:
            yield fault("dvc remote", f"{name}: {url} needs dvc-s3", 'pip install "ganscribe[s3]"')
        elif "://" not in url and not Path(url).is_dir():
            remedy = "mount it, or `dvc remote modify`; the first `dvc push` makes a new folder"
            yield fault("dvc remote", f"{name}: there is no folder {url}", remedy)
        else:
            yield ok("dvc remote", f"{name}: {url}")


def check_cache() -> Iterator[Finding]:
    """Check DVC's cache byte for byte: each object's name is the md5 of its content.

    DVC itself trusts a write-protected object, and through hard links a damaged output damages the cache.
    """
    from dvc.repo import Repo

    with Repo(str(project_root())) as repo:
        folder = Path(repo.cache.local.path)
    objects = sorted(folder.glob("[0-9a-f][0-9a-f]/*"))
    damaged = [
        path for path in objects if file_md5(path) != path.parent.name + path.name.removesuffix(".dir")
    ]
    if damaged:
        text = f"damaged: {len(damaged)} of {len(objects)} files ({damaged[0]})"
        remedy = f"rm {' '.join(map(str, damaged))}; then `dvc repro` makes again what is missing"
        yield fault("dvc cache", text, remedy)
    else:
        yield ok("dvc cache", f"no damaged file among {len(objects)}")
