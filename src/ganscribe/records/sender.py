"""Passes the outbox on to MLflow: `python -m ganscribe.records.sender`, which each recording starts.

One sender at a time works on an outbox. It follows the recordings of stages that are at work, waits a little for the
next stage, and ends. What MLflow does not accept stays in the outbox.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import filelock

from ganscribe.execution.messages import hide_secrets, one_line
from ganscribe.records.outbox import FORMAT, Entry, entries, outbox_folder
from ganscribe.records.place import correct_addresses, store_file
from ganscribe.records.runs import MAX_BATCH, TrackedRun, reopen_run, resume_run, start_run, system_metrics
from ganscribe.records.store import active_run, open_client

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

POLL_SECONDS = 0.5
LINGER_SECONDS = 20.0  # so that the next stage needs no new sender, which takes seconds to start
TAKEOVER_SECONDS = 5.0
RETRY_SECONDS = 30.0  # as long as a stage is at work and the store does not answer


class Transfer:
    """One recording on its way to one MLflow run."""

    def __init__(self, client: MlflowClient, entry: Entry) -> None:
        self.client = client
        self.entry = entry
        self.header = entry.header()
        sent = entry.sent()
        self.offset: int = sent["offset"]
        self._pending = 0
        self._open = contextlib.ExitStack()  # the system metrics
        self.run: TrackedRun | None = None
        if sent["run_id"]:
            names = {key: self.header[key] for key in ("family", "name")}
            self.run = resume_run(client, sent["run_id"], **names)

    def advance(self) -> bool:
        """Send what is new. If the recording has ended and everything is sent, delete it and return True."""
        is_live = self.entry.is_live()  # asked first: what is written afterwards is seen the next time
        event: dict[str, Any] = {}
        for event, offset in self.entry.read(self.offset):
            run = self._play(event, is_live)
            self._pending += 1
            if event["event"] != "log" or self._pending >= MAX_BATCH:
                self._note(run, offset)
            self.offset = offset
        if self.run is not None and self._pending:
            self._note(self.run, self.offset)
        if is_live:
            return False
        if self.run is not None and self.header["kind"] == "training" and event.get("event") != "close":
            self.pause()
            if self.client.get_run(self.run.run_id).info.status == "RUNNING":
                self.run.end("KILLED", event.get("time"))  # by a signal that left no time to say so
        self.entry.remove()
        return True

    def pause(self) -> None:
        """Stop recording system metrics."""
        self._open.close()

    def _note(self, run: TrackedRun, offset: int) -> None:
        run.flush()
        self.entry.mark_sent(offset, run.run_id)
        self._pending = 0

    def _begin(self, event: dict[str, Any], is_live: bool) -> TrackedRun:
        names = {key: event[key] for key in ("family", "name", "run_key", "tags")}
        if event["kind"] == "reopened":
            return reopen_run(self.client, **names)
        recording = self.entry.folder.name
        run = start_run(self.client, **names, recording=recording, timestamp=event["time"])
        facts = {key: event[key] for key in ("tags", "params", "inputs", "changes")}
        run.describe(**facts)
        if is_live:
            self._open.enter_context(system_metrics(run.run_id, run.is_reopened))
        return run

    def _play(self, event: dict[str, Any], is_live: bool) -> TrackedRun:
        if event["event"] == "open":
            self.run = self._begin(event, is_live)
        run, folder = self.run, self.entry.folder
        if run is None:
            raise ValueError(f"{self.entry.events} does not begin with an `open` event")
        match event["event"]:
            case "log":
                run.log(event["step"], event["metrics"], timestamp=event["time"])
            case "score":
                pipeline = self.header["tags"]["pipeline"]
                further = event.get("is_further", False)
                run.score(event["scores"], pipeline=pipeline, timestamp=event["time"], is_further=further)
            case "files":
                run.log_files(folder / event["path"], event["folder"])
            case "model":
                inception = folder / event["inception"] if "inception" in event else None
                code = folder / event["code"]
                run.log_model(event["kind"], folder / event["path"], inception=inception, code=code)
            case "close" if self.header["kind"] == "training":
                self.pause()
                run.end(event["status"], event["time"])
        return run


class Sender:
    """What sends the recordings of one outbox."""

    def __init__(self, outbox: Path, *, is_verbose: bool = False) -> None:
        self.outbox = outbox
        self.is_verbose = is_verbose
        self.transfers: dict[Path, Transfer] = {}
        self.refused: set[Path] = set()

    def _refusal(self, entry: Entry) -> str | None:
        """Return why the store refused it, unless somebody has since asked to try it again."""
        return entry.failure() if entry.folder in self.refused else None

    def look(self, *, live: bool = True) -> bool:
        """Send what is new in every recording (without `live`: only in those that have ended), oldest first.

        A recording that fails, and later ones of the same model, are left alone until `try_again`. Returns False if the
        store itself does not answer; nothing more is then tried.
        """
        blocked: dict[str, Entry] = {}  # by the model, the recording that has failed
        for entry in entries(self.outbox):
            is_live, header, asked = entry.is_live(), entry.header(), entry.asked()
            if is_live and (not live or not header):
                continue
            key = header.get("run_key") or entry.folder.name
            if self._refusal(entry):
                blocked[key] = entry
            elif not header:
                entry.remove()  # its process died before the first line was whole
            elif header.get("format") != FORMAT:
                self._refuse(
                    entry,
                    "it was recorded by another version of ganscribe, and only that version can send it",
                    asked,
                )
            elif key in blocked:
                if reason := blocked[key].failure():  # else the earlier one comes first, at the next look
                    self._refuse(entry, reason, asked)
            else:
                try:
                    self._advance(entry)
                except Exception as error:  # noqa: BLE001 (whatever it is, the recording is kept, and the next one tried)
                    if self.is_verbose:
                        traceback.print_exc()
                    entry.mark_failed(one_line(error), asked)
                    transfer = self._drop(entry)
                    if not answers():
                        return False
                    blocked[key] = entry
                    self._refuse(entry, one_line(_cause(transfer, error)), asked)
        return True

    def _advance(self, entry: Entry) -> None:
        if entry.folder not in self.transfers:
            self.transfers[entry.folder] = Transfer(open_client(), entry)
        entry.forget_failure()
        if self.transfers[entry.folder].advance():
            del self.transfers[entry.folder]

    def _refuse(self, entry: Entry, reason: str, asked: str) -> None:
        entry.mark_failed(reason, asked)
        self.refused.add(entry.folder)

    def _drop(self, entry: Entry) -> Transfer | None:
        transfer = self.transfers.pop(entry.folder, None)
        if transfer is not None:
            try:
                transfer.pause()
            except Exception:  # noqa: BLE001 (this was the last sample, for a store that has just failed)
                if self.is_verbose:
                    traceback.print_exc()
        return transfer

    def follow(self) -> None:
        """Send until no stage is at work, nothing is left to send, and no new stage has begun for a while.

        Also ends if another file takes the place of the store's, because MLflow would go on using the old one.
        """
        idle_since, known = time.monotonic(), _store_inode()
        while time.monotonic() - idle_since < LINGER_SECONDS and Path(__file__).exists():
            if known not in (None, _store_inode()):
                return
            is_up = self.look()
            known = known or _store_inode()  # the first look makes a store where there is none
            waiting = [entry for entry in entries(self.outbox) if not self._refusal(entry)]
            if not is_up and not any(entry.is_live() for entry in waiting):
                return  # the next stage's sender will try again
            if waiting:
                idle_since = time.monotonic()
            time.sleep(POLL_SECONDS)
            tried = time.monotonic()
            while not is_up and any(entry.failure() for entry in waiting):  # until somebody asks to try again
                if time.monotonic() - tried > RETRY_SECONDS:
                    break
                time.sleep(POLL_SECONDS)


def _store_inode() -> int | None:
    path = store_file()
    return path.stat().st_ino if path is not None and path.exists() else None


def _cause(transfer: Transfer | None, error: Exception) -> Exception:
    """Return the error that says that the run was deleted, which has a remedy, or else `error` itself."""
    if transfer is not None and transfer.run is not None:
        try:
            active_run(transfer.client, transfer.run.run_id)
        except ValueError as deleted:
            return deleted
        except Exception:  # noqa: BLE001 (the first error says enough)
            return error
    return error


def answers() -> bool:
    """Return whether the store can be opened."""
    try:
        open_client()
    except OSError:
        return False
    return True


def try_again(outbox: Path) -> None:
    """Make the sender at work, or the next one, try everything again that was refused."""
    for entry in entries(outbox):
        entry.ask_again()


def _lock(outbox: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(outbox / "sender.lock")


def finish() -> int:
    """Send all recordings of stages that have ended, and return how many there were.

    Waits if another sender is at work. Raises OSError for recordings that MLflow still does not accept.
    """
    correct_addresses()  # this also moves what was recorded before the folder was moved into this outbox
    outbox, count, lock = outbox_folder(), 0, _lock(outbox_folder())
    try_again(outbox)
    while ended := [entry for entry in entries(outbox) if not entry.is_live()]:
        count = max(count, len(ended))
        with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=POLL_SECONDS):
            Sender(outbox).look(live=False)
        reasons = [reason for entry in ended if (reason := entry.failure())]
        if reasons:
            raise OSError(
                f"MLflow did not accept {len(reasons)} recordings ({reasons[0]}). They are kept in {outbox}:"
                " fix the cause, then run `ganscribe runs sync`, or `dvc repro` again"
            )
    return count


def main() -> None:
    """Follow the outbox, unless another sender does."""
    outbox = outbox_folder()
    correct_addresses()
    try:
        with _lock(outbox).acquire(timeout=TAKEOVER_SECONDS):
            Sender(outbox, is_verbose=True).follow()
    except filelock.Timeout:
        try_again(outbox)  # the other sender sends this recording too


class _Discreet(io.TextIOBase):
    """A stream that hides passwords, also those in MLflow's own messages and in tracebacks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(hide_secrets(text))

    def flush(self) -> None:
        self._stream.flush()


if __name__ == "__main__":
    sys.stdout = sys.stderr = _Discreet(sys.stderr)  # sender.log
    if hasattr(os, "nice"):  # not on Windows
        os.nice(5)
    main()
