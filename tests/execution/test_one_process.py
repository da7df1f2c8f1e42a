"""What a killed `dvc` leaves running stops, and the next process of its stage waits for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil
import pytest

# Trains until it is told to stop, as a stage does: a checkpoint takes SIGTERM, saves and raises Interrupted.
STAGE = textwrap.dedent("""
    import sys, time
    from ganscribe.execution.checkpoint import open_checkpoint
    from ganscribe.execution.one_process import only_process
    with only_process(), open_checkpoint("key") as checkpoint:
        step = (checkpoint.load() or {"step": 0})["step"]
        print("from", step, flush=True)
        while len(sys.argv) < 2:
            time.sleep(0.01)
            step += 1
            if checkpoint.due():
                checkpoint.save({"step": step})
""")
# Its imports take so long that `dvc` is killed before they end.
SLOW_STAGE = STAGE.replace(
    "with only_process",
    "print(os.getpid(), flush=True)\nwhile os.getppid() == first:\n    time.sleep(0.01)\nwith only_process",
).replace("import sys, time", "import os, sys, time\nfirst = os.getppid()")
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"  # in DVC's place


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "DVC_STAGE": "zoo/dvc.yaml:train@mini", "DVC_ROOT": str(tmp_path)}


@pytest.fixture
def parent(tmp_path: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process with a stage at work below it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, sys.executable, "-c", STAGE],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "from 0\n"
    yield process
    process.kill()
    process.communicate(timeout=30)


def run_stage(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STAGE, "to the end"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_stage_whose_dvc_is_killed_saves_and_stops(
    tmp_path: Path, parent: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    (stage,) = psutil.Process(parent.pid).children()
    parent.kill()
    stage.wait(timeout=60)
    assert parent.stderr is not None
    assert "the `dvc` that runs this stage was killed: stopping" in parent.stderr.read()
    done = run_stage(tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 0, "it goes on where the other stopped"
    assert done.stderr == ""


def test_a_stage_whose_dvc_is_killed_during_its_imports_stops(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with (tmp_path / "said.txt").open("w+") as said:
        command = [sys.executable, "-c", PARENT, sys.executable, "-c", SLOW_STAGE]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        stage = psutil.Process(int(process.stdout.readline()))
        process.kill()
        try:
            stage.wait(timeout=60)
        finally:
            if stage.is_running():
                stage.kill()
            process.communicate(timeout=30)
        said.seek(0)
        assert "the `dvc` that runs this stage was killed: stopping" in said.read()


def test_the_next_dvc_stops_what_does_not_notice(
    tmp_path: Path, parent: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    (stage,) = psutil.Process(parent.pid).children()
    done = run_stage(tmp_path, environment)  # the parent lives on: a stage that is not DVC's child
    assert done.returncode == 0, done.stderr
    assert (
        f"process {stage.pid}, left by a killed `dvc`, is still at work on zoo/dvc.yaml:train@mini"
        in done.stderr
    )
    assert int(done.stdout.split()[1]) > 0
    stage.wait(timeout=60)  # it lets go of its place before its interpreter ends


def test_another_folder_and_a_run_by_hand_are_left_alone(
    tmp_path: Path, parent: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    notes = tmp_path / ".dvc/tmp/stages/zoo_dvc.yaml:train@mini.pid"
    (stage,) = psutil.Process(parent.pid).children()
    assert notes.read_text() == str(stage.pid)
    done = run_stage(elsewhere, environment | {"DVC_ROOT": str(elsewhere)})
    assert (done.returncode, done.stderr) == (0, "")
    del environment["DVC_STAGE"]
    done = run_stage(tmp_path, environment)
    assert "another process is training on the checkpoint" in done.stderr, "by hand: refused, as before"
    time.sleep(1)
    assert stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE
    os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "noted", ["another stage of this folder", "this stage in another folder", "nothing yet"]
)
def test_no_other_process_is_stopped(tmp_path: Path, environment: dict[str, str], noted: str) -> None:
    """The system may have given the number of a process that has ended to any other."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    is_elsewhere = noted == "this stage in another folder"
    other = subprocess.Popen(
        ["sleep", "60"],
        cwd=elsewhere if is_elsewhere else tmp_path,
        env=environment if is_elsewhere else environment | {"DVC_STAGE": "another"},
    )
    notes = tmp_path / ".dvc/tmp/stages/zoo_dvc.yaml:train@mini.pid"
    notes.parent.mkdir(parents=True)
    notes.write_text("" if noted == "nothing yet" else str(other.pid))
    lock = filelock.FileLock(notes.with_suffix(".lock"), thread_local=False)
    lock.acquire()
    threading.Timer(1.5, lock.release).start()
    try:
        done = run_stage(tmp_path, environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("started", "called", "name"),
    [
        (".", "train_gan@dcgan", "train_gan@dcgan"),
        (".", "zoo/dvc.yaml:link_runs", "zoo/dvc.yaml:link_runs"),
        ("zoo", "link_runs", "zoo/dvc.yaml:link_runs"),
        ("zoo", "../dvc.yaml:train_gan@dcgan", "train_gan@dcgan"),
        ("curves/gan", "../../dvc.yaml:train_gan@dcgan", "train_gan@dcgan"),
    ],
)
def test_a_stage_has_the_same_name_wherever_dvc_was_started(
    tmp_path: Path, environment: dict[str, str], started: str, called: str, name: str
) -> None:
    folder = tmp_path / started
    folder.mkdir(parents=True, exist_ok=True)
    parent = f"import subprocess, sys; subprocess.run(sys.argv[1:], cwd={str(tmp_path)!r})"
    stage = (
        "import os\nfrom ganscribe.execution.one_process import only_process\n"
        "with only_process():\n    print(os.environ['DVC_STAGE'])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", parent, sys.executable, "-c", stage],
        cwd=folder,
        env=environment | {"DVC_STAGE": called},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (printed.stdout, printed.stderr) == (f"{name}\n", "")
