"""The project's parameters in another folder, with changes."""

from __future__ import annotations

import shutil
from pathlib import Path

TINY = ("scale: sample ", "scale: tiny ")


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first `old` in a file, which has it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def copy_params(project: Path, folder: Path, *changes: tuple[str, str]) -> None:
    """Copy params.yaml, with changes (old, new), and the files of the scales to `folder`."""
    shutil.copytree(project / "params", folder / "params")
    shutil.copy(project / "params.yaml", folder)
    for old, new in changes:
        edit(folder / "params.yaml", old, new)


def use_local(folder: Path, source: str, where: str) -> None:
    """Have the parameters in `folder` name a local source."""
    old, new = (f"{source}: {{source: {kind}" for kind in ("scale, folder: null", f"local, folder: {where}"))
    edit(folder / "params.yaml", old, new)
