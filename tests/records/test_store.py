"""The store of runs: a damaged, missing or unreachable store is one message, in stages and commands alike."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ganscribe import cli
from ganscribe.records import store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize("size", [3, 5000])
def test_a_damaged_store_is_one_message_at_once(folder: Path, project: Path, size: int) -> None:
    (folder / "mlflow.db").write_bytes(b"rot" * size)
    with pytest.raises(OSError, match=r"mlflow\.db cannot be read .*restore it from a backup, or move it"):
        store.open_client()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project / "stages")
        stage = runpy.run_path(str(project / "stages/link_runs.py"))["main"]
    done = CliRunner().invoke(stage)
    assert done.exit_code == 1
    assert done.output.startswith("Error: the MLflow store ")


@pytest.mark.parametrize(
    "words", [["runs"], ["promote", "x", "1"], ["lineage", "abcdef01"], ["lineage", "models:/x/1"]]
)
def test_a_store_that_is_not_there_is_not_made(folder: Path, words: list[str]) -> None:
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 1
    assert "there is no MLflow store at" in done.output
    assert not (folder / "mlflow.db").exists()


def test_a_store_in_postgresql_without_its_extra_is_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://user@127.0.0.1:1/mlflow")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r'pip install "ganscribe\[postgresql\]"'):
        store.open_client()


def test_a_store_of_another_kind_of_uri_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert store.store_file() is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////srv/runs.db?timeout=60")
    assert store.store_file() == Path("/srv/runs.db")
