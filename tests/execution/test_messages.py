"""What a user can put right ends in one message; what is the program's own fault keeps its traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ganscribe import cli
from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.messages import hide_secrets, messages_for_errors, one_line


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("name", ["model.safetensors", None])
def test_a_full_disk_is_named_whatever_hides_it(
    number: int, name: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_told in (True, False):
        with pytest.raises(SystemExit), messages_for_errors():
            try:
                raise OSError(number, os.strerror(number), name)
            except OSError as error:
                if is_told:
                    raise RuntimeError("enforce fail at inline_container.cc") from error
                raise RuntimeError("enforce fail at inline_container.cc")  # noqa: B904 (as torch does)
        message = capsys.readouterr().err
        where = name or Path.cwd()
        assert message.startswith(
            f"Error: nothing more could be written ({os.strerror(number)}: {where}): free"
        )
        assert message.count("\n") == 1


def test_of_a_copy_that_fills_the_disk_the_target_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), messages_for_errors():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "models/small.pt", None, "/full/small.pt")
    message = capsys.readouterr().err
    assert message.startswith(
        "Error: nothing more could be written (No space left on device: /full/small.pt): "
    )


def test_the_traceback_is_kept_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSCRIBE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="so"), messages_for_errors():
        raise ValueError("so")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://alice:s3cret@127.0.0.1:5000/api: 401", "http://***@127.0.0.1:5000/api: 401"),
        (
            "postgresql+psycopg://u:s3/c@r?et@db.example.org/runs",
            "postgresql+psycopg://***@db.example.org/runs",
        ),
        (
            "https://s3cret@mirror.example.org/x.gz, then http://b/c",
            "https://***@mirror.example.org/x.gz, then http://b/c",
        ),
        (
            "url: /x?X-Amz-Signature=s3cret&token=s3cret (Caused by",
            "url: /x?X-Amz-Signature=***&token=*** (Caused by",
        ),
        ('"https://minio:s3cret@minio:9000/b?uploads=s3cret"', '"https://***@minio:9000/b?uploads=***"'),
        (
            "sqlite:////srv/runs.db and models:/gan@champion",
            "sqlite:////srv/runs.db and models:/gan@champion",
        ),
        (
            "a@example.org asked whether x=1 & y=2? At http://h:5000",
            "a@example.org asked whether x=1 & y=2? At http://h:5000",
        ),
    ],
)
def test_an_address_tells_no_password(text: str, told: str) -> None:
    assert hide_secrets(text) == told


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
@pytest.mark.parametrize("said", ["http://alice:s3cret@localhost is down", "no more tries"])
def test_neither_an_error_nor_its_cause_tells_a_password(
    error: type[Exception], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, messages_for_errors():
        try:
            raise OSError("no answer from http://alice:s3cret@localhost")
        except OSError as cause:
            raise error(said) from cause
    assert ended.value.code == 1
    told, is_traceback = capsys.readouterr().err, error is not ValueError
    assert "s3cret" not in told and said.replace("alice:s3cret", "***") in told
    assert ("Traceback" in told, "no answer from http://***@localhost" in told) == (
        is_traceback,
        is_traceback,
    )


def test_one_line_is_short_and_tells_no_password() -> None:
    told = one_line(ValueError("no\n  answer from http://alice:s3cret@localhost " + "x" * 300))
    assert told == ("no answer from http://***@localhost " + "x" * 300)[:300]
    assert one_line(TimeoutError()) == "TimeoutError"


def test_what_is_wrong_with_the_command_itself_is_click_s_to_show() -> None:
    done = CliRunner().invoke(cli.main, ["runs", "http://alice:s3cret@localhost"])
    assert done.exit_code == 2
    assert done.output.startswith("Usage: ")
