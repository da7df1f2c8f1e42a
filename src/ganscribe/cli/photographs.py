"""The user's own picture files: how they are found and read, and what their figures are called."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


FIGURE = re.compile(r"\.attention(-\d+)?\.png$")  # the names that `figure_paths` gives


@dataclass(frozen=True)
class Photograph:
    """A picture file, read: what the network takes in (3, 299, 299), its size, and what a figure shows."""

    path: Path
    pixels: Tensor
    size: tuple[int, int]  # width, height, upright
    shown: Image


@dataclass(frozen=True)
class Unread:
    """A file that is left out, and why."""

    path: Path
    reason: str


def find_photographs(arguments: Sequence[str]) -> tuple[list[Path], list[Unread]]:
    """Return the files that the arguments (files, folders, patterns) stand for, each once, and what cannot be read.

    A folder stands for all pictures in it and in its subfolders. In folders, and among the files that a pattern finds,
    hidden files, attention figures and files whose names are not those of pictures are passed over.
    """
    found: dict[Path, None] = {}  # keeps the order
    problems: list[Unread] = []
    for argument in arguments:
        path = Path(argument).expanduser()
        unread: list[Unread] = []
        if path.is_file():
            inside, problem = [path], ""
        elif path.is_dir():
            inside, unread = _pictures(path.rglob("*"), path)
            problem = "this folder has no pictures"
        elif path.exists():
            inside, problem = [], "this is neither a file nor a folder"
        elif any(mark in argument for mark in "*?["):
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            fixed = itertools.takewhile(lambda part: not any(mark in part for mark in "*?["), path.parts)
            inside, unread = _pictures(map(Path, names), Path(*fixed))
            problem = "no picture has a name that fits this pattern"
        else:
            inside, problem = [], "there is no such file"
        found |= dict.fromkeys(inside)
        problems += unread
        if not inside and not unread:
            problems.append(Unread(path, problem))
    return list(found), problems


def _pictures(paths: Iterable[Path], folder: Path) -> tuple[list[Path], list[Unread]]:
    """Return the pictures among the files below `folder`, and those whose names say that Pillow cannot read them."""
    from ganscribe.features.folders import find_pictures
    from ganscribe.serving.pictures import unreadable

    seen = [
        path
        for path in paths
        if not any(part.startswith(".") and part != ".." for part in path.parts[len(folder.parts) :])
        and not FIGURE.search(path.name)
    ]
    reasons = {path: reason for path in sorted(seen) if (reason := unreadable(path)) and path.is_file()}
    return find_pictures(seen), [Unread(path, reason) for path, reason in reasons.items()]


def read_photograph(path: Path, crop: str) -> Photograph | Unread:
    """Read one file, or say why it cannot be read."""
    from ganscribe.drawing.attention import as_seen
    from ganscribe.features.pictures import as_input
    from ganscribe.serving.pictures import open_picture

    try:
        image = open_picture(path)
        return Photograph(path, as_input(image, crop=crop), image.size, as_seen(image, crop=crop))
    except ValueError as error:
        return Unread(path, str(error))
    except OSError as error:
        return Unread(path, error.strerror or str(error))


def figure_paths(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return the path of each photograph's figure in `folder`: all are different, and none is that of a photograph."""
    taken = {path.resolve() for path in paths}
    figures = {}
    for path in paths:
        figure, number = folder / f"{path.stem}.attention.png", 1
        while figure.resolve() in taken:
            number += 1
            figure = folder / f"{path.stem}.attention-{number}.png"
        taken.add(figure.resolve())
        figures[path] = figure
    return figures
