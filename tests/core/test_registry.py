"""Things that are found by the name of their file, in a made-up package."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganscribe.core.registry import Registry, option_names

CIRCLE = '''
"""A circle."""
LOADED = []


def build(radius, *, label, colour: str = "red", is_filled=True):
    return ("circle", radius, label, colour, is_filled)


def area(radius: float, scale: float = 1.0, *, pi: float = 3.0) -> float:
    return pi * (scale * radius) ** 2


def _helper(*, hidden=1):
    def build(*, inner=2): ...


class Shape:
    def build(self, *, method=3): ...
'''
POINT = "def build(radius, *, label):\n    return ('point', label)\n"
BROKEN = "raise RuntimeError('imported')\n\n\ndef build(*, size: int = 3): ...\n"


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry of the package `made_up.shapes`, which holds a circle, a point and a file that does not import."""
    folder = tmp_path / "made_up" / "shapes"
    (folder / "nested").mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    files = {"__init__": "", "circle": CIRCLE, "point": POINT, "broken": BROKEN}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "notes.txt").touch()
    (folder / "nested" / "square.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield Registry("made_up.shapes", "shape")
    for name in [name for name in sys.modules if name.split(".")[0] == "made_up"]:
        del sys.modules[name]


def test_names_are_those_of_the_files(shapes: Registry) -> None:
    assert shapes.names() == ["broken", "circle", "point"]
    (shapes.folder / "arc.py").touch()
    (shapes.folder / ".#arc.py").touch()  # of an editor
    assert shapes.names() == ["arc", "broken", "circle", "point"]


def test_a_name_has_a_file(shapes: Registry, tmp_path: Path) -> None:
    assert shapes.folder == tmp_path / "made_up" / "shapes"
    assert shapes.file("circle") == tmp_path / "made_up" / "shapes" / "circle.py"


@pytest.mark.parametrize(
    "name",
    ["square", "Circle", "__init__", "nested.square", "nested/square", "circle.py", "../shapes/circle"],
)
def test_unknown_names_are_refused_with_those_that_exist(shapes: Registry, name: str) -> None:
    for look in (shapes.file, shapes.load, lambda name: shapes.call(name, "build", options={})):
        with pytest.raises(ValueError) as error:
            look(name)
        assert str(error.value) == f"shape {name!r} is unknown: choose one of broken, circle, point"


def test_a_module_is_loaded_once(shapes: Registry) -> None:
    assert shapes.load("circle").LOADED is shapes.load("circle").LOADED


def test_options_are_the_keyword_arguments_with_a_default_read_without_an_import(shapes: Registry) -> None:
    assert shapes.option_names("circle", "build") == ["colour", "is_filled"]
    assert shapes.option_names("circle", "area") == ["pi"]
    assert shapes.option_names("circle", "build", "area") == ["colour", "is_filled", "pi"]
    assert shapes.option_names("point", "build") == []
    assert shapes.option_names("circle", "made_up") == []
    assert shapes.option_names("broken", "build") == ["size"]
    assert not [name for name in sys.modules if name.startswith("made_up.shapes.")]
    with pytest.raises(RuntimeError, match="imported"):
        shapes.load("broken")


def test_a_file_that_changes_has_other_options(shapes: Registry) -> None:
    assert shapes.option_names("circle", "build") == ["colour", "is_filled"]
    path = shapes.file("circle")
    changed = path.stat().st_mtime_ns + 1_000_000
    path.write_text("def build(radius, *, label, width=1): ...\n")
    os.utime(path, ns=(changed, changed))  # the clock of a file may stand still for some milliseconds
    assert shapes.option_names("circle", "build") == ["width"]


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("circle", "size", "it takes colour, is_filled"),
        # Without a default, or not keyword-only: the caller's, not the user's.
        *(
            (
                "circle",
                each,
                f"it takes colour, is_filled (build has an argument {each!r}, but options stand after a * and have"
                " a default)",
            )
            for each in ("label", "radius")
        ),
        ("point", "colour", "it has no options"),
        ("broken", "colour", "it takes size"),
    ],
)
def test_unknown_options_are_refused_with_those_that_exist(
    shapes: Registry, name: str, option: str, known: str
) -> None:
    with pytest.raises(ValueError) as error:
        shapes.check_options(name, [option], "build")
    assert str(error.value) == f"shape {name!r} has no option {option!r}: {known}"


def test_a_function_is_called_with_arguments_settings_and_options(shapes: Registry) -> None:
    def build(name: str, **options: Any) -> Any:
        return shapes.call(name, "build", 2.0, options=options, label="mine")

    assert build("circle") == ("circle", 2.0, "mine", "red", True)
    assert build("circle", colour="blue") == ("circle", 2.0, "mine", "blue", True)
    assert build("point") == ("point", "mine")
    assert shapes.call("circle", "area", 2.0, options={"pi": 4.0}) == 16.0
    with pytest.raises(ValueError, match="'circle' has no option 'pi': it takes colour, is_filled"):
        build("circle", pi=4.0)
    with pytest.raises(ValueError, match="'point' has no option 'colour': it has no options"):
        build("point", colour="blue")


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("make", {}, "shape 'circle' has no function make: add it to its file"),
        (
            "build",
            {},
            "shape 'circle': build does not have the arguments that it should have: .*'label' .*after a *",
        ),
    ],
)
def test_a_function_that_cannot_be_called_is_named(
    shapes: Registry, function: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        shapes.call("circle", function, 2.0, options=options)


def test_a_package_that_is_not_there_is_named(shapes: Registry) -> None:
    for package in ("made_up.squares", "made_up.shapes.circle"):
        with pytest.raises(ModuleNotFoundError, match=f"there is no package {package}"):
            Registry(package, "shape").names()


def test_option_names_of_a_function() -> None:
    def function(done: float, *, factor: float = 0.1, at: tuple[float, ...] = (0.5,)) -> None: ...

    assert option_names(function) == ["factor", "at"]
