"""Rules of the house that no other tool checks."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOMS = {"ruamel": {"config.py"}, "mlflow": {"tracking", "serving.py"}, "click": {"cli"}}


@pytest.mark.parametrize("library", sorted(ROOMS))
def test_a_library_is_imported_in_its_own_room_alone(project: Path, library: str) -> None:
    pattern = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
    package = project / "src" / "ganscribe"
    files = [path for path in package.rglob("*.py") if pattern.search(path.read_text())]
    users = {path.relative_to(package).parts[0] for path in files}
    assert users <= ROOMS[library]


def test_modules_are_short_enough_to_read(project: Path) -> None:
    files = [*(project / "src").rglob("*.py"), *(project / "stages").glob("*.py")]
    assert files
    assert [path.name for path in files if len(path.read_text().splitlines()) > 300] == []


def test_no_large_file_is_in_git(project: Path) -> None:
    if not (project / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    files = [project / name for name in listed.split("\0") if name]
    assert [file.name for file in files if file.is_file() and file.stat().st_size > 1_500_000] == []


def test_every_dependency_has_its_line(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    lines = [
        *declared["dependencies"],
        *(each for part in declared["optional-dependencies"].values() for each in part),
    ]
    names = {re.split(r"[\[<>=]", line)[0] for line in lines}
    rows = [
        row for row in (project / "docs" / "dependencies.md").read_text().splitlines() if row.startswith("|")
    ]
    listed = {name for row in rows for cell in row.split("|")[1:3] for name in cell.strip().split(", ")}
    assert names - listed == set()
