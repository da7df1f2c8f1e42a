"""Where a run comes from, for its tags: the DVC experiment, git's state, DVC's hashes of the inputs.

All of it is read from the working folder, since `DVC_ROOT` is the main repository in `--temp` and queue runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

from ganscribe.config import read_yaml

# DVC and the stages write these while a pipeline runs: they say nothing about the code or the parameters.
_RESULTS = ("dvc.lock", "metrics", "curves", "reports")


def _git(*arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def git_commit() -> str:
    """The commit of the working folder, `unknown` without git or a commit."""
    return (_git("rev-parse", "--verify", "HEAD") or "unknown").strip()


def git_changes() -> str:
    """What the working folder's code and parameters differ in from its commit; empty where nothing does."""
    paths = ["--", ".", *(f":(exclude){name}" for name in _RESULTS)]
    status = _git("status", "--short", *paths) or ""
    return status + "\n" + (_git("diff", "HEAD", *paths) or "") if status else ""


def pipeline() -> str:
    """The name that all runs of one invocation share: the DVC experiment's, else `repro-<short commit>`."""
    return os.environ.get("DVC_EXP_NAME") or f"repro-{git_commit()[:7]}"


def scale() -> str:
    """The scale that params.yaml of the working folder names."""
    path = Path("params.yaml")
    return str(read_yaml(path)["scale"]) if path.exists() else "unknown"


def params_sha256(params: dict[str, Any]) -> str:
    """SHA-256 of `params` as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()


def input_hashes(inputs: list[str]) -> dict[str, str]:
    """DVC's md5 of each of `inputs` that dvc.lock records as an output or as part of one.

    Inputs that DVC has no record of (a script run by hand, an absolute path) are left out.
    """
    path = Path("dvc.lock")
    stages = (read_yaml(path) or {}).get("stages", {}) if path.exists() else {}
    recorded = {
        PurePosixPath(out["path"]): str(out["md5"])
        for stage in stages.values()
        for out in stage.get("outs", [])
        if "md5" in out
    }
    hashes = {}
    for name in inputs:
        posix = PurePosixPath(Path(name).as_posix())
        owner = next((part for part in [posix, *posix.parents] if part in recorded), None)
        if owner is not None:
            hashes[str(posix)] = recorded[owner]
    return hashes


def tags(stage: str) -> dict[str, str]:
    """The tags that every run has; `stage` is the name to use outside DVC."""
    return {
        "pipeline": pipeline(),
        "dvc.stage": os.environ.get("DVC_STAGE", stage),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "scale": scale(),
        "git.commit": git_commit(),
    }
