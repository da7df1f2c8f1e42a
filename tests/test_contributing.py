"""The five additions of CONTRIBUTING.md: their diffs apply to the project as it is, and most of their tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def changed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the project with all five additions, and the files that they touch."""
    folder = tmp_path_factory.mktemp("changed")
    for name in ("src", "stages", "tests"):
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(project / name, folder)
    diffs = re.findall(r"```diff\n(.*?)```", (project / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(diffs) == 5
    for diff in diffs:
        applied = subprocess.run(
            ["git", "apply", "--whitespace=error", "-"], cwd=folder, input=diff, text=True, capture_output=True,
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        )  # fmt: skip
        assert applied.returncode == 0, f"{applied.stderr}\n{diff[:300]}"
    return folder, re.findall(r"^\+\+\+ b/(.*)$", "".join(diffs), re.MULTILINE)


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


def test_their_tests_pass_and_what_they_touch_is_well_formed(changed: tuple[Path, list[str]]) -> None:
    folder, files = changed
    code = [name for name in files if name.endswith(".py")]
    tests = [name for name in code if name.startswith("tests/")]
    assert len(code) == 12 and len(tests) == 6
    run(folder, "-m", "ruff", "check", "--no-cache", *code)
    run(folder, "-m", "ruff", "format", "--no-cache", "--check", *code)
    added = "pearson or shallow or lenet_300_100 or confidence or absent or penalty"  # diagnose as a whole takes long
    run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", added, *tests)


def test_the_block_of_params_is_read(changed: tuple[Path, list[str]], project: Path) -> None:
    folder, _ = changed
    assert "params.yaml" in changed[1]
    shutil.copytree(project / "params", folder / "params", dirs_exist_ok=True)
    code = "from ganscribe import config; assert config.load('gan', 'pearson').recipe.objective_options['margin'] == 2"
    run(folder, "-c", code)
