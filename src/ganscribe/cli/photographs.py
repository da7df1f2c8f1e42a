"""The user's own picture files: found, read, and given a figure's name each."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


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
    """The files that the arguments (files, folders, patterns) stand for, each once, and what is none.

    In a folder, and of a pattern, files that have no picture's name are passed over.
    """
    from ganscribe.features.folders import find_pictures

    found: dict[Path, None] = {}  # keeps the order
    problems = []
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_file():
            inside, problem = [path], ""
        elif path.is_dir():
            inside, problem = find_pictures(path.iterdir()), "this folder has no pictures"
        elif path.exists():
            inside, problem = [], "neither a file nor a folder"
        elif any(mark in argument for mark in "*?["):
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            inside, problem = find_pictures(map(Path, names)), "no picture has a name of this pattern"
        else:
            inside, problem = [], "there is no such file"
        found |= dict.fromkeys(inside)
        if not inside:
            problems.append(Unread(path, problem))
    return list(found), problems


def read_photograph(path: Path, crop: str) -> Photograph | Unread:
    """Read one file, or say why it cannot be read."""
    from ganscribe.drawing.attention import as_seen
    from ganscribe.features.pictures import as_input, open_image

    try:
        image = open_image(path)
        return Photograph(path, as_input(image, crop=crop), image.size, as_seen(image, crop=crop))
    except ValueError as error:
        return Unread(path, str(error))
    except OSError as error:
        return Unread(path, error.strerror or str(error))


def figure_paths(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """A figure's file in `folder` for each photograph: no two alike, and none a photograph's own."""
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
