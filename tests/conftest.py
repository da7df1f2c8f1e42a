"""What every test shares: where the project and the real data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two workers with two threads each make torch's short loops ten times slower than one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end test first: it takes as long as half of all others, and one worker must do it alone."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session")
def project() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The real data (see README); the test is skipped where they are absent."""
    folder = Path(os.environ.get("GANSCRIBE_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set GANSCRIBE_TEST_DATA")
    return folder.resolve()
