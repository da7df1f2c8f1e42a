"""The stage's side of tracking: a stage writes what happens to the outbox, and does nothing else.

Nothing here imports MLflow, talks to a server or waits for one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganscribe.core.files import project_root
from ganscribe.execution.checkpoint import Interrupted
from ganscribe.records.lineage import origin
from ganscribe.records.outbox import FORMAT, Entry, entries, new_entry, outbox_folder

PACKAGE = Path(__file__).parents[1]


class Recording:
    """What one stage records, in the order in which it happens."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._num_files = 0
        self._end = 0  # of the last whole line, in bytes

    def write(self, event: str, **content: Any) -> None:
        """Add one event, which survives the death of this process."""
        whole = {"event": event, "time": int(time.time() * 1000), **content}
        line = f"{json.dumps(whole, default=str)}\n".encode()
        with self._entry.events.open("ab") as handle:
            handle.truncate(self._end)  # a full disk may have cut off the line before
            handle.write(line)
        self._end += len(line)

    def _keep(self, path: Path) -> str:
        if not path.exists():
            raise FileNotFoundError(f"{path} cannot be recorded: there is no such file or folder")
        kept = Path("files", str(self._num_files), path.name)
        self._num_files += 1
        target = self._entry.folder / kept
        target.parent.mkdir(parents=True)
        if path.is_file():
            shutil.copyfile(path, target)
            return kept.as_posix()
        target.mkdir()
        # Not by copytree: if the disk is full, that goes on, and ends with a list of all that it could not copy.
        for file in path.rglob("*"):
            name = file.relative_to(path)
            if file.is_file() and "__pycache__" not in name.parts:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / name)
        return kept.as_posix()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Add one row of metrics at `step`."""
        self.write("log", step=step, metrics={key: float(value) for key, value in metrics.items()})

    def score(self, scores: dict[str, Any], *, is_further: bool = False) -> None:
        """Add results without a step: numbers (also in nested dicts) as metrics, anything else as tags.

        `is_further`: they are scores by another judge, which have a separate table in `ganscribe runs` and do not
        replace the run's metrics.
        """
        self.write("score", scores=scores, is_further=is_further)

    def log_files(self, path: str | Path, folder: str | None = None) -> None:
        """Add a file, or a folder's content, to the run's artifacts under `folder`."""
        self.write("files", path=self._keep(Path(path)), folder=folder)

    def log_model(self, kind: str, path: str | Path, *, inception: str | Path | None = None) -> None:
        """Add and register a servable model (`kind`: generator, classifier, captioner) as `candidate`.

        A captioner needs the `inception` network that made its features. The package's code goes with the model.
        """
        parts = {"path": path} | ({"inception": inception} if inception else {})
        kept = {key: self._keep(Path(part)) for key, part in parts.items()}
        self.write("model", kind=kind, code=self._keep(PACKAGE), **kept)


def start_sender() -> None:
    """Start a separate process that passes the outbox on to MLflow, and ends by itself."""
    outbox = outbox_folder()
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "DVC_ROOT": str(project_root())}
    with (outbox / "sender.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "ganscribe.records.sender"],
            cwd=project_root(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a signal to the stage, or the end of its terminal, must not end it
        )


def _complain(outbox: Path) -> None:
    """Say which recordings could not be sent."""
    reasons = [reason for entry in entries(outbox) if (reason := entry.failure())]
    if reasons:
        sys.stderr.write(
            f"{len(reasons)} recordings have not reached MLflow ({reasons[-1]}). They are kept in {outbox}:"
            " the next stage tries again, and so does `ganscribe runs sync`\n"
        )


@contextlib.contextmanager
def _recording(
    kind: str, *, family: str, name: str, run_key: str | None, **content: Any
) -> Iterator[Recording]:
    outbox = outbox_folder()
    outbox.mkdir(parents=True, exist_ok=True)
    entry = new_entry(outbox, name)
    with entry.lock():
        recording = Recording(entry)
        header = {"format": FORMAT, "kind": kind, "family": family, "name": name, "run_key": run_key}
        recording.write("open", **header, tags=origin.tags(name), **content)
        start_sender()
        status = "FAILED"
        try:
            yield recording
            status = "FINISHED"
        except (Interrupted, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            recording.write("close", status=status)
    _complain(outbox)


def training_run(
    *, family: str, name: str, run_key: str | None, params: dict[str, Any], inputs: list[str]
) -> contextlib.AbstractContextManager[Recording]:
    """Record the run of one training, with system metrics; an unfinished run of the same `run_key` is continued.

    `inputs` are paths relative to the working folder. `Interrupted` ends the run as KILLED, and so does the death of
    the process.
    """
    facts = {"inputs": origin.input_hashes(inputs), "changes": origin.git_changes(), "params": params}
    return _recording("training", family=family, name=name, run_key=run_key, **facts)


def stage_run(
    name: str, *, params: dict[str, Any], inputs: list[str], run_key: str | None = None
) -> contextlib.AbstractContextManager[Recording]:
    """Record a separate run for a stage that trains nothing."""
    return training_run(family="pipeline", name=name, run_key=run_key, params=params, inputs=inputs)


def reopened_run(run_key: str, *, family: str, name: str) -> contextlib.AbstractContextManager[Recording]:
    """Add scores to the training's run; if the store has none, to a new one without curves, tagged `restored`."""
    return _recording("reopened", family=family, name=name, run_key=run_key)
