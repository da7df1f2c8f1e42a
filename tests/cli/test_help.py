"""The help of every command ends with an example that the command takes, and a shell can complete all of them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ganscribe import cli


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command below `command`, itself among them."""
    yield path
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, *path, name)


EVERY = list(commands(cli.main))


def test_there_are_commands() -> None:
    assert {("sample",), ("runs",), ("doctor",), ()} <= set(EVERY)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_ends_with_an_example_that_parses(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = CliRunner().invoke(cli.main, [*path, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    before, last = shown.output.rstrip("\n").splitlines()[-2:]
    assert before == "" and last.strip().startswith(" ".join(["Example: ganscribe", *path])), (
        "one line, at the end"
    )
    words = shlex.split(last.partition("ganscribe ")[2])
    taken = []  # what would have run: the group, then the command, with its arguments
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: taken.append(context.params))
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output
    assert len(taken) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_turns_completion_on_is_in_the_docs(project: Path, shell: str) -> None:
    """The line of docs/using.md gives a script of that shell."""
    (line,) = [
        row for row in (project / "docs/using.md").read_text().splitlines() if f"={shell}_source" in row
    ]
    done = CliRunner().invoke(cli.main, prog_name="ganscribe", env={"_GANSCRIBE_COMPLETE": f"{shell}_source"})
    assert "_GANSCRIBE_COMPLETE=" + f"{shell}_source ganscribe" in line
    assert done.exit_code == 0 and f"_GANSCRIBE_COMPLETE={shell}_complete" in done.output


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ganscribe sam", ["sample"]),
        ("ganscribe options c", ["captioner", "classifier"]),
        ("ganscribe caption --dec", ["--decode"]),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: list[str]) -> None:
    """By the script that click gives, in a real bash."""
    command = tmp_path / "ganscribe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganscribe "$@"\n')
    command.chmod(0o755)
    words = typed.split()
    script = f"""
        PATH="{tmp_path}:$PATH"
        eval "$(_GANSCRIBE_COMPLETE=bash_source ganscribe)"
        COMP_WORDS=({typed}) COMP_CWORD={len(words) - 1} COMP_LINE={typed!r} COMP_POINT={len(typed)}
        $(complete -p ganscribe | sed 's/.* -F \\([^ ]*\\) .*/\\1/') ganscribe {words[-1]!r} {words[-2]!r}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert sorted(done.stdout.split()) == offered, done.stderr
