"""What a person reads where something goes wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ganscribe.execution.checkpoint import Interrupted

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: a limit on the size of a file


def _full_disk(error: BaseException | None) -> OSError | None:
    """Return the full disk behind `error`, if there is one: torch hides it behind an error of its own."""
    while error is not None and not (isinstance(error, OSError) and error.errno in FULL):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def messages_for_errors() -> Iterator[None]:
    """End the program with one message and exit code 1 where the block raises what its user can put right.

    A RuntimeError is a fault of the program and keeps its traceback, unless a full disk is behind it. With
    GANSCRIBE_TRACEBACK every error does.
    """
    try:
        yield
    except BrokenPipeError:  # `| head`: click ends quietly
        raise
    except (ValueError, OSError, RuntimeError, Interrupted) as error:
        full = _full_disk(error)
        if os.environ.get("GANSCRIBE_TRACEBACK") or (isinstance(error, RuntimeError) and full is None):
            raise
        message = str(error)
        if full is not None:
            message = (
                f"nothing more could be written ({full.strerror}: {full.filename or Path.cwd()}): free some "
                "space and run it again; `dvc repro` goes on from what is whole"
            )
        sys.stderr.write(f"Error: {message}\n")
        raise SystemExit(1) from error
