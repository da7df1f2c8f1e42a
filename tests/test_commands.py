"""The commands in the documents can be typed as they stand there: ganscribe, DVC and hydra take their words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ganscribe import cli
from ganscribe.config.reading import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/team.md", "docs/using.md")


def shown() -> Iterator[tuple[str, list[str]]]:
    """Every command of the documents' blocks of shell: its document, and its words."""
    for document in DOCUMENTS:
        for block in re.findall(
            r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                if not line.startswith(("ganscribe ", "dvc ", "python ", "GANSCRIBE_", "git clone")):
                    continue
                words: list[str] = []
                for word in [*shlex.split(line, comments=True), "&&"]:
                    if word in ("&&", ">", "|"):
                        yield document, words
                        words = []
                    elif words or not re.match(r"[A-Z_]+=", word):
                        words.append(word)


COMMANDS = list(shown())


def of(program: str) -> list[Any]:
    found = [words for _, words in COMMANDS if words and words[0] == program]
    return [pytest.param(words[1:], id=" ".join(words)) for words in found]


@pytest.mark.parametrize("words", of("ganscribe"))
def test_ganscribe_takes_its_words(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: None)
    done = CliRunner().invoke(cli.main, words)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("words", of("dvc"))
def test_dvc_takes_its_words_and_the_keys_and_stages_exist(words: list[str], tmp_path: Path) -> None:
    from dvc.cli.parser import get_main_parser
    from dvc.utils.hydra import apply_overrides

    taken = get_main_parser().parse_args(words)
    if words[0] == "repro" or words[:2] == ["exp", "run"]:
        params = tmp_path / "params.yaml"
        params.write_text((ROOT / "params.yaml").read_text())
        for override in getattr(taken, "set_param", None) or ():
            apply_overrides(params, [re.sub(r"=(\d+,)+", "=", override)])  # a queue takes several values
        for target in taken.targets:
            file, _, stage = target.rpartition(":")
            name, _, run = stage.partition("@")
            known = parse_yaml((ROOT / (file or "dvc.yaml")).read_text())["stages"]
            assert name in known, f"{file or 'dvc.yaml'} has no stage {name}"
            runs = params.read_text() + (ROOT / "CONTRIBUTING.md").read_text().replace(
                "\n+", "\n"
            )  # it adds some
            assert run == "" or re.search(rf"^ *{run}:", runs, re.MULTILINE), f"there is no run {run}"


@pytest.mark.parametrize("words", of("python"))
def test_scripts_exist(words: list[str]) -> None:
    assert (ROOT / words[0]).is_file()


def test_there_are_commands() -> None:
    assert len(of("ganscribe")) > 30 and len(of("dvc")) > 20 and len(of("python")) > 6
