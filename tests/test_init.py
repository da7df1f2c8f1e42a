"""What importing the package does: OpenMP's threads are told to sleep soon, before torch can load their library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
CODE = (
    f"import ganscribe, os, sys; print(*(os.environ.get(name) for name in {NAMES}), 'torch' in sys.modules)"
)


def run(project: Path, code: str, **given: str) -> str:
    """What `code` says in a process whose environment has of the names only the `given` ones."""
    environment = {key: value for key, value in os.environ.items() if key not in NAMES} | given
    environment["PYTHONPATH"] = str(project / "src")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "passive 3000 False"),
        ({"OMP_WAIT_POLICY": "active"}, "active None False"),
        ({"GOMP_SPINCOUNT": "7"}, "passive 7 False"),
    ],
)
def test_threads_sleep_unless_someone_says_otherwise(
    project: Path, given: dict[str, str], expected: str
) -> None:
    assert run(project, CODE, **given).strip() == expected


def test_the_library_reads_it(project: Path) -> None:
    """The OpenMP that torch brings says so itself."""
    said = run(project, "import ganscribe, torch", OMP_DISPLAY_ENV="verbose")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said and "GOMP_SPINCOUNT = '3000'" in said
