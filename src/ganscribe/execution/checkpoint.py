"""Resumable training state: atomic, locked, removed on success.

A checkpoint is not a DVC output (DVC would delete it before the stage runs again). It is in `.checkpoints/<key>/` of
the main repository. `key` digests the parameters, code and inputs that the training depends on, so a training with a
changed parameter never resumes from another training's state.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import filelock

from ganscribe.core.files import link_or_copy, load_torch, project_root, save_torch
from ganscribe.execution import unchanged

KEY = "checkpoint_key"  # in a saved state: the training that it belongs to


class Interrupted(Exception):
    """Training was asked to stop (SIGINT, SIGTERM); its state has been saved."""


class Checkpoint:
    """The state of one training: `load` it, `save` it when `due`.

    `state` may hold tensors, numbers, strings and containers of them (it is read with `weights_only`).
    """

    def __init__(self, directory: Path, *, every_seconds: float) -> None:
        self.directory = directory
        self.every_seconds = every_seconds
        self.stop_signal: int | None = None
        self.loaded: Path | None = None  # the file that was read; None after the next save
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the newest state that is not damaged, or None for a fresh start."""
        problems = []
        for name in ("state.pt", "previous.pt"):
            path = self.directory / name
            if not path.exists():
                continue
            if not zipfile.is_zipfile(path):
                problems.append(f"{path}: cut off, or not a checkpoint")
                continue
            try:
                state = dict(load_torch(path))
            except ValueError as error:
                problems.append(str(error))
                continue
            owner = state.pop(KEY, self.directory.name)
            if owner == self.directory.name:
                self.loaded = path
                return state
            problems.append(
                f"{path}: it belongs to another training, {owner}, with other code, parameters or inputs"
            )
        if problems:
            raise ValueError(
                "no checkpoint is readable ("
                + "; ".join(problems)
                + f"): delete {self.directory} to start again"
            )
        return None

    def due(self, *, last: bool = False) -> bool:
        """Return whether the training should save now: enough time has passed, or a signal has asked it to stop.

        `last` says that this is the last step. It changes nothing here, because the result follows at once.
        """
        return self.stop_signal is not None or time.monotonic() - self._saved_at >= self.every_seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` atomically, and keep the previous one. Raises `Interrupted` if a signal has asked to stop."""
        path = self.directory / "state.pt"
        if path.exists():
            # A second name (or a copy), then a rename: state.pt is complete at every moment.
            link = self.directory / "previous.tmp"
            link.unlink(missing_ok=True)
            link_or_copy(path, link)
            link.replace(self.directory / "previous.pt")
            link.unlink(missing_ok=True)  # nothing was renamed if both were names of one file already
        self.loaded = None
        save_torch(path, state | {KEY: self.directory.name})
        self._saved_at = time.monotonic()
        if self.stop_signal is not None:
            raise Interrupted(f"stopped by {signal.Signals(self.stop_signal).name}; the state is saved")

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise ValueError for an error of the block if the training has just gone on from the saved state."""
        try:
            yield
        except (RuntimeError, LookupError, TypeError, AssertionError) as error:
            import torch

            if self.loaded is None or isinstance(error, torch.OutOfMemoryError):
                raise
            raise ValueError(  # such as torch's, for tensors of other shapes, or an optimiser's state from a GPU
                f"the training could not go on from {self.loaded} ({type(error).__name__}: "
                f"{' '.join(str(error).split())}): delete {self.directory} to start again"
            ) from error

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = number


def _acquire(lock: filelock.BaseFileLock, holder: Path, directory: Path) -> None:
    """Take the lock, after a process of another folder if one has it; the file `holder` names its holder's folder."""
    for _ in range(20):
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            return
        with contextlib.suppress(FileNotFoundError):
            if folder := holder.read_text():
                break
        time.sleep(0.05)  # the other process has just begun, or is about to end
    else:
        folder = ""
    if folder in ("", str(Path.cwd())):
        raise ValueError(
            f"another process is training on the checkpoint {directory}: wait for it, or stop it first "
            "(a killed `dvc` leaves its stage running)"
        )
    # Experiments of a queue, each in its own folder, may need the same model: they train one after the other.
    sys.stderr.write(f"the same model is being trained in {folder}: waiting for it to end\n")
    lock.acquire()


def seconds_between_saves() -> float:
    """Return GANSCRIBE_CHECKPOINT_SECONDS, by default 30. Raises ValueError if it is not a number of seconds."""
    text = os.environ.get("GANSCRIBE_CHECKPOINT_SECONDS") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:  # nan too
        raise ValueError(
            f"GANSCRIBE_CHECKPOINT_SECONDS={text} is not a number of seconds: use 0 or more, or unset it"
        )
    return seconds


@contextlib.contextmanager
def open_checkpoint(key: str) -> Iterator[Checkpoint]:
    """Open the checkpoint of the training `key`; it is deleted when the block ends without an error.

    It is locked while it is open, and SIGINT and SIGTERM are held until the next save. If another process trains on
    it, this one waits if that one works in another folder (another experiment). Raises ValueError if it works in this
    folder, or if the training cannot go on from the saved state.
    """
    every_seconds = seconds_between_saves()
    directory = project_root() / ".checkpoints" / key
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory.with_suffix(".lock"))  # flock: freed when its holder dies
    holder = directory.with_suffix(".folder")
    _acquire(lock, holder, directory)
    holder.write_text(str(Path.cwd()))
    directory.mkdir(exist_ok=True)
    checkpoint = Checkpoint(directory, every_seconds=every_seconds)
    handlers = {number: signal.signal(number, checkpoint._stop) for number in (signal.SIGINT, signal.SIGTERM)}
    around = getattr(handlers[signal.SIGTERM], "__self__", None)
    if isinstance(around, Checkpoint):  # its training has ended, but it may have been asked to stop
        checkpoint.stop_signal = around.stop_signal
    try:
        with checkpoint.explaining():
            yield checkpoint
        unchanged.check()  # else DVC refuses what was made: the state is then still of use
        shutil.rmtree(directory)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        holder.unlink(missing_ok=True)
        lock.release()
