"""What every stage script shares: its command line and the way it tells a user what is wrong."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click

from ganscribe.checkpoint import Interrupted


def stage(function: Callable[..., None]) -> click.Command:
    """Make `function` a command; a user's mistake ends in one message and exit code 1, never a traceback."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        try:
            function(**arguments)
        except (ValueError, OSError, Interrupted) as error:
            if os.environ.get("GANSCRIBE_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error

    return click.command()(run)
