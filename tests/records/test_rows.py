"""The store's tables, read without MLflow, say what MLflow says of them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganscribe.records import rows, store


@pytest.fixture
def client(with_store: Path) -> Any:
    """A store with runs and versions of every kind, some of them deleted, and with other people's."""
    client, ids = store.open_client(), []
    for family, start in (("gan", 5), ("gan", 3), ("captioner", 4), ("pipeline", 1)):
        number = store.experiment_id(client, family)
        tags = {"run_key": f"{start}", "facts": '{"num_real": 5, "judge_sha256": "aa"}'}
        run = client.create_run(number, start_time=start, run_name=f"{family}{start}", tags=tags)
        ids.append(run.info.run_id)
        client.log_param(ids[-1], "steps", start)
        for step, value in enumerate((1.5, float("nan") if start == 3 else 2.5)):
            client.log_metric(ids[-1], "loss", value, step=step)
        client.log_metric(ids[-1], "kl", float("inf") if start == 4 else -float("inf"))
        client.set_terminated(ids[-1], "FINISHED" if start > 3 else "KILLED")
    client.delete_run(ids[1])
    client.delete_experiment(store.experiment_id(client, "pipeline"))
    for name in ("Ganscribe/gan", "another"):
        client.create_run(client.create_experiment(name))
    for name, run_id in (("b", ids[0]), ("a", ids[2]), ("b", ids[0]), ("b", ids[1])):
        if name not in [model.name for model in client.search_registered_models()]:
            client.create_registered_model(name)
        version = client.create_model_version(name, "nowhere", run_id=run_id, description="what it is")
        client.set_model_version_tag(name, version.version, "fid", "3")
    for _ in range(8):  # to version 11, which comes after 3
        client.create_model_version("b", "nowhere", run_id=ids[1])
    for alias in ("champion", "candidate"):
        client.set_registered_model_alias("b", alias, "1")
    client.delete_model_version("b", "2")
    return client


def comparable(record: rows.RunRecord) -> rows.RunRecord:
    """Return the record with its metrics as text, because NaN is not equal to itself."""
    return replace(record, metrics={key: str(value) for key, value in record.metrics.items()})  # type: ignore[misc]


def test_what_the_tables_hold_is_what_mlflow_says(client: Any) -> None:
    reader = store.open_reader()
    assert isinstance(reader, rows.Rows)
    for family in (None, "gan", "captioner", "none"):
        expected = [comparable(each) for each in store.read_runs(client, family)]
        assert [comparable(each) for each in store.read_runs(reader, family)] == expected
        assert len(expected) == {None: 4, "gan": 2, "captioner": 1, "none": 0}[family]
    found = store.read_runs(reader)
    assert [each.is_deleted for each in found] == [True, True, False, False]
    assert found[2].metrics["num_real"] == 5 and found[2].tags["judge_sha256"] == "aa"
    for query in ("", "name = 'b'", f"run_id = '{found[2].run_id}'", "name = 'c'"):
        assert store.read_versions(reader, query) == store.read_versions(client, query)
    versions = store.read_versions(reader, "name = 'b'")
    assert [each.version for each in versions] == ["1", *map(str, range(3, 12))]
    assert [each.aliases for each in versions] == [("candidate", "champion"), *[()] * 9]
    assert store.deleted_experiments(reader) == store.deleted_experiments(client) != {}
    with pytest.raises(ValueError, match="cannot be asked"):
        store.read_versions(reader, "name = 'a' OR 'b'")


def test_tables_of_another_form_are_left_to_mlflow(client: Any, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        (known,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        assert known in rows.SCHEMAS, (
            "the installed MLflow has a form that is not known: compare, then add it"
        )
        database.execute("UPDATE alembic_version SET version_num = 'another'")
        database.commit()
    assert rows.open_rows(tmp_path / "mlflow.db") is None
    (tmp_path / "empty.db").touch()
    assert rows.open_rows(tmp_path / "empty.db") is None


@pytest.mark.parametrize("words", [["runs"], ["doctor"]])
def test_reading_commands_load_neither_mlflow_nor_torch(client: Any, project: Path, words: list[str]) -> None:
    """Importing either would take seconds."""
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(project / name, name)
    shutil.copytree(project / "params", "params")
    script = (
        "import sys\n"
        "from ganscribe.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        "assert not {'mlflow', 'torch', 'pandas'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "AssertionError" not in done.stderr, done.stderr[-2000:]
    assert "mlflow" in done.stdout or "fid" in done.stdout or "no scored run" in done.stdout
