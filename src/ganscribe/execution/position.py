"""Where the build stands: which stage is at work, of how many, and about how long the rest takes.

DVC tells a stage nothing about the others. So each stage notes that it has begun, and how long it took. dvc.lock shows
which stages follow: those whose outputs are missing, and those that depend on what has been made in this build.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import psutil  # type: ignore[import-untyped]

from ganscribe.core.files import atomic_write, project_root

_STAGE = re.compile(r"^  (\S.*):$", re.MULTILINE)
_PATH = re.compile(r"^    - path: (.*)$", re.MULTILINE)
_SCALE = re.compile(r"^scale: *[\"']?(\w+)", re.MULTILINE)
NOTES = Path(".dvc/tmp/stages")
SHELLS = ("sh", "bash", "dash", "zsh")


@dataclass(frozen=True)
class Node:
    """A stage of dvc.lock: the stages whose outputs it uses, and the paths that it makes."""

    above: frozenset[str]
    makes: tuple[str, ...]


def _with_parents(path: str) -> list[str]:
    return [path, *map(str, PurePosixPath(path).parents)][:-1]  # without `.`, which contains everything


def read_graph(lock: str, names: str) -> dict[str, Node]:
    """Return the stages of `lock`, the text of a dvc.lock in the form in which DVC writes it.

    DVC keeps the stages of runs that no longer exist. They are left out: their names are not in the text `names`.
    """
    parts, words = _STAGE.split(lock), {"", *re.findall(r"[\w-]+", names)}
    takes: dict[str, list[str]] = {}
    makes: dict[str, list[str]] = {}
    for quoted, block in zip(parts[1::2], parts[2::2], strict=True):
        name = quoted.strip("'\"")
        if name.partition("@")[2] in words:
            before, _, after = block.partition("\n    outs:\n")
            takes[name], makes[name] = _PATH.findall(before), _PATH.findall(after)
    whole: dict[str, set[str]] = defaultdict(set)  # who makes a path
    inside: dict[str, set[str]] = defaultdict(set)  # who makes a path, or something in it
    for name, paths in makes.items():
        for path in paths:
            whole[path].add(name)
            for folder in _with_parents(path):
                inside[folder].add(name)
    graph = {}
    for name, paths in takes.items():
        makers = chain(
            *(inside[path] for path in paths),
            *(whole[folder] for path in paths for folder in _with_parents(path)),
        )
        graph[name] = Node(frozenset(makers), tuple(makes[name]))
    return graph


def needed_for(graph: dict[str, Node], targets: Iterable[str]) -> set[str]:
    """Return the `targets` (stages, or all stages of a name without its `@`) and the stages that they depend on."""
    wanted = {name for name in graph if {name, name.partition("@")[0]} & set(targets)}
    while more := {above for name in wanted for above in graph[name].above} - wanted:
        wanted |= more
    return wanted


def still_to_come(graph: dict[str, Node], begun: Iterable[str], folder: Path) -> set[str]:
    """Return the stages that follow those that have `begun`.

    They use something that has been made in this build, or their outputs are not in `folder`.
    """
    done = set(begun)
    found: set[str] = set()
    for name, node in graph.items():
        if name not in done and not all((folder / path).exists() for path in node.makes):
            found.add(name)
    while more := {name for name, node in graph.items() if node.above & (done | found)} - done - found:
        found |= more
    return found


def in_words(seconds: float) -> str:
    """Return a duration as a person would say it."""
    if seconds < 90:
        return "1 second" if seconds < 1.5 else f"{round(seconds)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _text(name: str) -> str:
    path = Path(name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read(path: Path) -> dict[str, Any]:
    """Return what was noted; nothing if it cannot be read, because a build does not depend on it."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _write(path: Path, notes: dict[str, Any]) -> None:
    # If the disk is full, the stage itself will say so; a stage that has ended has not failed.
    with contextlib.suppress(OSError), atomic_write(path) as handle:
        handle.write(json.dumps(notes).encode())


