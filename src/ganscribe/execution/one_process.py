"""One process per stage: a stage whose `dvc` was killed stops by itself, or when the next one asks it to."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil  # type: ignore[import-untyped]

from ganscribe.execution.position import announced, find_dvc

POLL_SECONDS = 0.5
# Asked for before a stage imports what takes seconds: `dvc` may be killed in the meantime.
_PARENT = os.getppid()


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # perhaps nobody reads it any more
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    _say("the `dvc` that runs this stage was killed: stopping")
    os.kill(os.getpid(), signal.SIGTERM)  # a training saves its state first


def _make_way(notes: Path, stage: str) -> int | None:
    """Ask the process named in `notes` to stop, and return its number, if it is at work on `stage` in this folder."""
    try:
        holder = psutil.Process(int(notes.read_text()))
        called = holder.environ().get("DVC_STAGE", "").rpartition(":")[2]  # from where its `dvc` was started
        if called != stage.rpartition(":")[2] or Path(holder.cwd()) != Path.cwd():
            return None
        holder.terminate()
    except (OSError, ValueError, psutil.Error):  # it is not noted yet, has just ended, or is another user's
        return None
    return holder.pid


def _name_from_top(name: str) -> str:
    """Return the `name` that DVC gave this stage as it is called in the project's top folder.

    DVC names a stage as seen from where it was started: in `zoo/`, `../dvc.yaml:report` is `report` of the top folder,
    and `link_runs` is the zoo's.
    """
    file, _, short = name.rpartition(":")
    try:
        place = os.path.relpath(Path(find_dvc().cwd(), file or "dvc.yaml"))  # a stage works in the top folder
    except psutil.Error:
        return name
    if place.startswith(os.pardir):  # another project's
        return name
    return short if place == "dvc.yaml" else f"{Path(place).as_posix()}:{short}"


@contextlib.contextmanager
def only_process() -> Iterator[None]:
    """Let only one process per stage and folder run the block, if DVC runs the stage.

    DVC itself runs no stage twice at once. So a process that is still at work on the stage has lost its `dvc`. It is
    asked to stop, as it does by itself as soon as it notices, and this process waits for it.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:  # by hand
        yield
        return
    stage = os.environ["DVC_STAGE"] = _name_from_top(stage)
    path = Path(".dvc/tmp/stages", f"{stage.replace('/', '_')}.lock").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, notes, asked = filelock.FileLock(path), path.with_suffix(".pid"), None
    while True:
        try:
            lock.acquire(timeout=POLL_SECONDS)
            break
        except filelock.Timeout:
            if asked is None and (asked := _make_way(notes, stage)):
                _say(f"process {asked}, left by a killed `dvc`, is still at work on {stage}: stopping it")
    try:
        notes.write_text(str(os.getpid()))
        threading.Thread(target=_watch, args=(_PARENT,), daemon=True).start()
        with announced(stage):
            yield
    finally:
        lock.release()
