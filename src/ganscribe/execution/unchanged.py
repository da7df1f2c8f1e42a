"""Code, parameters and a training's data that change while a stage is at work.

DVC reads what a stage depends on once more when the stage has ended, and records that. A seed that was edited during a
training would be recorded, and kept in DVC's run cache, as the seed of what the old one made. So would data that
`dvc checkout` replaced, which DVC allows meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dvc.dependency import ParamsDependency


class _Input(NamedTuple):
    """An input as it was: its files by size, time and number, its digest, and what digests it."""

    files: list[tuple[str, int, int, int]]
    digest: str
    function: Callable[[Path], str]


_Files = dict[str, bytes]
_noted: _Files = {}
_inputs: dict[Path, _Input] = {}


def _paths() -> Iterator[Path]:
    yield Path("params.yaml")
    for top in ("params", "stages", "src"):
        for folder, inner, names in os.walk(top):  # not rglob, which fails if a folder vanishes meanwhile
            inner[:] = [name for name in inner if name != "__pycache__"]
            yield from (Path(folder, name) for name in names)


def _read() -> _Files:
    """Return the code and the parameters in the working folder, 1.4 MB in all, by their paths.

    What vanishes meanwhile, such as an editor's own files, or may not be read is left out.
    """
    found = {}
    for path in _paths():
        with contextlib.suppress(OSError):
            if path.is_file():
                found[path.as_posix()] = path.read_bytes()
    return found


def note() -> None:
    """Note what there is, if DVC runs the stage; to be called before the stage imports or reads it."""
    if "DVC_STAGE" in os.environ:
        _noted.update(_read())


def _list_files(path: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        facts = file.stat()
        found.append((str(file), facts.st_size, facts.st_mtime_ns, facts.st_ino))
    return found


def note_input(path: Path, digest: Callable[[Path], str]) -> str:
    """Return the digest of an input; note it, if DVC runs the stage."""
    files, value = _list_files(path) if _noted else [], digest(path)
    if _noted:
        _inputs[path] = _Input(files, value, digest)
    return value


def _has_changed(path: Path) -> bool:
    noted = _inputs[path]
    try:
        return _list_files(path) != noted.files and noted.function(path) != noted.digest
    except FileNotFoundError:
        return True


def _changed_keys(dependency: ParamsDependency, path: str) -> list[str]:
    from dvc.dependency.param import read_param_file

    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder, Path(path).name)
        old.write_bytes(_noted[path])
        before = read_param_file(dependency.fs, str(old), dependency.params, flatten=True)
    after = dependency.read_params()
    keys = sorted(before.keys() | after.keys())
    return [key for key in keys if before.get(key) != after.get(key)]


def _changed_dependencies(stage: str, changed: set[str]) -> list[str]:
    """Return which of the `changed` files, or which parameters in them, DVC's `stage` depends on."""
    from dvc.dependency import ParamsDependency
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    found = []
    try:
        with Repo() as repo:
            changed = {
                name for name in changed if not repo.dvcignore.is_ignored_file(str(Path(name).absolute()))
            }
            for each in next(iter(repo.stage.collect(stage))).deps:
                path = Path(os.path.relpath(each.fs_path)).as_posix()
                if not isinstance(each, ParamsDependency):
                    found += [name for name in sorted(changed) if f"{name}/".startswith(f"{path}/")]
                elif path in changed and path in _noted:
                    found += [f"{key} ({path})" for key in _changed_keys(each, path)]
    except (DvcException, StopIteration):  # params.yaml is being edited, or has lost the run
        return sorted(changed)
    return found


def check() -> None:
    """Raise ValueError if DVC would record other code, parameters or inputs than those that were noted.

    Of code and parameters, only what the stage depends on counts. Nothing does where `note` has noted nothing.
    """
    if not _noted:
        return
    stage = os.environ["DVC_STAGE"]
    present = _read()
    changed = {name for name in _noted | present if _noted.get(name) != present.get(name)}
    found = _changed_dependencies(stage, changed) if changed else []
    found += [path.as_posix() for path in _inputs if _has_changed(path)]
    if found:
        raise ValueError(
            f"{', '.join(found)} changed while {stage} was at work, and DVC would record the new state for what the"
            " old one made: run `dvc repro` again to start over, or undo the change first, so that a training goes on"
            " from its last saved state"
        )
