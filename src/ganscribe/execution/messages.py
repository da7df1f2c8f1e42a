"""What a person reads when something goes wrong."""

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

# The part of an address before its host, and the values of its query: they may be a password, a token, a signature.
# A password may contain `/`, `?` and `@`, as SQLAlchemy and requests read an address.
_ACCESS = re.compile(r"(?<=://)([^\s/:@]*:\S*|[^\s/?#@]*)@")
_QUERY = re.compile(r"([?&][\w.-]+=)[^\s&'\")]+")


def hide_secrets(text: str) -> str:
    """Return `text` without the users, passwords and values of queries in its addresses."""
    return _QUERY.sub(r"\1***", _ACCESS.sub("***@", text))


def one_line(error: BaseException) -> str:
    """Return what `error` says in one line of at most 300 characters, without secrets."""
    return " ".join(hide_secrets(str(error)).split())[:300] or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error`, its cause, the cause of that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def messages_for_errors() -> Iterator[None]:
    """End the program with one message and exit code 1 if the block raises an error that its user can put right.

    A RuntimeError is a fault of the program and keeps its traceback, unless a full disk is its cause. With
    GANSCRIBE_TRACEBACK every error keeps it. Neither a message nor a traceback shows a password.
    """
    try:
        yield
    except BrokenPipeError:  # `| head`: click ends quietly
        raise
    except Exception as error:
        causes = list(_chain(error))  # torch raises its own error for a full disk
        full = next((each for each in causes if isinstance(each, OSError) and each.errno in FULL), None)
        is_fault = not isinstance(error, ValueError | OSError | Interrupted | RuntimeError)
        is_fault |= isinstance(error, RuntimeError) and full is None
        message = f"Error: {error}\n"
        if os.environ.get("GANSCRIBE_TRACEBACK") or is_fault:
            # An error with `show` is click's own, about what the user has just typed.
            if hasattr(error, "show") or all(hide_secrets(str(each)) == str(each) for each in causes):
                raise
            message = traceback.format_exc()
        elif full is not None:
            place = full.filename2 or full.filename or Path.cwd()  # of a copy, the second is the target
            message = (
                f"Error: nothing more could be written ({full.strerror}: {place}): free "
                "some space and run it again; `dvc repro` continues from the complete files\n"
            )
        sys.stderr.write(hide_secrets(message))
        raise SystemExit(1) from error
