"""Recordings on their way to MLflow: they stay on disk until they arrive, whatever happens to stage or server.

Each store (an address that MLflow accepts) has a folder in `<main repository>/.outbox/`, with one folder per recording:

| file | what it is |
|---|---|
| `events.jsonl` | what happened, in this order, as one line of JSON per event |
| `files/N/` | copies of the files that an event names |
| `lock` | held as long as the stage lives, because it may still write |
| `sent.json` | how much of `events.jsonl` has arrived, and in which MLflow run |
| `asked.txt` | when somebody last asked to try again |
| `failed.txt` | what `asked.txt` held when the last attempt to send it began, and why that attempt failed |
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from ganscribe.core.files import atomic_write, project_root
from ganscribe.execution.messages import hide_secrets

FORMAT = 1  # of the events; a sender leaves other formats alone
PROBE_SECONDS = 0.05  # other processes that only ask whether a stage is at work hold its lock for much less


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI` if it is set, else the address of the main repository's sqlite file."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(project_root() / "mlflow.db")


def sqlite_uri(path: Path) -> str:
    """Return the address of a sqlite file, quoted only if `%` or `?` in its path would have a meaning."""
    if "?" not in str(path) and urllib.parse.unquote(str(path)) == str(path):
        return f"sqlite:///{path}"
    # It has the driver's name, because MLflow makes the folder of a plain address without unquoting it.
    return f"sqlite+pysqlite:///{urllib.parse.quote(str(path))}"


def outbox_folder() -> Path:
    """Return the folder of what is on its way to the store in use."""
    return outbox_of(tracking_uri())


def outbox_of(uri: str) -> Path:
    """Return the folder of what is on its way to the store at `uri`."""
    return project_root() / ".outbox" / hashlib.sha256(uri.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Entry:
    """One recording's folder, as stages and senders use it."""

    folder: Path

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    def lock(self) -> filelock.BaseFileLock:
        """Return the stage's own lock (flock), which is freed when its holder dies."""
        return filelock.FileLock(self.folder / "lock")

    def is_live(self) -> bool:
        """Return whether the stage that writes it is still at work."""
        if not self.events.exists():  # another sender has just finished with it
            return False
        lock = self.lock()
        try:
            lock.acquire(timeout=PROBE_SECONDS, poll_interval=PROBE_SECONDS / 10)
        except filelock.Timeout:
            return True
        lock.release()
        return False

    def read(self, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the complete events from byte `offset` on, each with the offset at its end."""
        with self.events.open("rb") as handle:
            handle.seek(offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    return  # it is being written, or was cut off when its process died
                offset += len(line)
                yield json.loads(line), offset

    def header(self) -> dict[str, Any]:
        """Return the first event, which says whose recording this is; empty as long as it is not written."""
        if not self.events.exists():
            return {}
        return next((event for event, _ in self.read(0)), {})

    def sent(self) -> dict[str, Any]:
        """Return what has arrived (`offset` in bytes), and in which run (`run_id`)."""
        path = self.folder / "sent.json"
        return dict(json.loads(path.read_text())) if path.exists() else {"offset": 0, "run_id": None}

    def mark_sent(self, offset: int, run_id: str) -> None:
        """Note that everything before `offset` has arrived in the run `run_id`."""
        with atomic_write(self.folder / "sent.json") as handle:
            handle.write(json.dumps({"offset": offset, "run_id": run_id}).encode())

    def asked(self) -> str:
        """Return when somebody last asked to try it again; empty if nobody has."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "asked.txt").read_text()
        return ""

    def ask_again(self) -> None:
        """Make senders try it again, even one that is already at work."""
        with contextlib.suppress(FileNotFoundError):  # all of it has just arrived
            (self.folder / "asked.txt").write_text(str(time.time_ns()))

    def mark_failed(self, reason: str, asked: str) -> None:
        """Note why it could not be sent by an attempt before which `asked()` was `asked`."""
        with atomic_write(self.folder / "failed.txt") as handle:
            handle.write(f"{asked}\n{hide_secrets(reason)}".encode())

    def failure(self) -> str | None:
        """Return why it could not be sent the last time; None if nothing failed, or if it has to be tried again.

        An attempt that began before somebody asked to try again says nothing.
        """
        with contextlib.suppress(FileNotFoundError):
            asked, _, reason = (self.folder / "failed.txt").read_text().partition("\n")
            return hide_secrets(reason) if asked == self.asked() else None
        return None

    def forget_failure(self) -> None:
        """Delete the note of an earlier attempt."""
        (self.folder / "failed.txt").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete it, because everything has arrived."""
        for more in reversed(range(10)):
            try:
                shutil.rmtree(self.folder)
                return
            except OSError as error:  # not empty: another process has just asked to try it again
                if error.errno != errno.ENOTEMPTY or not more:
                    raise


def new_entry(outbox: Path, name: str) -> Entry:
    """Make a folder for a recording that begins now."""
    folder = outbox / f"{time.time_ns()}-{os.getpid()}-{name}"
    folder.mkdir(parents=True)
    return Entry(folder)


def entries(outbox: Path) -> list[Entry]:
    """Return the recordings in `outbox` that have begun, oldest first."""
    found = [Entry(path.parent) for path in outbox.glob("*/events.jsonl")]
    return sorted(found, key=lambda entry: entry.folder.name)
