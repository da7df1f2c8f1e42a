"""What the tests of convnets share: one thread, and made-up networks."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ganscribe.convnets.common.building import CONVNETS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two test processes with two threads each would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def add_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Add a file (its name, its text) to a copy of the folder of networks, which a test sees in its place."""
    package, folder = importlib.import_module(CONVNETS.package), tmp_path / "networks"
    shutil.copytree(CONVNETS.folder, folder)
    monkeypatch.setattr(package.__spec__, "submodule_search_locations", [str(folder)])
    monkeypatch.setattr(package, "__path__", [str(folder)])
    before = set(sys.modules)

    def add(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith(CONVNETS.package):
            del sys.modules[name]
