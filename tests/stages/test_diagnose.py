"""diagnose: every experiment has its table, numbers, caption and figure; one whose runs are missing is left out."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ganscribe.core.files import write_csv, write_json
from ganscribe.experiments import comparisons, findings
from ganscribe.experiments.distances import closed_forms
from ganscribe.experiments.tracking import quality_along
from ganscribe.records import outbox

EXPERIMENTS = {
    "gradient_vanishing",
    "gradient_instability",
    "parallel_lines",
    "critic_tracks_quality",
    "without_batch_norm",
    "adam_on_wgan",
}
RUNS = ("gan", "gan_nobn", *findings.WASSERSTEIN_RUNS)


def write_measurements() -> None:
    """The tables of measure_gradients and measure_distances."""
    gradients = [
        {
            "run": run,
            "epochs": epochs,
            "critic_step": step,
            "critic_loss": 1.0 / (step + 1),
            "saturating_norm": 10.0**-step,
            "saturating_variance": 0.1,
            "nonsaturating_norm": 1.0 + step,
            "nonsaturating_variance": 2.0 + step,
            "generator_updates": 390 * epochs,
        }
        for run in ("dcgan", "dcgan_deep")
        for epochs in (1, 25)
        for step in range(7)
    ]
    lines = [
        {"theta": theta, "critic_steps": 1000, **closed_forms(theta)}
        | {"clipped_raw": abs(theta) / 1000, "clipped_estimate": abs(theta), "gp_estimate": abs(theta)}
        | {"js_estimate": math.log(2) if theta else 0.0}
        for theta in (-1.0, 0.0, 0.5)
    ]
    for run in ("dcgan", "dcgan_deep"):
        write_csv(f"data/diagnostics/gradients/{run}.csv", [row for row in gradients if row["run"] == run])
    write_csv("data/diagnostics/parallel_lines.csv", lines)


def write_run(run: str, number: int) -> None:
    """What train_gan and evaluate_gan leave of a run."""
    scores = {"fid": 20.0 + number, "modes": 10, "num_samples": 10_000}
    scores |= {"trained_steps": 12 if run == "gan_nobn" else 3000, "recipe_steps": 3000}
    write_json(f"data/gan_scores/{run}/scores.json", scores)
    kept = [{"step": step, "fid": 100.0 - number * step} for step in (1, 2, 3)]
    write_csv(f"data/gan_scores/{run}/snapshots.csv", kept)
    name = "jsd_estimate" if run.startswith("gan") else "wasserstein_estimate"
    curve = [
        {
            "step": step,
            "critic_cosine": 0.5,
            "critic_loss": -4.0 + step,
            f"{name}_held_out_median": 4.0 - step,
        }
        for step in (1, 2, 3)
    ]
    write_csv(f"curves/gan/{run}.csv", curve)
    picture = Path(f"plots/gan_scores/{run}/samples.png")
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(picture)


@pytest.fixture
def folder(workplace: Path) -> Path:
    """A project in which everything is measured and scored."""
    write_measurements()
    for number, run in enumerate(RUNS):
        write_run(run, number)
    return workplace


@pytest.fixture
def stage(folder: Path, load_stage: Any) -> dict[str, Any]:
    return load_stage("diagnose")


def diagnose(stage: dict[str, Any]) -> Result:
    return CliRunner().invoke(stage["main"])


def made() -> dict[str, dict[str, object]]:
    """The numbers of the experiments that were made, each with all that belongs to it."""
    found = {}
    for tables in sorted(Path("data/experiments").iterdir()):
        assert {path.name for path in tables.iterdir()} == {"caption.txt", "numbers.json", "table.csv"}
        assert len(pd.read_csv(tables / "table.csv")) > 0
        assert (tables / "caption.txt").read_text().endswith(".\n")
        assert Image.open(f"plots/experiments/{tables.name}.png").format == "PNG"
        found[tables.name] = json.loads((tables / "numbers.json").read_text())
    assert {path.stem for path in Path("plots/experiments").iterdir()} == set(found)
    recorded = {entry.header()["name"] for entry in outbox.entries(outbox.outbox_folder())}
    assert recorded == {f"diagnose_{name}" for name in found}
    return found


def test_every_experiment_says_what_it_found(stage: dict[str, Any]) -> None:
    done = diagnose(stage)
    assert done.exit_code == 0 and "left out" not in done.output, done.output
    found = made()
    assert set(found) == EXPERIMENTS
    tables = [pd.read_csv(f"data/diagnostics/gradients/{run}.csv") for run in ("dcgan_deep", "dcgan")]
    gradients = pd.concat(tables, ignore_index=True)
    scores = {run: json.loads(Path(f"data/gan_scores/{run}/scores.json").read_text()) for run in RUNS}
    along = quality_along(
        (*findings.WASSERSTEIN_RUNS, "gan"), scores=Path("data/gan_scores"), curves=Path("curves/gan")
    )
    expected = {
        "gradient_vanishing": findings.gradient_vanishing(gradients),
        "critic_tracks_quality": findings.critic_tracks_quality(along),
        "without_batch_norm": comparisons.without_batch_norm(scores),
    }
    for name, finding in expected.items():
        assert found[name] == finding.metric
        caption = Path(f"data/experiments/{name}/caption.txt").read_text()
        assert caption.startswith(finding.caption)
        said = caption.removeprefix(finding.caption).strip()
        assert ("gan_nobn (12 of 3,000 steps)." in said) == (name == "without_batch_norm") == bool(said)
    assert len(pd.read_csv("data/experiments/critic_tracks_quality/table.csv")) == 6 * 3
    for name in ("gradient_vanishing", "gradient_instability"):  # the paper's kind of network comes first
        assert list(pd.read_csv(f"data/experiments/{name}/table.csv")["run"].unique()) == [
            "dcgan_deep",
            "dcgan",
        ]


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        (["gan_nobn"], {"without_batch_norm": "gan_nobn"}),
        (["wgan_gp"], {"critic_tracks_quality": "wgan_gp"}),
        (["wgan_adam"], {"critic_tracks_quality": "wgan_adam", "adam_on_wgan": "wgan_adam"}),
        (
            ["wgan", "gan"],
            {"critic_tracks_quality": "wgan, gan", "without_batch_norm": "gan", "adam_on_wgan": "wgan"},
        ),
    ],
    ids=lambda each: ", ".join(each) if isinstance(each, list) else "",
)
def test_an_experiment_whose_runs_are_missing_is_left_out_and_the_others_are_made(
    stage: dict[str, Any], missing: list[str], left_out: dict[str, str]
) -> None:
    for name in left_out:  # of an earlier time, when the runs were there
        Path("data/experiments", name).mkdir(parents=True)
        Path("plots/experiments").mkdir(parents=True, exist_ok=True)
        Path(f"plots/experiments/{name}.png").touch()
    for run in missing:
        for path in (f"data/gan_scores/{run}", f"plots/gan_scores/{run}"):
            shutil.rmtree(path)
        Path(f"curves/gan/{run}.csv").unlink()
    done = diagnose(stage)
    assert done.exit_code == 0, done.output
    said = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert sorted(said) == sorted(
        f"the experiment {name} is left out: it compares {runs}, which gan.runs of params.yaml does not have"
        for name, runs in left_out.items()
    )
    assert set(made()) == EXPERIMENTS - set(left_out)


def test_scores_that_were_made_differently_are_not_held_against_each_other(
    stage: dict[str, Any], folder: Path
) -> None:
    """The FID of a run on other images is neither better nor worse; its experiments are left out as above."""
    for run, experiment in (("wgan_adam", "adam_on_wgan"), ("gan", "without_batch_norm")):
        path = Path(f"data/gan_scores/{run}/scores.json")
        write_json(path, json.loads(path.read_text()) | {"dataset": "cifar10", "data_sha256": "1"})
        with pytest.raises(
            stage["UnfitRunsError"], match=rf"{run}\b.*, which differ in dataset, data_sha256"
        ):
            stage[experiment](folder / "figure.png")
    stage["critic_tracks_quality"](folder / "figure.png")  # whose findings are of one run at a time


def test_a_run_that_kept_no_generators_is_named_and_nothing_is_overwritten(stage: dict[str, Any]) -> None:
    assert diagnose(stage).exit_code == 0
    before = {path: path.read_bytes() for path in Path("data/experiments").rglob("*.*")}
    write_csv("data/gan_scores/wgan/snapshots.csv", [])
    done = diagnose(stage)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: the run wgan has kept no generators along the way")
    assert {path: path.read_bytes() for path in Path("data/experiments").rglob("*.*")} == before


def test_an_experiment_that_compares_modes_is_left_out_where_a_run_has_none(
    stage: dict[str, Any], folder: Path
) -> None:
    """As of a run on chosen classes, or on data with a class that has no test images."""
    path = Path("data/gan_scores/gan_nobn/scores.json")
    scores = json.loads(path.read_text())
    del scores["modes"]
    write_json(path, scores)
    with pytest.raises(stage["UnfitRunsError"], match="gan_nobn lacks the score `modes`"):
        stage["without_batch_norm"](folder / "figure.png")
