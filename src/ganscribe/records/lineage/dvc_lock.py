"""dvc.lock, of the working folder or of a commit: which stage made what, from which inputs and parameters.

The zoo has a lock file of its own. Its stages have the names that `dvc repro` takes: `zoo/dvc.yaml:...`.

DVC always writes the file in one form. So it can be cut into its stages, and only the needed ones are parsed: parsing
the whole file as YAML takes two seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ganscribe.config import parse_yaml

LOCKS = ("dvc.lock", "zoo/dvc.lock")
_STAGE = re.compile(r"^  (\S.*):$", re.MULTILINE)
_OUTS = re.compile(r"^    outs:\n((?:    -? .*\n?)*)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output that a dvc.lock records: `md5` ends in .dir for a folder."""

    path: str
    md5: str
    stage: str

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder, whose md5 is that of a list of its files."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a dvc.lock: md5 by path, and the parameters as `file:dotted.key`."""

    name: str
    deps: dict[str, str]
    params: dict[str, Any]
    outs: dict[str, str]

    @property
    def data(self) -> dict[str, str]:
        """The inputs that are not code."""
        code = (".py", ".html")  # single files, which the first edition listed; now rooms
        return {
            path: md5
            for path, md5 in self.deps.items()
            if not path.endswith(code) and not path.startswith("src/")
        }


def read_lock(path: Path) -> str:
    """Return the text of a dvc.lock, empty if there is none. Raises ValueError if it is not text."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged ({error}): `git checkout {path.name}`") from error


def join_locks(texts: Iterable[str]) -> str:
    """Return the texts of `LOCKS`, in their order, as one text."""
    joined = ""
    for name, text in zip(LOCKS, texts, strict=True):
        pipeline = name.removesuffix("dvc.lock")
        prefix = f"{pipeline}dvc.yaml:" if pipeline else ""
        start = _STAGE.search(text)
        joined += _STAGE.sub(rf"  {prefix}\1:", text[start.start() :]).rstrip("\n") + "\n" if start else ""
    return joined


def read_locks(folder: Path) -> str:
    """Return what the `LOCKS` in a project's folder record. Raises ValueError if one of them is not text."""
    return join_locks(read_lock(folder / name) for name in LOCKS)


def _blocks(text: str) -> dict[str, str]:
    parts = _STAGE.split(text)
    return {name.strip("'\""): block for name, block in zip(parts[1::2], parts[2::2], strict=True)}


def _md5s(entries: list[dict[str, Any]] | None) -> dict[str, str]:
    return {entry["path"]: str(entry["md5"]) for entry in entries or [] if "md5" in entry}


def _outs(text: str) -> dict[str, str]:
    """The lines of YAML that list each stage's outputs."""
    found = {name: _OUTS.search(block) for name, block in _blocks(text).items()}
    return {name: match[1] for name, match in found.items() if match}


def _read_outs(stage: str, lines: str) -> dict[str, Output]:
    return {path: Output(path=path, md5=md5, stage=stage) for path, md5 in _md5s(parse_yaml(lines)).items()}


def read_outputs(text: str) -> dict[str, Output]:
    """Return every output that the dvc.lock `text` records, by its path."""
    return {path: out for name, lines in _outs(text).items() for path, out in _read_outs(name, lines).items()}


def owner_of(text: str, path: str) -> Output | None:
    """Return the output of the dvc.lock `text` that the file or folder `path` is, or is part of."""
    posix, outs = PurePosixPath(path), _outs(text)
    for part in map(str, [posix, *posix.parents]):
        for name, lines in outs.items():
            # To parse a stage's outputs takes milliseconds, and most stages have nothing to do with the path.
            is_candidate = f"path: {part}\n" in lines or "path: '" in lines or 'path: "' in lines
            if is_candidate and (found := _read_outs(name, lines).get(part)):
                return found
    return None


def read_stage(text: str, name: str) -> Stage | None:
    """Return the stage `name` of the dvc.lock `text`, or None if it has none."""
    block = _blocks(text).get(name)
    if block is None:
        return None
    entry = parse_yaml(block)
    params = {
        f"{file}:{key}": value
        for file, keys in entry.get("params", {}).items()
        for key, value in keys.items()
    }
    return Stage(
        name=name, deps=_md5s(entry.get("deps")), params=flatten(params), outs=_md5s(entry.get("outs"))
    )


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one flat dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
