"""Which code, parameters and inputs make an artifact: the run key, and the imports behind it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ganscribe.core.files import file_sha256
from ganscribe.execution.unchanged import note_input

PACKAGE = Path(__file__).parents[2]

# Rooms in which nothing can change a result: they read parameters, watch, record, draw and serve.
NEUTRAL = ("config", "execution", "records", "drawing", "serving", "cli")


def _module_files(name: str) -> list[Path]:
    """Return the files of the package that importing the dotted `name` runs: the module and its packages."""
    if name.split(".")[0] != "ganscribe":
        return []
    parts = name.split(".")[1:]
    files = [PACKAGE.joinpath(*parts[:depth], "__init__.py") for depth in range(len(parts) + 1)]
    files.append(PACKAGE.joinpath(*parts).with_suffix(".py"))
    return [file for file in files if file.is_file()]


def _imports(path: Path) -> set[Path]:
    files: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files.update(file for alias in node.names for file in _module_files(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            files.update(file for name in names for file in _module_files(name))
            files.update(path.parent.glob(f"{node.module}.py"))  # a sibling script, such as stages/_common.py
    return files


def code_files(*scripts: Path) -> list[Path]:
    """Return `scripts` and every file of the package that they import, directly or not, sorted.

    Neutral rooms are left out. So is every `__init__.py`, because it contains nothing but a docstring and imports
    (tests/test_tree.py), but its imports are followed. The files are found by reading the code, including imports
    inside functions, not by running it.
    """
    seen: set[Path] = set()
    pending = [script.resolve() for script in scripts]
    while pending:
        path = pending.pop()
        if path not in seen and not is_neutral(path):
            seen.add(path)
            pending.extend(_imports(path))
    return sorted(path for path in seen if path.name != "__init__.py")


def is_neutral(path: Path) -> bool:
    """Return whether `path` lies in a room that cannot change a result."""
    if not path.is_relative_to(PACKAGE):
        return path.name == "_common.py"
    room = path.relative_to(PACKAGE).parts[0]
    return room in NEUTRAL or room == "__init__.py"


def _input_digest(path: Path) -> str:
    # Hidden files are none of the input: DVC leaves them, if it is killed while it restores a folder.
    files = sorted(file for file in path.rglob("[!.]*") if file.is_file()) if path.is_dir() else [path]
    lines = [f"{file.relative_to(path) if file != path else ''} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run_key(
    script: Path, params: dict[str, Any], inputs: Iterable[Path], *, chosen: Iterable[Path] = ()
) -> str:
    """Return a digest of parameters, code and input bytes: the same on every machine, 32 hexadecimal digits.

    `chosen` are the files of objectives and networks that the parameters name, which no import shows. The
    machine's folder names are not part of the key: `inputs` count by their order, and code by its content. If DVC runs
    the stage, it fails at its end if they have changed.
    """
    record = {
        "stage": script.name,
        "params": params,
        "code": [hashlib.sha256(file.read_bytes()).hexdigest() for file in code_files(script, *chosen)],
        "inputs": [note_input(Path(path), _input_digest) for path in inputs],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]