def find_dvc() -> psutil.Process:
    """Return the process of the DVC that runs this stage. Raises psutil.Error if it has just been killed."""
    dvc = psutil.Process(os.getppid())
    if dvc.name() in SHELLS:  # some shells stay between DVC and its command
        dvc = dvc.parent() or dvc
    return dvc


def _build() -> tuple[str, list[str]]:
    """Return an id of this build, and the words of its command; both are empty if DVC has just been killed."""
    try:
        dvc = find_dvc()
        return f"{dvc.pid} {dvc.create_time()}", dvc.cmdline()
    except psutil.Error:
        return "", []


def _scale() -> str:
    """Return the scale that params.yaml names, by that line alone; `unknown` if there is none of the usual form."""
    found = _SCALE.search(_text("params.yaml"))
    return found[1] if found else "unknown"


def note_scale() -> None:
    """Note the scale at which this build begins, if DVC runs the stage; for its first stage, before its imports."""
    if "DVC_STAGE" not in os.environ:
        return
    build, _ = _build()
    if _read(NOTES / "scale.json").get("build") != build:
        _write(NOTES / "scale.json", {"build": build, "scale": _scale()})


def check_scale(scale: str) -> None:
    """Raise ValueError if DVC runs the stage, and the build began at another scale than `scale`.

    Of which scale it tracks the caps and the amounts, DVC decides when a build begins. It would record those of the old
    scale for a stage that began after an edit and works at the new one.
    """
    if "DVC_STAGE" not in os.environ:
        return
    build, _ = _build()
    notes = _read(NOTES / "scale.json")
    if build and notes.get("build") == build and notes["scale"] not in (scale, "unknown"):
        raise ValueError(
            f"params.yaml: scale: it was {notes['scale']} when this build began, and DVC would record that for what is"
            f" made at the scale {scale}: run `dvc repro` again"
        )


def describe(stage: str, begun: list[str], words: list[str], known: dict[str, float]) -> str:
    """Return the line that a stage begins with; it is empty if nothing is known about the others.

    `begun`: the stages that have begun in this build, this one included. `words`: those of the command that runs it.
    `known`: the seconds of earlier runs, by stage.
    """
    graph = read_graph(_text("dvc.lock"), _text("params.yaml") + _text("dvc.yaml"))
    if not graph or {"-s", "--single-item"} & set(words):
        return ""
    rest = still_to_come(graph, begun, Path())
    stages = {name.partition("@")[0] for name in graph}
    if targets := {word for word in words if word.partition("@")[0] in stages}:
        new = (
            {word for word in targets if "@" in word} - graph.keys() - set(begun)
        )  # no earlier build had them
        rest = (rest & needed_for(graph, targets)) | new
    count = len(set(begun))
    text = f"stage {count} of {count + len(rest)}"
    times = [known[name] for name in (stage, *rest) if name in known]
    if not times:
        return text
    least = "at least " if len(times) <= len(rest) else ""
    return f"{text}, {least}about {in_words(sum(times))} to go, judging by earlier builds"


@contextlib.contextmanager
def announced(stage: str) -> Iterator[None]:
    """Say where the build stands before the block, and note how long the block takes if it ends without an error."""
    if ":" in stage:  # a stage of the zoo, which has another dvc.lock
        yield
        return
    times = project_root() / NOTES / f"seconds-{_scale()}.json"
    build, words = _build()
    notes = _read(NOTES / "build.json")
    begun = [*(notes["begun"] if notes.get("build") == build else ()), stage]
    _write(NOTES / "build.json", {"build": build, "begun": begun})
    if line := describe(stage, begun, words, _read(times)):
        sys.stderr.write(f"{line}\n")
    started = time.monotonic()
    yield
    _write(times, _read(times) | {stage: round(time.monotonic() - started, 1)})
