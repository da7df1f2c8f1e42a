"""Where a run comes from, for its tags: the DVC experiment, git's state, DVC's hashes of the inputs.

All of it is read from the working folder, because `DVC_ROOT` is the main repository in `--temp` and queue runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ganscribe.config import read_yaml
from ganscribe.records.lineage.dvc_lock import owner_of, read_lock

# DVC and the stages write these while a pipeline runs, so their changes say nothing about code or parameters.
_RESULTS = ("dvc.lock", "zoo/dvc.lock", "metrics", "curves", "reports")


def git(*arguments: str, index: Path | None = None) -> str | None:
    """Return what `git` prints, with invalid UTF-8 replaced; None if it fails or is missing."""
    command = ["git", "--no-optional-locks", *arguments]
    environment = os.environ | ({"GIT_INDEX_FILE": str(index)} if index else {})
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def git_commit() -> str:
    """Return the commit of the working folder, or `unknown` without git or a commit."""
    return (git("rev-parse", "--verify", "HEAD") or "unknown").strip()


def describe_code() -> str:
    """Return a sentence with the commit of the working folder, its day, and whether anything has changed since."""
    said = (git("log", "-1", "--format=%h of %cs", "HEAD") or "").strip()
    if not said:
        return "Its code is in no git commit."
    changed = ", with changes that are not committed" if git_changes() else ""
    return f"Made by the code of commit {said}{changed}."


def git_changes() -> str:
    """Return how the working folder's code and parameters differ from its commit; empty if they do not.

    This is a list of the changed files, then a patch that `git apply` accepts, whatever a person's settings of git.
    Files that git does not know are listed (`??`), but their content is not kept.
    """
    paths = ["--", ".", *(f":(exclude){name}" for name in _RESULTS)]
    plain = ("--binary", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/")
    with _distrusted_index() as index:
        status = git("-c", "core.quotePath=false", "status", "--short", *paths, index=index) or ""
        patch = git("diff", *plain, "HEAD", *paths, index=index) or "" if status else ""
    return f"{status}\n{patch}" if status else ""


@contextlib.contextmanager
def _distrusted_index() -> Iterator[Path | None]:
    """Copy git's index with an old time stamp, so that git compares the contents of files instead of their times.

    In the folders of DVC's queue, a file that changed within a second and kept its size (seed 0 to 1) would otherwise
    look like the committed one.
    """
    path = Path((git("rev-parse", "--git-path", "index") or "").rstrip("\n"))
    with tempfile.TemporaryDirectory() as folder:
        if not path.is_file():
            yield None
            return
        copy = Path(folder, "index")
        shutil.copyfile(path, copy)
        os.utime(copy, (1, 1))  # 0 would mean that there is no time
        yield copy


def pipeline() -> str:
    """Return the name that all runs of one invocation share: the DVC experiment's, or `repro-<short commit>`."""
    return os.environ.get("DVC_EXP_NAME") or f"repro-{git_commit()[:7]}"


def scale() -> str:
    """Return the scale that params.yaml of the working folder names."""
    path = Path("params.yaml")
    return str(read_yaml(path)["scale"]) if path.exists() else "unknown"


def params_sha256(params: dict[str, Any]) -> str:
    """Return the SHA-256 of `params` as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()


def input_hashes(inputs: list[str]) -> dict[str, str]:
    """Return DVC's md5 of each of `inputs` that dvc.lock records as an output or as part of one.

    Inputs that DVC has no record of (a script run by hand, an absolute path) are left out.
    """
    recorded = read_lock(Path("dvc.lock"))
    hashes = {}
    for name in inputs:
        posix = PurePosixPath(Path(name).as_posix())
        owner = owner_of(recorded, str(posix))
        if owner is not None:
            hashes[str(posix)] = owner.md5
    return hashes


def tags(stage: str) -> dict[str, str]:
    """Return the tags that every run has; `stage` is the name to use outside DVC.

    MLflow shows the tags with its own names as the run's user, source and version. The user is git's `user.name`.
    """
    commit, name = git_commit(), os.environ.get("DVC_STAGE", stage)
    found = {
        "pipeline": pipeline(),
        "dvc.stage": name,
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "scale": scale(),
        "git.commit": commit,
        "engine": os.environ.get("GANSCRIBE_ENGINE") or "local",
        "mlflow.user": (git("config", "user.name") or "").strip(),
        "mlflow.source.name": f"dvc repro {name}",
        "mlflow.source.git.commit": commit,
    }
    return {key: value for key, value in found.items() if value}
