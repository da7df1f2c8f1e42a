"""What a user can put right ends in one message; what is the program's own fault keeps its traceback."""

from __future__ import annotations

import errno

import pytest

from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.messages import messages_for_errors


@pytest.mark.parametrize("error", [ValueError("so"), FileNotFoundError("so"), Interrupted("so")])
def test_a_users_mistake_is_one_message(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, messages_for_errors():
        raise error
    assert ended.value.code == 1
    assert capsys.readouterr().err == "Error: so\n"


@pytest.mark.parametrize("error", [RuntimeError("so"), KeyError("so"), BrokenPipeError("so")])
def test_other_errors_go_on(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), messages_for_errors():
        raise error
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_named_whatever_hides_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), messages_for_errors():
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "model.pt")
        except OSError as error:
            raise RuntimeError("enforce fail at inline_container.cc") from error
    message = capsys.readouterr().err
    assert message.startswith(
        "Error: nothing more could be written (No space left on device: model.pt): free"
    )
    assert message.count("\n") == 1


def test_the_traceback_is_kept_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSCRIBE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="so"), messages_for_errors():
        raise ValueError("so")
