"""`ganscribe summary`: what it says has been made is there, and what it proposes works."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganscribe import cli, config
from ganscribe.cli.summary import NEXT
from ganscribe.records.leaderboard import FAMILIES
from parameters import copy_params


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model, scores and a report of each of its runs."""
    copy_params(project, tmp_path)
    params, _ = config.read(tmp_path)
    for name, family in FAMILIES.items():
        (tmp_path / "metrics" / family.folder).mkdir(parents=True)
        for run in getattr(params, name).runs:
            (tmp_path / "models" / family.folder / run).mkdir(parents=True)
            (tmp_path / "models" / family.folder / run / family.file).touch()
            (tmp_path / "metrics" / family.folder / f"{run}.json").touch()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "index.html").touch()
    lock = "schema: '2.0'\nstages:\n  report:\n    cmd: x\n    params:\n      params.yaml:\n        scale: tiny\n"
    (tmp_path / "dvc.lock").write_text(lock)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def summary() -> Result:
    return CliRunner().invoke(cli.main, ["summary"])


def test_three_lines_say_what_was_made_where_to_look_and_what_to_try(folder: Path) -> None:
    result = summary()
    assert result.exit_code == 0, result.output
    made, look, following = result.stdout.splitlines()
    params, _ = config.read(folder)
    numbers = [len(family.runs) for family in (params.gan, params.classifier, params.captioner)]
    assert list(map(int, re.findall(r"\d+", made))) == numbers
    assert "at the scale tiny " in made, "what the report was made at, not what params.yaml says now"
    assert "reports/index.html" in look
    assert NEXT in following
    assert max(map(len, (made, look, following))) <= 120


def test_only_a_model_with_its_scores_counts(folder: Path) -> None:
    (folder / "models/gan/dcgan/generator.safetensors").unlink()
    (folder / "metrics/captioner/best.json").unlink()
    shutil.copytree(folder / "models/gan/gan", folder / "models/gan/of_another_day")
    params, _ = config.read(folder)
    gans, captioners = len(params.gan.runs), len(params.captioner.runs)
    wanted = [f"{gans - 1} of {gans} GANs", f"{captioners - 1} of {captioners} captioners"]
    assert re.findall(r"\d+ of \d+ \w+", summary().stdout.splitlines()[0]) == wanted


def test_runs_that_were_only_exercised_are_counted_apart(folder: Path) -> None:
    for run, steps in (("dcgan", 195), ("gan", 194), ("wgan", 8)):
        facts = {"trained_steps": steps, "recipe_steps": 1950}
        (folder / f"models/gan/{run}/training.json").write_text(json.dumps(facts))
    made = summary().stdout.splitlines()[0]
    assert "GANs (2 only exercised)," in made and len(made) <= 120


@pytest.mark.parametrize("missing", ["models", "reports", "dvc.lock"])
def test_what_is_not_there_is_said_in_one_line(folder: Path, missing: str) -> None:
    path = folder / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    result = summary()
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "make repro" in result.stderr


def test_the_experiment_that_it_proposes_changes_one_run(project: Path, folder: Path) -> None:
    key, value = NEXT.removeprefix("dvc exp run -S ").split("=")
    run, option = key.removeprefix("gan.runs.").split(".")
    before = config.read(folder)[0].gan.runs
    assert getattr(before[run], option) != value
    text = (folder / "params.yaml").read_text()
    old = re.search(rf"^    {run}:\n(      .*\n)*", text, re.MULTILINE)
    assert old is not None
    new = re.sub(rf"{option}: \w+", f"{option}: {value}", old[0])
    (folder / "params.yaml").write_text(text.replace(old[0], new))
    after = config.read(folder)[0].gan.runs
    assert [name for name in after if after[name] != before[name]] == [run]
