"""A project's folder that is copied or moved keeps its own store and artifacts, and touches no other folder's."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from ganscribe import records
from ganscribe.cli.doctor.records import check_mlflow
from ganscribe.records import place, sender, store
from ganscribe.records.outbox import entries, outbox_folder, sqlite_uri


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))


def train(key: str, *, with_file: bool = True) -> None:
    with records.training_run(family="gan", name="dcgan", run_key=key, params={}, inputs=[]) as recording:
        Path("note.txt").write_text(key)
        if with_file:
            recording.log_files("note.txt")


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def first(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run that has an artifact, one that has none, and a registered model."""
    folder = tmp_path / "größe 1"
    folder.mkdir()
    shutil.copyfile(fresh_store, folder / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    enter(folder, monkeypatch)
    train("with")
    train("without", with_file=False)
    sender.finish()
    client = store.open_client()
    run = store.find_run(client, "with")
    assert run is not None
    model = client.create_logged_model(
        run.info.experiment_id, name="generator", source_run_id=run.info.run_id
    )
    Path("note.txt").write_text("model")
    client.log_model_artifact(model.model_id, "note.txt")
    client.create_registered_model("ganscribe-gan-dcgan")
    client.create_model_version("ganscribe-gan-dcgan", f"models:/{model.model_id}", run_id=run.info.run_id)
    return folder


def faults() -> list[str]:
    return [finding.text for finding in check_mlflow() if not finding.is_ok]


def test_a_copy_reads_and_writes_its_own_folder(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(first, first.parent / "a copy?"))
    before = contents(first)
    enter(copy, monkeypatch)
    train("without")  # a finished run is not continued: a new one with an artifact
    sender.finish()
    client = store.open_client()
    runs = store.read_runs(client)
    assert len(runs) == 3
    assert {place.as_path(run.artifact_uri).is_relative_to(copy) for run in runs} == {True}
    model = client.get_model_version("ganscribe-gan-dcgan", "1")
    location = client.get_model_version_download_uri("ganscribe-gan-dcgan", "1")
    assert model.run_id == runs[0].run_id
    assert (place.as_path(location) / "note.txt").read_text() == "model"
    assert place.as_path(location).is_relative_to(copy)
    (logged,) = client.search_logged_models([client.get_run(model.run_id).info.experiment_id])
    assert place.as_path(logged.artifact_location).is_relative_to(copy)
    (copy / "downloads").mkdir()
    for run, text in ((runs[0], "with"), (runs[2], "without")):
        (copy / "mlartifacts/ganscribe/gan" / run.run_id / "artifacts/note.txt").write_text(f"{text} here")
        found = client.download_artifacts(run.run_id, "note.txt", str(copy / "downloads"))
        assert Path(found).read_text() == f"{text} here"
    assert contents(first) == before
    assert faults() == []


def test_what_was_not_sent_before_a_move_is_sent_after_it(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("late")
    moved = first.rename(first.with_name("moved"))
    enter(moved, monkeypatch)
    assert sender.finish() == 1
    assert entries(outbox_folder()) == []
    run = store.find_run(store.open_client(), "late")
    assert run is not None
    assert (place.as_path(run.info.artifact_uri) / "note.txt").read_text() == "late"
    assert not first.exists()


def test_a_kill_while_addresses_are_corrected_loses_no_recording(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("late")
    moved = first.rename(first.with_name("moved"))
    enter(moved, monkeypatch)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganscribe.records.place.shutil.move", die)
        with pytest.raises(KeyboardInterrupt):
            place.correct_addresses()
    assert sender.finish() == 1
    assert store.find_run(store.open_client(), "late") is not None


def test_artifacts_that_were_left_behind_are_read_there_and_named(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copyfile(first / "mlflow.db", copy / "mlflow.db")
    enter(copy, monkeypatch)
    client = store.open_client()
    runs = store.read_runs(client)
    assert [place.as_path(run.artifact_uri).is_relative_to(first) for run in runs] == [True, False]
    found = client.download_artifacts(runs[0].run_id, "note.txt", str(tmp_path))
    assert Path(found).read_text() == "with"
    (text,) = faults()
    assert f"{first}/mlartifacts" in text
    before = contents(first)
    train("new")
    sender.finish()
    run = store.find_run(client, "new")
    assert run is not None and place.as_path(run.info.artifact_uri).is_relative_to(copy)
    assert contents(first) == before
    shutil.copytree(first / "mlartifacts", copy / "mlartifacts", dirs_exist_ok=True)
    assert faults() == []
    assert place.as_path(store.read_runs(client)[0].artifact_uri).is_relative_to(copy)


def test_a_store_in_its_place_and_one_of_others_stay_as_they_are(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(first)
    place.correct_addresses()
    assert contents(first) == before
    other = tmp_path / "other"
    other.mkdir()
    enter(other, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(first / "mlflow.db"))
    place.correct_addresses()
    assert contents(first) == before
    assert place.left_behind() == []


def test_addresses_that_cannot_be_corrected_are_one_message(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = first.rename(first.with_name("moved"))
    enter(moved, monkeypatch)
    with contextlib.closing(sqlite3.connect(moved / "mlflow.db")) as database:
        database.execute(
            "CREATE TRIGGER refusal BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'attempt to write'); END"
        )
    with pytest.raises(
        OSError, match=r"moved here, and its addresses cannot be corrected \(attempt to write\)"
    ):
        store.open_client()
    with contextlib.closing(sqlite3.connect(moved / "mlflow.db")) as database:
        (location,) = database.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'ganscribe/gan'"
        ).fetchone()
    assert place.as_path(location).is_relative_to(first), "all or nothing"
