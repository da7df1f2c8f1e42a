"""compare_judges: it reads the scores of the runs of one data set, and says if there is nothing to compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganscribe.metrics.agreement import SCORES

FIDS = {"lenet5": {"b": 10.0, "a": 20.0, "c": 30.0}, "resnet20": {"b": 1.5, "a": 0.5, "c": 2.5}}


def write_run(
    name: str,
    fids: dict[str, float],
    *,
    dataset: str = "mnist",
    sha256: str = "aa",
    steps: int = 500,
    data_sha256: str | None = None,
) -> None:
    folder = Path("data/gan_scores", name)
    folder.mkdir(parents=True)
    scores = {"dataset": dataset, "trained_steps": steps, "recipe_steps": 1000}
    scores |= {"data_sha256": data_sha256} if data_sha256 else {}
    (folder / "scores.json").write_text(json.dumps(scores))
    rows = [
        {"judge": judge, "judge_sha256": f"{sha256} {judge}", "num_samples": 200}
        | dict.fromkeys(SCORES, fid)
        | {"modes": None}
        for judge, fid in fids.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "judges.csv", index=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    for run in "bac":
        write_run(run, {judge: fids[run] for judge, fids in FIDS.items()})
    write_run("horse", {"lenet5": 3.0}, dataset="cifar10")
    write_run(".a.tmp", {judge: fids["a"] for judge, fids in FIDS.items()})  # by a process that was killed
    return tmp_path


@pytest.fixture
def compare(load_stage: Any) -> Callable[[], Result]:
    main = load_stage("compare_judges")["main"]
    return lambda: CliRunner().invoke(main)


def test_judges_of_the_runs_of_one_data_set_are_compared(compare: Callable[[], Result]) -> None:
    done = compare()
    assert done.exit_code == 0, done.output
    # Ranks 2 1 3 against 1 2 3: 1 - 6 * 2 / (3 * 8) = 0.5
    table = pd.read_csv("data/judges_compared/correlations.csv")
    assert list(table["score"]) == list(SCORES) and list(table["rho"]) == pytest.approx([0.5] * len(SCORES))
    assert set(table["judge"]) == {"lenet5"} and set(table["other"]) == {"resnet20"}
    caption = Path("data/judges_compared/caption.txt").read_text()
    assert caption.startswith("The same samples of 3 runs, scored by 2 judges (lenet5, resnet20).")
    assert "First by FID: b (lenet5), a (resnet20)." in caption
    assert Image.open("plots/judges.png").format == "PNG"


def test_a_judge_that_has_not_scored_every_run_is_left_out(compare: Callable[[], Result]) -> None:
    write_run("d", {"lenet5": 4.0, "resnet20": 5.0, "vgg11": 6.0})
    assert compare().exit_code == 0
    caption = Path("data/judges_compared/caption.txt").read_text()
    assert "of 4 runs, scored by 2 judges" in caption and "exercised" not in caption


def test_a_run_of_the_data_set_that_was_held_against_other_images_is_left_out(
    compare: Callable[[], Result],
) -> None:
    """The FIDs of a run on chosen classes are distances to other real images."""
    write_run("sevens", {"lenet5": 4.0, "resnet20": 0.1}, data_sha256="of the sevens")
    assert compare().exit_code == 0
    caption = Path("data/judges_compared/caption.txt").read_text()
    assert "of 3 runs, scored by 2 judges" in caption and "sevens" not in caption


def test_runs_that_were_only_exercised_are_left_out(compare: Callable[[], Result]) -> None:
    write_run("d", {"lenet5": 4.0}, steps=99)
    write_run("e", {"lenet5": 5.0, "resnet20": 4.0}, steps=100)
    assert compare().exit_code == 0
    caption = Path("data/judges_compared/caption.txt").read_text()
    assert caption.startswith("The same samples of 4 runs, scored by 2 judges (lenet5, resnet20).")


def test_where_every_run_was_only_exercised_there_is_nothing_to_compare(
    compare: Callable[[], Result],
) -> None:
    shutil.rmtree("data/gan_scores")
    for run in ("a", "b", "c"):
        write_run(run, {"lenet5": 4.0}, steps=4)
    done = compare()
    assert done.exit_code == 0, done.output
    assert Path("data/judges_compared/caption.txt").read_text().startswith("Every GAN was only exercised")
    assert Image.open("plots/judges.png").format == "PNG"


def test_one_judge_alone_has_nothing_to_compare(compare: Callable[[], Result]) -> None:
    shutil.rmtree("data/gan_scores")
    for run in ("a", "b", "c"):
        write_run(run, {"lenet5": 4.0})
    assert compare().exit_code == 0
    assert "there is nothing to compare" in Path("data/judges_compared/caption.txt").read_text()
    assert Image.open("plots/judges.png").format == "PNG"


def test_scores_of_an_older_judge_are_refused(compare: Callable[[], Result]) -> None:
    write_run("d", {"lenet5": 4.0, "resnet20": 5.0}, sha256="of an older training")
    done = compare()
    assert done.exit_code == 1
    assert "no judge has scored all GANs of a data set" in done.output
    assert not Path("plots").exists() and not Path("data/judges_compared").exists()
