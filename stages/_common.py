"""What every stage script shares: its command line and the way it tells a user what is wrong."""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# The package beside this script, not the one that is installed: in `dvc exp run --temp` and in queue runs
# the two differ, and the artifact must come from the code that the experiment names. So stages import this
# module first (pyproject.toml has ruff see to it).
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from ganscribe.execution import unchanged
from ganscribe.execution.messages import messages_for_errors
from ganscribe.execution.one_process import only_process
from ganscribe.execution.position import note_scale

unchanged.note()
note_scale()

# What is imported lives to the end. Searching it for garbage during the imports and at the exit takes a third of the
# time of a short stage.
gc.disable()  # until `stage`, which follows the imports


def _leave() -> None:
    """End the process after a success as Python does, but without taking apart what was imported.

    With torch, that saves more than half a second. If a thread is still at work, return: Python then waits for it.
    """
    main = threading.main_thread()
    if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
        return
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def stage(function: Callable[..., None]) -> click.Command:
    """Make `function` a command; a user's mistake ends in one message and exit code 1, never a traceback."""
    is_own_process = function.__module__ == "__main__"  # not that of tests, which goes on
    if is_own_process:
        gc.freeze()
    gc.enable()

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        with messages_for_errors(), only_process():
            function(**arguments)
            unchanged.check()
        if is_own_process:
            _leave()

    return click.command()(run)
