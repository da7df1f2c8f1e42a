"""`ganscribe options`: the tables of the recipes, on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from ganscribe import cli
from ganscribe.config.tables import FAMILIES, describe_options


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_options_are_printed(family: str) -> None:
    result = CliRunner().invoke(cli.main, ["options", family])
    assert result.exit_code == 0
    assert result.output == describe_options(family) + "\n"


@pytest.mark.parametrize("words", [[], ["gans"], ["gan", "classifier"]])
def test_another_word_is_refused_with_the_families_that_exist(words: list[str]) -> None:
    result = CliRunner().invoke(cli.main, ["options", *words])
    assert result.exit_code == 2
    assert "Usage: " in result.output
    if words == ["gans"]:
        assert all(family in result.output for family in FAMILIES)


def test_the_module_prints_the_same_as_the_command() -> None:
    """`python -m ganscribe` is `ganscribe`."""
    command = [sys.executable, "-m", "ganscribe", "options", "gan"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == describe_options("gan") + "\n"
    help_text = subprocess.run(
        [sys.executable, "-m", "ganscribe", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert help_text.startswith("Usage: ganscribe ")
    assert "  options " in help_text
