"""The real `dvc repro` in scratch clones at the tiny scale: artifacts, metrics, runs, kills, same bytes."""

from __future__ import annotations

import hashlib
import html
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from scratch import CAPTIONER, RUNS, Clone

KILLS = {  # each stage by itself, since DVC may run independent stages in any order; after so many saves
    "train_classifier@lenet5": "train_classifier.py:3",
    "train_gan@dcgan": "train_gan.py:3",
    "extract_features": "extract_features.py:1",
    f"train_captioner@{CAPTIONER}": "train_captioner.py:3",
}


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone(project, tmp_path_factory.mktemp("built"))
    clone.run("dvc", "repro")
    clone.commit("results")
    return clone


def test_every_artifact_is_there(built: Clone) -> None:
    lock = (built.folder / "dvc.lock").read_text()
    for line in lock.splitlines():
        if line.strip().startswith("- path: ") and not line.endswith(".yaml"):
            assert (built.folder / line.split("path: ")[1]).exists(), line
    assert (built.folder / "models/gan/dcgan/generator.pt").stat().st_size > 1_000_000
    assert "data:image/png;base64," in (built.folder / "reports/index.html").read_text()


def test_every_score_is_a_number_in_its_range(built: Clone) -> None:
    for run in RUNS:
        scores = json.loads((built.folder / f"metrics/gan/{run}.json").read_text())
        assert scores["fid"] > 0
        assert 0 <= scores["precision"] <= 1
        assert 0 <= scores["recall"] <= 1
        assert 1 <= scores["is"] <= 10
        assert 1 <= scores["modes"] <= 10
        assert scores["kl"] >= 0
        assert scores["num_samples"] == 200
        assert scores["fid"] > scores["floor_fid"]
        whole = json.loads((built.folder / f"plots/gan_scores/{run}/scores.json").read_text())
        judge = (built.folder / "models/classifiers/mnist/lenet5/model.pt").read_bytes()
        assert whole["judge_sha256"] == hashlib.sha256(judge).hexdigest()
    judge = json.loads((built.folder / "plots/classifiers/lenet5/scores.json").read_text())
    assert judge["accuracy"] > 0.2
    assert judge["accuracy"] + judge["error"] == pytest.approx(1)
    for decoding in ("greedy", "beam", "sample"):
        scores = json.loads((built.folder / f"metrics/captioner/{CAPTIONER}.json").read_text())[decoding]
        assert 1 >= scores["BLEU-1"] >= scores["BLEU-4"] >= 0
        assert {"METEOR", "ROUGE-L", "CIDEr"} <= set(scores)
        whole = json.loads((built.folder / f"data/captioned/{CAPTIONER}/{decoding}.json").read_text())
        assert scores.items() <= whole.items()
        assert whole["weights"] == "random-init"


def test_the_experiment_says_what_it_found(built: Clone) -> None:
    folder = built.folder / "plots/diagnostics/parallel_lines"
    numbers = json.loads((folder / "numbers.json").read_text())
    headline = json.loads((built.folder / "metrics/diagnostics/parallel_lines.json").read_text())
    assert headline["gp_slope"] == numbers["gp_slope"]
    caption = (folder / "caption.txt").read_text().strip()
    page = html.unescape((built.folder / "reports/index.html").read_text())
    assert caption in page
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"
    table = pd.read_csv(folder / "table.csv")
    assert set(table["theta"]) == {-1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0}


def test_the_scores_are_one_table_without_a_complaint(built: Clone) -> None:
    output = built.run("dvc", "metrics", "show")
    assert "failed" not in output
    assert len([line for line in output.splitlines() if line.startswith("metrics/")]) == 5


