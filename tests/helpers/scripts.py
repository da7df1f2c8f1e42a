"""The stages' scripts as processes, in a folder that is its own main repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def run(
    project: Path, folder: Path, *command: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script with its arguments; `before` is called in the new process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GANSCRIBE_"))}
    script, *arguments = command
    return subprocess.run(
        [sys.executable, project / "stages" / script, *arguments],
        cwd=folder,
        env={**kept, "DVC_ROOT": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        preexec_fn=before,
    )
