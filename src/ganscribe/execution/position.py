"""Which stage of how many is at work, and about how long the rest takes by the times of earlier builds.

DVC tells a stage nothing of the others. So each one notes that it has begun, and how long it took; which ones follow
is what dvc.lock says: those without their outputs, and those that depend on what has been made in this build.
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
_SCALE = re.compile(r"^scale: *(\w+)", re.MULTILINE)
NOTES = Path(".dvc/tmp/stages")
SHELLS = ("sh", "bash", "dash", "zsh")


@dataclass(frozen=True)
class Node:
    """A stage of dvc.lock: the stages that it takes something from, and the paths that it makes."""

    above: frozenset[str]
    makes: tuple[str, ...]


def _with_parents(path: str) -> list[str]:
    return [path, *map(str, PurePosixPath(path).parents)][:-1]  # without the folder of all


def read_graph(lock: str, names: str) -> dict[str, Node]:
    """Return the stages of the dvc.lock `lock`, a text in the form in which DVC writes it.

    DVC keeps the stages of runs that have gone. They are left out: the text `names` does not have their names.
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
    """Return the `targets` (stages, or all of one name before the `@`) and the stages that they depend on."""
    wanted = {name for name in graph if {name, name.partition("@")[0]} & set(targets)}
    while more := {above for name in wanted for above in graph[name].above} - wanted:
        wanted |= more
    return wanted


def still_to_come(graph: dict[str, Node], begun: Iterable[str], folder: Path) -> set[str]:
    """Return the stages that follow those that have `begun`.

    They take something from what has been made in this build, or their outputs are not in `folder`.
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
    """Return a length of time as a person would say it."""
    if seconds < 90:
        return "1 second" if seconds < 1.5 else f"{round(seconds)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _text(name: str) -> str:
    path = Path(name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read(path: Path) -> dict[str, Any]:
    """What was noted; nothing where it cannot be read, since a build does not depend on it."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _write(path: Path, notes: dict[str, Any]) -> None:
    # Of a full disk the stage itself will tell, and one that has ended has not failed.
    with contextlib.suppress(OSError), atomic_write(path) as handle:
        handle.write(json.dumps(notes).encode())


def _build() -> tuple[str, list[str]]:
    """What tells this build from others, and the words of its command; neither where DVC has just been killed."""
    try:
        dvc = psutil.Process(os.getppid())
        if dvc.name() in SHELLS:  # some stay between DVC and its command
            dvc = dvc.parent() or dvc
        return f"{dvc.pid} {dvc.create_time()}", dvc.cmdline()
    except psutil.Error:
        return "", []


def describe(stage: str, begun: list[str], words: list[str], known: dict[str, float]) -> str:
    """Return the line that a stage begins with, empty where nothing is known of the others.

    `begun`: the stages of this build so far, with this one; `words`: those of the command that runs it; `known`:
    seconds of earlier runs, by stage.
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
    return f"{text}, {least}about {in_words(sum(times))} to go by the times of earlier builds"


@contextlib.contextmanager
def announced(stage: str) -> Iterator[None]:
    """Say where the build stands as the block begins, and note how long it takes where it ends without an error."""
    if ":" in stage:  # of the zoo, whose dvc.lock is another one
        yield
        return
    scale = _SCALE.search(_text("params.yaml"))
    times = project_root() / NOTES / f"seconds-{scale[1] if scale else 'unknown'}.json"
    build, words = _build()
    notes = _read(NOTES / "build.json")
    begun = [*(notes["begun"] if notes.get("build") == build else ()), stage]
    _write(NOTES / "build.json", {"build": build, "begun": begun})
    if line := describe(stage, begun, words, _read(times)):
        sys.stderr.write(f"{line}\n")
    started = time.monotonic()
    yield
    _write(times, _read(times) | {stage: round(time.monotonic() - started, 1)})