def test_one_finished_mlflow_run_a_model_with_curves_scores_and_tags(built: Clone) -> None:
    runs = built.runs()
    assert set(runs["status"]) == {"FINISHED"}
    names = runs["name"].tolist()
    for model in ("gan-tiny", "dcgan-tiny", "lenet5-tiny", f"{CAPTIONER}-tiny"):
        assert names.count(model) == 1, names
    trained = runs[runs["name"] == "dcgan-tiny"].iloc[0]
    assert trained["fid"] > 0
    assert trained["critic_loss"] == trained["critic_loss"]
    assert len(trained["run_key"]) == 32
    assert len(trained["git.commit"]) == 40
    assert trained["scale"] == "tiny"
    assert trained["dvc.out.models/gan/dcgan"] in (built.folder / "dvc.lock").read_text()
    assert runs["pipeline"].nunique() == 1


def test_a_second_repro_does_nothing(built: Clone) -> None:
    before = len(built.runs())
    assert "Data and pipelines are up to date." in built.run("dvc", "repro")
    assert len(built.runs()) == before
    assert built.run("git", "status", "--porcelain") == ""


def test_an_override_reruns_what_it_touches_and_temp_runs_are_recorded(built: Clone) -> None:
    before = built.runs()
    output = built.run("dvc", "exp", "run", "--temp", "-S", "gan.runs.dcgan.steps=5", "-n", "shorter")
    started = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert started == {"train_gan@dcgan", "evaluate_gan@dcgan", "report", "link_runs"}
    runs = built.runs()
    new = runs[runs["pipeline"] == "shorter"]
    assert "dcgan-tiny" in new["name"].tolist()
    assert set(new["status"]) == {"FINISHED"}
    assert len(runs) > len(before)


def test_a_stage_restored_from_dvcs_cache_is_tied_to_its_run(built: Clone) -> None:
    output = built.run("dvc", "exp", "run", "--temp", "-S", "gan.runs.gan.steps=7", "-n", "first")
    assert "Running stage 'train_gan@gan'" in output
    before = len(built.runs())
    output = built.run("dvc", "exp", "run", "--temp", "-S", "gan.runs.gan.steps=7", "-n", "again")
    assert "Stage 'train_gan@gan' is cached" in output
    runs = built.runs()
    assert len(runs) == before
    linked = runs[runs["linked.again"].notna() & (runs["pipeline"] == "first")]
    assert linked["name"].tolist() == ["gan-tiny"]


def test_a_build_killed_in_every_stage_ends_with_the_bytes_of_an_unbroken_one(
    built: Clone, project: Path, tmp_path: Path
) -> None:
    clone = Clone(project, tmp_path / "elsewhere")
    notes = tmp_path / "saves"
    faults = os.pathsep.join([str(project / "tests" / "faults"), str(clone.folder / "src")])
    shared = {"PYTHONPATH": faults, "SAVES": str(notes), "GANSCRIBE_CHECKPOINT_SECONDS": "0"}
    for stage, kill in KILLS.items():
        output = clone.run("dvc", "repro", stage, succeeds=False, KILL_AFTER=kill, **shared)
        assert f"failed to reproduce '{stage}'" in output, output[-3000:]
        assert any((clone.folder / ".checkpoints").iterdir())
    clone.run("dvc", "repro", **shared)

    saves = pd.read_csv(notes, sep=" ", names=["script", "process", "step", "stage"])
    for script, count in (kill.split(":") for kill in KILLS.values()):
        mine = saves[saves["script"] == script]
        killed = mine[mine["process"] == mine["process"].iloc[0]]
        assert len(killed) == int(count)
        starts = mine[mine["process"] != killed["process"].iloc[0]].groupby("process")["step"].first()
        resumed = [start for start in starts if start > killed["step"].iloc[-1]]
        assert len(resumed) == 1, f"{script} started anew"

    locks = [YAML(typ="safe").load(folder / "dvc.lock") for folder in (clone.folder, built.folder)]
    assert locks[0] == locks[1], "in whichever order the stages were run"
    left = {path.name for path in (clone.folder / ".checkpoints").glob("*") if path.is_dir()}
    assert left <= {"downloads"}, "fetched images are kept for other selections"
    runs = clone.runs()
    assert set(runs["status"]) == {"FINISHED"}
    assert sorted(runs["name"]) == sorted(set(runs["name"]))
