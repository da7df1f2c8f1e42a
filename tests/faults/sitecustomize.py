"""On PYTHONPATH of a stage under test: note every saved step, and die by SIGKILL after a given save.

KILL_AFTER="train_gan.py:3" kills that script right after its third save; SAVES names the file of notes. A
save is a checkpoint's, or, for the feature extraction, a shard's.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from ganscribe.core import files
from ganscribe.execution.checkpoint import Checkpoint

_whole_save = Checkpoint.save
_whole_write = files.atomic_write
_count = 0


def _note(step):  # type: ignore[no-untyped-def]
    global _count
    _count += 1
    script = Path(sys.argv[0]).name
    with open(os.environ["SAVES"], "a") as notes:  # noqa: PTH123
        notes.write(f"{script} {os.getpid()} {step} {os.environ.get('DVC_STAGE')}\n")
    if os.environ.get("KILL_AFTER") == f"{script}:{_count}":
        os.kill(os.getpid(), signal.SIGKILL)


def _save(self, state):  # type: ignore[no-untyped-def]
    _whole_save(self, state)
    _note(state["step"] if "step" in state else len(state["rows"]))


@contextlib.contextmanager
def _write(path):  # type: ignore[no-untyped-def]
    with _whole_write(path) as handle:
        yield handle
    if Path(path).name.startswith("shard-"):
        _note(int(Path(path).stem.split("-")[1]))


Checkpoint.save = _save  # type: ignore[method-assign]
files.atomic_write = _write
