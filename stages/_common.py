"""What every stage script shares: its command line and the way it tells a user what is wrong."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# The package beside this script, not the one that is installed: in `dvc exp run --temp` and in queue runs
# the two differ, and the artifact must come from the code that the experiment names. So stages import this
# module first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.one_process import only_process

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: a limit on the size of a file


def _full_disk(error: BaseException | None) -> OSError | None:
    """The full disk behind `error`, if there is one: torch hides it behind an error of its own."""
    while error is not None and not (isinstance(error, OSError) and error.errno in FULL):
        error = error.__cause__ or error.__context__
    return error


def stage(function: Callable[..., None]) -> click.Command:
    """Make `function` a command; a user's mistake ends in one message and exit code 1, never a traceback."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        try:
            with only_process():
                function(**arguments)
        except (ValueError, OSError, RuntimeError, Interrupted) as error:
            full = _full_disk(error)
            if os.environ.get("GANSCRIBE_TRACEBACK") or (isinstance(error, RuntimeError) and full is None):
                raise
            message = str(error)
            if full is not None:
                place = full.filename or Path.cwd()
                message = (
                    f"nothing more could be written ({full.strerror}: {place}): free some space, then run "
                    "`dvc repro` again, which goes on from what is whole"
                )
            raise click.ClickException(message) from error

    return click.command()(run)
