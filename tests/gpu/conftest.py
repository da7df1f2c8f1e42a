"""Tests that need a card: `python -m pytest tests/gpu`.

A bare environment will do: torch, torchvision, numpy, pandas, pyarrow, scipy, safetensors, filelock, tqdm, Pillow and
pytest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "tests" / "helpers")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests if there is no GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def no_sender() -> None:
    """In the place of tests/conftest.py's: nothing is recorded here, and a bare machine lacks what records/ needs."""
