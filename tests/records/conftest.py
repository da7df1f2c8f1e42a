"""An empty store for the tests of the records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ganscribe.records import store


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, made once: MLflow takes seconds to make its tables."""
    root = tmp_path_factory.mktemp("fresh")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store.open_client()
    return root / "mlflow.db"


@pytest.fixture
def with_store(workplace: Path, fresh_store: Path) -> Path:
    """A working folder with an empty store."""
    shutil.copyfile(fresh_store, workplace / "mlflow.db")
    return workplace
