"""What every stage script shares: its command line and the way it tells a user what is wrong."""

from __future__ import annotations

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

from ganscribe.checkpoint import Interrupted
from ganscribe.orphans import only_process


def stage(function: Callable[..., None]) -> click.Command:
    """Make `function` a command; a user's mistake ends in one message and exit code 1, never a traceback."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        try:
            with only_process():
                function(**arguments)
        except (ValueError, OSError, Interrupted) as error:
            if os.environ.get("GANSCRIBE_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error

    return click.command()(run)
