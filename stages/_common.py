"""What every stage script shares: its command line and the way it tells a user what is wrong."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

# The package beside this script, not the one that is installed: in `dvc exp run --temp` and in queue runs
# the two differ, and the artifact must come from the code that the experiment names. So stages import this
# module first.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from ganscribe.execution.messages import messages_for_errors
from ganscribe.execution.one_process import only_process


def stage(function: Callable[..., None]) -> click.Command:
    """Make `function` a command; a user's mistake ends in one message and exit code 1, never a traceback."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        with messages_for_errors(), only_process():
            function(**arguments)

    return click.command()(run)
