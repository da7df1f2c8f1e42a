"""What a person reads where something goes wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from ganscribe.execution.checkpoint import Interrupted

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # EFBIG: a limit on the size of a file

# What stands before the host of an address, and the values of its query: a password, a token, a signature.
# A password may hold `/`, `?` and `@`, as SQLAlchemy and requests read an address.
_ACCESS = re.compile(r"(?<=://)([^\s/:@]*:\S*|[^\s/?#@]*)@")
_QUERY = re.compile(r"([?&][\w.-]+=)[^\s&'\")]+")


def hide_secrets(text: str) -> str:
    """Return `text` without what its addresses tell of users, passwords and the values of queries."""
    return _QUERY.sub(r"\1***", _ACCESS.sub("***@", text))


def one_line(error: BaseException) -> str:
    """What `error` says, at most 300 characters in one line, without secrets."""
    return " ".join(hide_secrets(str(error)).split())[:300] or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what is behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def messages_for_errors() -> Iterator[None]:
    """End the program with one message and exit code 1 where the block raises what its user can put right.

    A RuntimeError is a fault of the program and keeps its traceback, unless a full disk is behind it. With
    GANSCRIBE_TRACEBACK every error does. Neither tells a password.
    """
    try:
        yield
    except BrokenPipeError:  # `| head`: click ends quietly
        raise
    except Exception as error:
        causes = list(_chain(error))  # torch hides a full disk behind an error of its own
        full = next((each for each in causes if isinstance(each, OSError) and each.errno in FULL), None)
        is_fault = not isinstance(error, ValueError | OSError | Interrupted | RuntimeError)
        is_fault |= isinstance(error, RuntimeError) and full is None
        message = f"Error: {error}\n"
        if os.environ.get("GANSCRIBE_TRACEBACK") or is_fault:
            # What has a `show` is click's own, of what the user has just typed.
            if hasattr(error, "show") or all(hide_secrets(str(each)) == str(each) for each in causes):
                raise
            message = traceback.format_exc()
        elif full is not None:
            message = (
                f"Error: nothing more could be written ({full.strerror}: {full.filename or Path.cwd()}): free "
                "some space and run it again; `dvc repro` goes on from what is whole\n"
            )
        sys.stderr.write(hide_secrets(message))
        raise SystemExit(1) from error
