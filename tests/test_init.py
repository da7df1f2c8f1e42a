"""What importing the package does: OpenMP's threads are told to sleep before torch can load their library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "import ganscribe, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_sleep_unless_someone_says_otherwise(project: Path, given: str | None, expected: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    said = subprocess.run([sys.executable, "-S", "-c", CODE], env=environment | {"PYTHONPATH": str(project / "src")},
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert said.split() == [expected, "False"]


def test_the_library_reads_it(project: Path) -> None:
    """The OpenMP that torch brings says so itself."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", "import ganscribe, torch"],
                          env=environment | {"PYTHONPATH": str(project / "src"), "OMP_DISPLAY_ENV": "true"},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stdout + done.stderr
