"""Checkpoints: whole at every moment, locked, resumable, stopped politely."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import filelock
import pytest
import torch

from ganscribe.execution.checkpoint import Checkpoint, Interrupted, open_checkpoint


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_state_comes_back_and_is_removed_on_success(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"), open_checkpoint("key") as checkpoint:
        assert checkpoint.load() is None
        for step in range(4):
            checkpoint.save({"step": step, "weights": torch.arange(4.0)})
        raise RuntimeError("power cut")
    with open_checkpoint("key") as checkpoint:
        state = checkpoint.load()
        assert state is not None
        assert state["step"] == 3
        assert torch.equal(state["weights"], torch.arange(4.0))
    assert not (tmp_path / ".checkpoints" / "key").exists()


def test_a_card_that_is_full_is_no_fault_of_the_state(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            pytest.raises(torch.OutOfMemoryError, match="out of memory"),
            open_checkpoint("key") as checkpoint,
        ):
            if checkpoint.load() is None:
                checkpoint.save({"step": 1})
                assert checkpoint.load() == {"step": 1}
            raise torch.OutOfMemoryError("out of memory")
    assert (tmp_path / ".checkpoints/key/state.pt").exists()


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_what_is_not_a_number_of_seconds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("GANSCRIBE_CHECKPOINT_SECONDS", text)
    said = f"GANSCRIBE_CHECKPOINT_SECONDS={text} is not a number of seconds: use 0 or more, or unset it"
    with pytest.raises(ValueError, match=said), open_checkpoint("key"):
        pass
    assert not (tmp_path / ".checkpoints").exists()


def test_a_truncated_state_gives_way_to_the_one_before(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 1})
        checkpoint.save({"step": 2})
        raise RuntimeError
    state = tmp_path / ".checkpoints" / "key" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    with open_checkpoint("key") as checkpoint:
        assert checkpoint.load() == {"step": 1}
        checkpoint.save({"step": 3})


def test_a_file_system_without_links_keeps_the_previous_state_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(RuntimeError, match="power cut"), open_checkpoint("key") as checkpoint:
        for step in range(3):
            checkpoint.save({"step": step})
        raise RuntimeError("power cut")
    folder = tmp_path / ".checkpoints" / "key"
    assert [torch.load(folder / name)["step"] for name in ("state.pt", "previous.pt")] == [2, 1]
    assert len(list(folder.iterdir())) == 2


def test_a_save_follows_one_that_was_killed_on_the_way(tmp_path: Path) -> None:
    """The second name of the newest state, which it has before it becomes the previous one, may have stayed."""
    with pytest.raises(RuntimeError), open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 1})
        state = checkpoint.directory / "state.pt"
        (checkpoint.directory / "previous.tmp").hardlink_to(state)
        checkpoint.save({"step": 2})
        raise RuntimeError
    folder = tmp_path / ".checkpoints" / "key"
    assert [torch.load(folder / name)["step"] for name in ("state.pt", "previous.pt")] == [2, 1]
    assert len(list(folder.iterdir())) == 2


def test_a_save_that_fails_twice_leaves_two_states_and_no_third_name(tmp_path: Path) -> None:
    folder = tmp_path / ".checkpoints" / "key"
    for number in range(2):
        with pytest.raises(OSError, match="No space left"), open_checkpoint("key") as checkpoint:
            if number == 0:
                checkpoint.save({"step": 1})
            (folder / f".state.pt.{os.getpid()}.tmp").symlink_to("/dev/full")
            checkpoint.save({"step": 2, "weights": torch.zeros(100_000)})
    assert {path.name for path in folder.iterdir()} == {"state.pt", "previous.pt"}


def test_after_a_save_a_fault_is_not_put_down_to_the_state_that_was_read(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"), open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 1})
        raise RuntimeError("power cut")
    with pytest.raises(RuntimeError, match=r"^a fault$"), open_checkpoint("key") as checkpoint:
        assert checkpoint.load() == {"step": 1}
        checkpoint.save({"step": 2})
        raise RuntimeError("a fault")


def test_two_damaged_states_are_an_error_that_names_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".checkpoints" / "key"
    folder.mkdir(parents=True)
    for name in ("state.pt", "previous.pt"):
        (folder / name).write_bytes(b"rubbish")
    with (
        pytest.raises(ValueError, match=r"delete .*key to start again"),
        open_checkpoint("key") as checkpoint,
    ):
        checkpoint.load()


def test_a_second_trainer_is_refused_and_a_dead_ones_lock_is_free(tmp_path: Path) -> None:
    holder = textwrap.dedent("""
        import sys, time
        from ganscribe.execution.checkpoint import open_checkpoint
        with open_checkpoint("key"):
            print("held", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another process"), open_checkpoint("key"):
        pass
    process.kill()
    process.wait()
    with open_checkpoint("key"):
        pass


def test_another_experiment_waits_for_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = textwrap.dedent("""
        import sys
        from ganscribe.execution.checkpoint import open_checkpoint
        with open_checkpoint("key") as checkpoint:
            checkpoint.save({"step": 1})
            print("held", flush=True)
            sys.stdin.readline()
            print("released", flush=True)
    """)
    environment = {**os.environ, "DVC_ROOT": str(tmp_path)}
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    holder = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=elsewhere,
        env=environment,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    timer = threading.Timer(0.5, lambda: holder.communicate("go on\n"))
    timer.start()
    with open_checkpoint("key") as checkpoint:
        assert checkpoint.load() is None, "the other's training has ended, this one starts afresh"
        checkpoint.save({"step": 2})
    timer.join()
    assert holder.returncode == 0
    assert not (tmp_path / ".checkpoints/key").exists()


def test_a_training_that_begins_as_another_ends_waits_for_it(tmp_path: Path) -> None:
    """The file with the other's folder is written after the lock is taken, and deleted before it is freed."""
    (tmp_path / ".checkpoints").mkdir()
    held = threading.Event()

    def end() -> None:
        with filelock.FileLock(tmp_path / ".checkpoints/key.lock"):
            held.set()
            time.sleep(0.1)

    other = threading.Thread(target=end)
    other.start()
    held.wait()
    with open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 1})
    other.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_then_stops(number: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=number.name), open_checkpoint("key") as checkpoint:
        assert not checkpoint.due()
        os.kill(os.getpid(), number)
        assert checkpoint.due()
        checkpoint.save({"step": 5})
    with open_checkpoint("key") as checkpoint:
        assert checkpoint.load() == {"step": 5}


def test_a_signal_after_the_last_save_stops_the_training_that_follows() -> None:
    """measure_gradients trains a generator, then critics, within the checkpoint of the first."""
    with open_checkpoint("generator"):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"), open_checkpoint("critics") as checkpoint:
            assert checkpoint.due()
            checkpoint.save({"step": 5})


def test_code_in_a_state_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    folder = tmp_path / ".checkpoints" / "key"
    folder.mkdir(parents=True)
    torch.save({"step": Trap()}, folder / "state.pt")
    with pytest.raises(ValueError, match="no checkpoint is readable"), open_checkpoint("key") as checkpoint:
        checkpoint.load()
    assert not (tmp_path / "sprung").exists()


def test_a_state_is_due_so_long_after_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("ganscribe.execution.checkpoint.time.monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path, every_seconds=30)
    due = []
    for second in range(100):
        now = float(second)
        if checkpoint.due():
            checkpoint.save({"step": second})
            due.append(second)
    assert due == [30, 60, 90]
