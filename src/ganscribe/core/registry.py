"""Things that are found by the name of their file: adding one is adding a file, and changes no other."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

OPTIONS = "options stand after a * and have a default"


@dataclass(frozen=True)
class Registry:
    """The modules of the package `package`, each of them one `kind` of thing."""

    package: str
    kind: str

    @property
    def folder(self) -> Path:
        """The folder of the package."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"there is no package {self.package}")
        return Path(next(iter(spec.submodule_search_locations)))

    def names(self) -> list[str]:
        """Return the names that exist, in alphabetical order."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.py") if path.stem != "__init__")

    def file(self, name: str) -> Path:
        """Return the file of `name`. Raises ValueError with the names that exist for an unknown one."""
        if name not in (known := self.names()):
            raise ValueError(f"{self.kind} {name!r} is unknown: choose one of {', '.join(known)}")
        return self.folder / f"{name}.py"

    def load(self, name: str) -> ModuleType:
        """Import the module of `name`. Raises ValueError with the names that exist for an unknown one."""
        return importlib.import_module(f"{self.package}.{self.file(name).stem}")

    def option_names(self, name: str, *functions: str) -> list[str]:
        """Return the keyword arguments of `functions` of the module that have a default, without importing it."""
        path = self.file(name)
        by_function = _arguments_in(path, path.stat().st_mtime_ns)
        return sorted({option for function in functions for option in by_function.get(function, ((), ()))[0]})

    def check_options(self, name: str, options: Iterable[str], *functions: str) -> None:
        """Raise ValueError for an option that none of `functions` takes, with those that they take."""
        taken = self.option_names(name, *functions)
        for option in options:
            if option not in taken:
                known = f"it takes {', '.join(taken)}" if taken else "it has no options"
                problem = f"{self.kind} {name!r} has no option {option!r}: {known}"
                path = self.file(name)
                by_function = _arguments_in(path, path.stat().st_mtime_ns)
                for function in functions:
                    if option in by_function.get(function, ((), ()))[1]:
                        problem += f" ({function} has an argument {option!r}, but {OPTIONS})"
                raise ValueError(problem)

    def call(
        self, name: str, function: str, *arguments: Any, options: Mapping[str, Any], **settings: Any
    ) -> Any:
        """Return what `function` of the module gives; `options` are its keyword arguments with a default.

        Raises ValueError for an unknown name, for an option that it does not take, and for a function that is missing
        or cannot take the arguments.
        """
        self.check_options(name, options, function)
        chosen: Callable[..., Any] | None = getattr(self.load(name), function, None)
        if chosen is None:
            raise ValueError(f"{self.kind} {name!r} has no function {function}: add it to its file")
        try:
            inspect.signature(chosen).bind(*arguments, **settings, **options)
        except TypeError as error:
            raise ValueError(
                f"{self.kind} {name!r}: {function} does not have the arguments that it should have: {error}"
                f" ({OPTIONS})"
            ) from None
        return chosen(*arguments, **settings, **options)


def option_names(function: Callable[..., Any]) -> list[str]:
    """Return the keyword arguments of `function` that have a default."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is not inspect.Parameter.empty]


@functools.cache
def _arguments_in(path: Path, changed: int) -> dict[str, tuple[list[str], list[str]]]:
    """Return the options of each function of the module at `path`, which has last `changed` at that time, and its
    other arguments."""
    arguments = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            options = [argument.arg for argument, default in pairs if default is not None]
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            arguments[node.name] = options, [each.arg for each in every if each.arg not in options]
    return arguments
