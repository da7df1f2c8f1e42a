"""The sender: a server that is down or dies, a sender that is killed, a recording that is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import gans
from ganscribe import cli, records
from ganscribe.core.weights import save_weights
from ganscribe.records import sender, store
from ganscribe.records.outbox import Entry, entries, new_entry, outbox_folder
from loopback import Server

RUN: dict[str, Any] = {"family": "gan", "name": "dcgan", "params": {"steps": 3}, "inputs": []}


@pytest.fixture
def folder(with_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return with_store


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The store in use: a server that has not started yet, with a password in its address."""
    made = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri.replace("://", "://alice:s3cret@"))
    yield made
    made.kill()


def assert_no_password(text: str) -> None:
    """Check that the password is neither in `text` nor in any file of the outbox."""
    files = [path for path in outbox_folder().rglob("*") if path.is_file()]
    assert "s3cret" not in text
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []


def points(run_key: str) -> list[tuple[int, float]]:
    client = store.open_client()
    (run,) = store.find_runs(client, run_key)
    assert run.info.status == "FINISHED"
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")]


def test_a_server_that_comes_late_and_dies_in_the_middle_loses_nothing(folder: Path, server: Server) -> None:
    begun = time.monotonic()
    with records.training_run(run_key="first", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
        (folder / "plot.png").write_bytes(b"as it was")
        recording.log_files("plot.png", folder="plots")
    (folder / "plot.png").write_bytes(b"changed since")
    assert time.monotonic() - begun < 2, "a stage does not wait for MLflow"
    with pytest.raises(OSError, match=r"did not accept 1 recordings .* kept in .*`ganscribe runs sync`"):
        sender.finish()
    done = CliRunner().invoke(cli.main, ["runs", "sync"])
    assert done.exit_code == 1 and "They are kept in" in done.output and "Traceback" not in done.output
    done = CliRunner().invoke(cli.main, ["doctor"])
    assert "FAULT mlflow outbox: 1 recordings have not reached MLflow" in done.output
    assert "http://***@127.0.0.1" in done.output
    assert_no_password(done.output)

    server.start()
    following = sender.Sender(outbox_folder())
    with records.training_run(run_key="second", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
        assert following.look()
        server.kill()
        recording.log(1, {"loss": 0.5})
        assert not following.look(), "the store does not answer"
        recording.log(2, {"loss": 1.0})
    assert len(entries(outbox_folder())) == 1, "the first has arrived"
    server.start()
    assert_no_password("")
    done = CliRunner().invoke(cli.main, ["runs", "sync"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "1 recordings sent")
    done = CliRunner().invoke(cli.main, ["doctor"])
    assert "ok    mlflow store: http://***@127.0.0.1" in done.output
    assert_no_password(done.output)
    assert points("first") == [(0, 0.0)]
    assert points("second") == [(0, 0.0), (1, 0.5), (2, 1.0)]
    client = store.open_client()
    (first,) = store.find_runs(client, "first")
    kept = client.download_artifacts(first.info.run_id, "plots/plot.png", str(folder / "served"))
    assert Path(kept).read_bytes() == b"as it was"


def test_a_sender_killed_between_sending_and_noting_sends_no_point_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender is killed at each place where it notes something, one after the other."""
    with records.training_run(run_key="key", **RUN) as recording:
        for step in range(3):
            recording.log(step, {"loss": step / 2})
        recording.log_files("mlflow.db")
    whole = Entry.mark_sent
    kills = 0
    while left := entries(outbox_folder()):
        notes: list[int] = []

        def die_at_the_second(self: Entry, offset: int, run_id: str, notes: list[int] = notes) -> None:
            if notes:
                raise KeyboardInterrupt
            notes.append(offset)
            whole(self, offset, run_id)

        with monkeypatch.context() as patch:
            patch.setattr(Entry, "mark_sent", die_at_the_second)
            try:
                sender.Sender(outbox_folder()).look()
            except KeyboardInterrupt:
                kills += 1
        assert kills < 10, left
    assert kills >= 2
    assert points("key") == [(0, 0.0), (1, 0.5), (2, 1.0)]


def test_a_sender_killed_before_it_noted_the_run_makes_no_second_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with records.stage_run("diagnose", params={}, inputs=[]) as recording:
        recording.score({"rho": 0.5})

    def die(self: Entry, offset: int, run_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Entry, "mark_sent", die)
        with pytest.raises(KeyboardInterrupt):
            sender.Sender(outbox_folder()).look()
    sender.finish()
    (run,) = store.read_runs(store.open_client())
    assert (run.status, run.metrics) == ("FINISHED", {"rho": 0.5})


def test_a_model_registered_when_the_server_failed_becomes_the_candidate(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gans.save_generator("generator.safetensors")
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log_model("generator", "generator.safetensors")

    def fail(*arguments: object) -> None:
        raise MlflowException("out of sorts")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", fail)
        with pytest.raises(OSError, match="out of sorts"):
            sender.finish()
    assert [version.aliases for version in store.read_versions(store.open_client())] == [()]
    sender.finish()
    assert [version.aliases for version in store.read_versions(store.open_client())] == [("candidate",)]


def test_scores_found_again_are_no_second_point(folder: Path) -> None:
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    for fid in (2.0, 2.0, 1.0):
        with records.reopened_run("key", family="gan", name="dcgan") as recording:
            recording.score({"fid": fid, "beam": {"CIDEr": 0.5}})
    sender.finish()
    client = store.open_client()
    (run,) = store.find_runs(client, "key")
    fids, ciders = (client.get_metric_history(run.info.run_id, key) for key in ("fid", "beam.CIDEr"))
    assert [point.value for point in fids] == [2.0, 1.0] and len(ciders) == 1


def test_a_recording_that_mlflow_refuses_holds_up_no_other(folder: Path) -> None:
    save_weights("generator.safetensors", {}, {"noise_dim": 3})
    with records.training_run(run_key="bad", **RUN) as recording:
        recording.log_model("classifier", "generator.safetensors")
    with records.reopened_run("bad", family="gan", name="dcgan") as recording:
        recording.score({"fid": 1.0})
    with records.training_run(run_key="good", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    with pytest.raises(OSError, match="holds a generator: it cannot be logged as a classifier"):
        sender.finish()
    assert points("good") == [(0, 0.0)]
    kept = [entry.header()["kind"] for entry in entries(outbox_folder())]
    assert kept == ["training", "reopened"], "what hangs on it waits"


def test_what_is_cut_off_or_of_another_version(folder: Path) -> None:
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    (entry,) = entries(outbox_folder())
    lines = entry.events.read_text().splitlines(keepends=True)
    entry.events.write_text("".join(lines[:-1]) + lines[-1][:20])  # killed while it wrote the last line
    sender.finish()
    (run,) = store.find_runs(store.open_client(), "key")
    assert run.info.status == "KILLED"

    for name, text in (
        ("1-empty", '{"event": "op'),
        ("2-other", json.dumps({"event": "open", "format": 99})),
    ):
        (outbox_folder() / name).mkdir()
        (outbox_folder() / name / "events.jsonl").write_text(f"{text}\n" if name == "2-other" else text)
    with pytest.raises(OSError, match="another version of ganscribe"):
        sender.finish()
    assert [entry.folder.name for entry in entries(outbox_folder())] == ["2-other"]


def test_a_line_that_a_full_disk_cut_off_spoils_no_later_one(folder: Path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with (
            pytest.raises(OSError, match="File too large"),
            records.training_run(run_key="key", **RUN) as recording,
        ):
            recording.log(0, {"loss": 0.0})
            (entry,) = entries(outbox_folder())
            size = entry.events.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
            try:
                recording.log(1, {"loss": 0.5})
            finally:  # some space is free again, as when temporary files have gone
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        signal.signal(signal.SIGXFSZ, before)
    sender.finish()
    client = store.open_client()
    (run,) = store.find_runs(client, "key")
    assert run.info.status == "FAILED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [0]


def test_to_ask_whether_a_stage_is_at_work_does_not_look_like_one(folder: Path) -> None:
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
        (entry,) = entries(outbox_folder())
        assert entry.is_live()
    asked = threading.Event()

    def ask() -> None:
        with entry.lock():
            asked.set()
            time.sleep(0.01)

    other = threading.Thread(target=ask)
    other.start()
    asked.wait()
    assert sender.finish() == 1
    other.join()


def test_a_live_recording_has_system_metrics(folder: Path) -> None:
    with records.training_run(run_key="key", **RUN):
        working = sender.Sender(outbox_folder())
        assert working.look()
    assert working.look()
    (run,) = store.find_runs(store.open_client(), "key")
    assert run.data.metrics["system/cpu_utilization_percentage"] >= 0


def test_a_run_that_somebody_else_is_at_work_on_is_left_alone(folder: Path) -> None:
    """Two clones with one server train the same model at once."""
    client = store.open_client()
    theirs = client.create_run(store.experiment_id(client, "gan"), run_name="dcgan", tags={"run_key": "key"})
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    sender.finish()
    statuses = {run.info.run_id: run.info.status for run in store.find_runs(client, "key")}
    assert len(statuses) == 2
    assert statuses.pop(theirs.info.run_id) == "RUNNING"
    assert list(statuses.values()) == ["FINISHED"]


class Unauthorised(BaseHTTPRequestHandler):
    """Answers 401 to everything, and tells what it was asked for."""

    def answer(self) -> None:
        content = f"who is http://alice:s3cret@{self.headers['Host']}{self.path}?token=s3cret".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


def test_a_sender_s_log_tells_no_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Unauthorised) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://alice:s3cret@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with records.training_run(run_key="key", **RUN) as recording:
            recording.log(0, {"loss": 0.0})
        log = outbox_folder() / "sender.log"
        with log.open("wb") as handle:
            command = [sys.executable, "-m", "ganscribe.records.sender"]
            subprocess.run(command, stdout=handle, stderr=handle, check=True, timeout=60)
        server.shutdown()
    assert "Traceback" in log.read_text() and "error code 401" in log.read_text()
    with records.stage_run("report", params={}, inputs=[]):
        pass
    warned = capsys.readouterr().err
    assert "1 recordings have not reached MLflow" in warned and "401" in warned
    assert_no_password(warned)


def test_a_deleted_experiment_is_named_with_what_brings_it_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds while a sender is at work, which does not take an old answer for a new one."""
    client = store.open_client()
    with records.training_run(run_key="old", **RUN) as recording:
        recording.score({"fid": 1.0, "judge": "lenet5"})
    sender.finish()
    number = store.experiment_id(client, "gan")
    client.delete_experiment(number)
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    with records.reopened_run("key", family="gan", name="dcgan") as recording:
        recording.score({"fid": 2.0, "judge": "lenet5"})
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LINGER_SECONDS", 600)
    at_work = threading.Thread(target=sender.main, daemon=True)
    at_work.start()
    deadline = time.monotonic() + 30
    while not all(entry.failure() for entry in entries(outbox_folder())):
        assert time.monotonic() < deadline, "what waits behind it has no reason"
        time.sleep(0.05)

    command = f"mlflow experiments restore --experiment-id {number}"
    done = CliRunner().invoke(cli.main, ["runs", "sync"])
    assert done.exit_code == 1
    assert f"(the experiment ganscribe/gan was deleted in MLflow: `{command}`" in done.output
    done = CliRunner().invoke(cli.main, ["runs"])
    assert f"1 scored run was deleted in MLflow and can be restored: `{command}`" in done.output
    assert "train and evaluate" not in done.output
    assert f"the experiment ganscribe/gan was deleted in MLflow, and accepts no run -> `{command}`" in (
        CliRunner().invoke(cli.main, ["doctor"]).output
    )

    client.restore_experiment(number)
    done = CliRunner().invoke(cli.main, ["runs", "sync"])
    assert (done.exit_code, done.output) == (0, "2 recordings sent\n")
    assert at_work.is_alive(), "it is the sender at work that sent them"
    assert points("key") == [(0, 0.0)]
    assert "fid" in CliRunner().invoke(cli.main, ["runs"]).output
    monkeypatch.setattr(sender, "LINGER_SECONDS", 0)
    at_work.join(timeout=10)
    assert not at_work.is_alive()


def test_a_sender_ends_though_something_waits_behind_what_was_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights("generator.safetensors", {}, {"noise_dim": 3})
    with records.training_run(run_key="bad", **RUN) as recording:
        recording.log_model("classifier", "generator.safetensors")
    with records.reopened_run("bad", family="gan", name="dcgan") as recording:
        recording.score({"fid": 1.0})
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LINGER_SECONDS", 0.2)
    at_work = threading.Thread(target=sender.main, daemon=True)
    at_work.start()
    at_work.join(timeout=20)
    assert not at_work.is_alive()
    assert len(entries(outbox_folder())) == 2


def test_an_attempt_that_began_before_somebody_asked_to_try_again_says_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    with records.reopened_run("key", family="gan", name="dcgan") as recording:
        recording.score({"fid": 2.0, "judge": "lenet5"})

    def fail_late(transfer: sender.Transfer) -> bool:
        sender.try_again(outbox_folder())
        raise ValueError("an old answer")

    at_work = sender.Sender(outbox_folder())
    with monkeypatch.context() as patch:
        patch.setattr(sender.Transfer, "advance", fail_late)
        assert at_work.look()
    assert [entry.failure() for entry in entries(outbox_folder())] == [None, None]
    assert at_work.look() and entries(outbox_folder()) == []
    assert points("key") == [(0, 0.0)]


def test_a_recording_is_deleted_although_somebody_just_then_asks_to_try_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, remove_folder = new_entry(tmp_path, "mini"), os.rmdir
    entry.events.write_text("{}\n")

    def ask_first(*arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        entry.ask_again()
        remove_folder(*arguments, **options)

    monkeypatch.setattr(os, "rmdir", ask_first)
    entry.remove()
    assert not entry.folder.exists()


def test_the_next_stage_has_the_sender_at_work_try_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = store.open_client()
    number = store.experiment_id(client, "gan")
    client.delete_experiment(number)
    with records.training_run(run_key="key", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    at_work = sender.Sender(outbox_folder())
    at_work.look()
    client.restore_experiment(number)
    at_work.look()
    assert len(entries(outbox_folder())) == 1, "it is not asked again and again"
    monkeypatch.setattr(sender, "TAKEOVER_SECONDS", 0.1)
    with sender._lock(outbox_folder()):
        sender.main()  # the next stage's
    at_work.look()
    assert points("key") == [(0, 0.0)]


def test_a_run_deleted_while_it_is_trained_is_named_with_what_brings_it_back(folder: Path) -> None:
    client, at_work = store.open_client(), sender.Sender(outbox_folder())
    with records.training_run(run_key="key", **RUN) as recording:
        assert at_work.look()
        (run,) = store.find_runs(client, "key")
        client.delete_run(run.info.run_id)
        recording.log(0, {"loss": 0.0})
        assert at_work.look()
    remedy = f"`mlflow runs restore --run-id {run.info.run_id}` brings it back"
    (entry,) = entries(outbox_folder())
    assert remedy in str(entry.failure())
    with pytest.raises(OSError, match=remedy):
        sender.finish()
    client.restore_run(run.info.run_id)
    sender.finish()
    assert points("key") == [(0, 0.0)]


def test_a_sender_ends_where_another_store_takes_the_place_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """doctor advises to replace a damaged store, possibly while a sender is at work."""
    shutil.copyfile("mlflow.db", "fresh.db")
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(sender, "LINGER_SECONDS", 600)
    at_work = threading.Thread(target=sender.main, daemon=True)
    at_work.start()
    with records.training_run(run_key="first", **RUN) as recording:
        recording.log(0, {"loss": 0.0})
    while entries(outbox_folder()):
        assert at_work.is_alive()
        time.sleep(0.01)
    Path("mlflow.db").rename("old.db")
    Path("fresh.db").rename("mlflow.db")
    at_work.join(timeout=20)
    assert not at_work.is_alive()
