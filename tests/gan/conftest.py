"""What the tests of GANs share: made-up objectives and networks."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganscribe.core.registry import Registry


@pytest.fixture
def add_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Registry, str, str], None]]:
    """Add a file (its name, its text) to a copy of a registry's folder, which a test sees in its place."""
    before = set(sys.modules)
    copies: dict[str, Path] = {}

    def add(registry: Registry, name: str, text: str) -> None:
        if registry.package not in copies:
            package, folder = importlib.import_module(registry.package), tmp_path / registry.package
            shutil.copytree(registry.folder, folder)
            monkeypatch.setattr(package.__spec__, "submodule_search_locations", [str(folder)])
            monkeypatch.setattr(package, "__path__", [str(folder)])
            copies[registry.package] = folder
        (copies[registry.package] / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith(tuple(copies)):
            del sys.modules[name]
