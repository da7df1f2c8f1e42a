"""The store of runs: a damaged, missing or unreachable store is one message, in stages and commands alike."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ganscribe import cli, records
from ganscribe.cli import comparing
from ganscribe.records import registry, runs, sender, store
from ganscribe.records.outbox import sqlite_uri, tracking_uri
from ganscribe.records.place import as_path, named_if_unreadable


@pytest.mark.parametrize("size", [3, 5000])
def test_a_damaged_store_is_one_message_at_once(workplace: Path, load_stage: Any, size: int) -> None:
    (workplace / "mlflow.db").write_bytes(b"rot" * size)
    with pytest.raises(OSError, match=r"mlflow\.db cannot be read .*restore it from a backup, or move it"):
        store.open_client()
    done = CliRunner().invoke(load_stage("link_runs")["main"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: the MLflow store ")


def damage(path: Path, table: str) -> None:
    """Overwrite the first page of a table, and leave the rest of the file as it is."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = database.execute(query, (table,)).fetchone()
    with path.open("r+b") as handle:
        handle.seek((page - 1) * size)
        handle.write(b"rot!" * (size // 4))


@pytest.mark.parametrize("table", ["experiments", "runs", "tags", "latest_metrics"])
def test_a_store_that_is_damaged_in_the_middle_is_one_message(with_store: Path, table: str) -> None:
    damage(with_store / "mlflow.db", table)
    done = CliRunner().invoke(cli.main, ["runs"])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert done.output.startswith(
        f"Error: the MLflow store {with_store / 'mlflow.db'} cannot be read (database"
    )
    assert done.output.count("\n") == 1


def test_a_file_elsewhere_that_is_no_database_is_one_message(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = workplace / "other.db"
    other.write_bytes(b"rot" * 5000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(other))
    done = CliRunner().invoke(cli.main, ["runs"])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: the MLflow store {other} cannot be read (file is not a database)")


def test_a_store_that_is_in_use_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer,
        contextlib.closing(sqlite3.connect(path, timeout=0)) as reader,
    ):
        writer.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(OSError, match=r"locked\): make it readable, and end other processes that use it$"),
            named_if_unreadable(path),
        ):
            reader.execute("SELECT count(*) FROM sqlite_master")


@pytest.mark.parametrize(
    "words", [["runs"], ["promote", "x", "1"], ["lineage", "abcdef01"], ["lineage", "models:/x/1"]]
)
def test_a_store_that_is_not_there_is_not_made(workplace: Path, words: list[str]) -> None:
    (workplace / ".dvc").mkdir()
    (workplace / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 1
    assert "there is no MLflow store at" in done.output
    assert not (workplace / "mlflow.db").exists()


def test_a_store_in_postgresql_without_its_extra_is_one_message(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://user@127.0.0.1:1/mlflow")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(OSError, match=r'pip install "ganscribe\[postgresql\]"'):
        store.open_client()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sqlite://mlflow.db", "sqlite:///relative/path/to/file.db"),
        ("mysql+nodriver://u:s3cret@h/db", "mysql.nodriver"),
        ("mssql+jdbc://h/db?password=s3cret", "mssql.jdbc"),
        ("postgresql+pg8000://u:s3cret@h/db", "install the driver pg8000"),
        ("postgresql://u:s3cret@h:port/db", "invalid literal for int"),
        ("sqlite:////proc/nothing/mlflow.db?x=s3cret", "there is no MLflow store at /proc/nothing/mlflow.db"),
        ("gopher://u:s3cret@h", "gopher"),
        ("http://u:s3cret@[h", "Invalid IPv6 URL"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_message(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = CliRunner().invoke(cli.main, ["runs"])
    assert done.exit_code == 1
    assert said in done.output
    assert done.output.startswith("Error: ") and done.output.count("\n") == 1
    assert "s3cret" not in done.output


def test_a_store_of_another_kind_of_uri_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert store.store_file() is None
    for address in ("sqlite:////srv/runs.db?timeout=60", "sqlite+pysqlite:////srv/runs.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert store.store_file() == Path("/srv/runs.db")


@pytest.mark.parametrize("name", ["100%25 sure", "q?x", "50% off", 'größe #1 ["a\'b"]'])
def test_a_folder_of_any_name_keeps_its_own_store(
    tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copyfile(fresh_store, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.store_file() == folder / "mlflow.db"
    with records.training_run(family="gan", name="dcgan", run_key="key", params={}, inputs=[]) as recording:
        Path("git.diff").write_text("as it was")
        recording.log_files("git.diff")
    sender.finish()
    client = store.open_existing()
    run = store.find_run(client, "key")
    assert run is not None
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("SELECT run_uuid FROM runs").fetchall() == [(run.info.run_id,)]
    (kept,) = (folder / "mlartifacts").rglob("git.diff")
    assert kept.read_text() == "as it was"
    assert as_path(run.info.artifact_uri) / "git.diff" == kept
    assert (
        Path(client.download_artifacts(run.info.run_id, "git.diff", str(tmp_path))).read_text() == "as it was"
    )
    assert list(tmp_path.iterdir()) == [folder, tmp_path / "git.diff"]


def test_a_store_is_made_in_a_folder_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'it\'s "größe" :1'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [experiment.name for experiment in store.open_client().search_experiments()] == ["Default"]
    assert (folder / "mlflow.db").is_file()


def test_a_plain_folder_keeps_its_address(workplace: Path) -> None:
    """The outbox is named after the address, and older stores are found by it."""
    assert tracking_uri() == f"sqlite:///{workplace}/mlflow.db"


def add_others(path: Path, table: str, number: int, **more: Any) -> None:
    """Add other people's rows directly to the database: made after ours, with names that come first."""
    values = {"name": "", "creation_time": 2**42, **more}
    query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executemany(
            query, [tuple((values | {"name": f"another {i}"}).values()) for i in range(number)]
        )
        database.commit()


def test_a_store_full_of_other_experiments_and_models_hides_nothing(with_store: Path) -> None:
    client, name, tags = store.open_client(), "ganscribe-gan-dcgan", {"scale": "tiny"}
    reopened = {"family": "gan", "name": "dcgan", "run_key": "key", "tags": tags}
    run = runs.reopen_run(client, **reopened)
    client.create_registered_model(name)
    client.create_model_version(name, "nowhere", run_id=run.run_id)
    client.set_registered_model_alias(name, "champion", "1")
    add_others(with_store / "mlflow.db", "experiments", 1200, lifecycle_stage="active", workspace="default")
    add_others(with_store / "mlflow.db", "registered_models", 1100, workspace="default")
    assert len(client.search_experiments()) == len(client.search_registered_models(max_results=1000)) == 1000
    assert runs.reopen_run(client, **reopened).run_id == run.run_id
    assert [record.run_id for record in store.read_runs(client)] == [run.run_id]
    assert [record.aliases for record in store.read_versions(client, f"name = '{name}'")] == [("champion",)]
    with pytest.raises(ValueError, match=f"no registered model is called 'dcgan': there are {name}$"):
        registry.promote(client, "dcgan", "1")


def test_a_run_that_cannot_be_compared_is_named(with_store: Path) -> None:
    client = store.open_client()
    first, _ = (client.create_run(store.experiment_id(client, "gan")).info.run_id for _ in range(2))
    client.delete_run(first)
    for subject, said in (
        ("abcdef0", "abcdef0 is neither a run nor an id: `ganscribe runs` lists"),
        ("", "begins 2 runs' ids"),
        (first, f"was deleted in MLflow: `mlflow runs restore --run-id {first}`"),
    ):
        with pytest.raises(ValueError, match=said):
            comparing._run_of(subject)


def test_runs_of_one_recipe_under_two_names_are_told_apart(with_store: Path) -> None:
    client, shared = store.open_client(), {"family": "gan", "run_key": "key", "tags": {"scale": "tiny"}}
    made = {}
    for name in ("dcgan", "twin"):
        run = runs.start_run(client, name=name, **shared)
        run.end("FINISHED")
        made[name] = run.run_id
    assert len(set(made.values())) == 2
    assert {name: runs.reopen_run(client, name=name, **shared).run_id for name in made} == made
    assert runs.reopen_run(client, name="third", **shared).run_id in made.values()


def test_more_than_a_page_is_read(with_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE", 2)
    client = store.open_client()
    for family in ("a", "b", "c", "d", "e"):
        run = client.create_run(store.experiment_id(client, family), tags={"run_key": "key"})
        client.create_registered_model(family)
        client.create_model_version(family, "nowhere", run_id=run.info.run_id)
    assert len(store.find_runs(client, "key")) == len(store.read_runs(client)) == 5
    assert [version.name for version in store.read_versions(client)] == ["a", "b", "c", "d", "e"]
