"""The real `dvc repro` in scratch clones at the tiny scale: artifacts, metrics, runs, kills, same bytes."""

from __future__ import annotations

import hashlib
import html
import json
import math
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image
from ruamel.yaml import YAML

from ganscribe.metrics.tables import FAMILIES
from ganscribe.records.lineage.run_key import NEUTRAL
from scratch import CAPTIONER, CLASSIFIERS, RUNS, Clone

KILLS = {  # each stage by itself, since DVC may run independent stages in any order; after so many saves
    "train_classifier@lenet5": "train_classifier.py:3",
    "train_gan@dcgan": "train_gan.py:3",
    "extract_features": "extract_features.py:1",
    f"train_captioner@{CAPTIONER}": "train_captioner.py:3",
}
BEFORE_KILLS = ("prepare_images@mnist", "fetch_images", "tokenize_captions", "download@inception")


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone(project, tmp_path_factory.mktemp("built"))
    tracing = os.pathsep.join([str(project / "tests" / "tracing"), str(clone.folder / "src")])
    clone.run("dvc", "repro", PYTHONPATH=tracing, LOADED=str(clone.folder.with_name("loaded.txt")))
    clone.commit("results")
    return clone


def test_every_artifact_is_there(built: Clone) -> None:
    lock = (built.folder / "dvc.lock").read_text()
    for line in lock.splitlines():
        if line.strip().startswith("- path: ") and not line.endswith(".yaml"):
            assert (built.folder / line.split("path: ")[1]).exists(), line
    assert (built.folder / "models/gan/dcgan/generator.safetensors").stat().st_size > 1_000_000
    assert "data:image/webp;base64," in (built.folder / "reports/index.html").read_text()


def test_every_score_is_a_number_in_its_range(built: Clone) -> None:
    for run in RUNS:
        scores = json.loads((built.folder / f"data/gan_scores/{run}/scores.json").read_text())
        assert scores["fid"] > 0
        assert 0 <= scores["precision"] <= 1
        assert 0 <= scores["recall"] <= 1
        assert 1 <= scores["is"] <= 10
        assert 1 <= scores["modes"] <= 10
        assert scores["kl"] >= 0
        assert scores["num_samples"] == 200
        assert scores["fid"] > scores["floor_fid"]
        headlines = json.loads((built.folder / f"metrics/gan/{run}.json").read_text())
        assert headlines["fid"] == pytest.approx(scores["fid"], rel=1e-3)
        judge = (built.folder / "models/classifiers/lenet5/model.safetensors").read_bytes()
        assert scores["judge_sha256"] == hashlib.sha256(judge).hexdigest()
    judge = json.loads((built.folder / "plots/classifiers/lenet5/scores.json").read_text())
    assert judge["accuracy"] > 0.2
    assert judge["accuracy"] + judge["error"] == pytest.approx(1)
    for decoding in ("greedy", "beam", "sample"):
        scores = json.loads((built.folder / f"data/captioned/{CAPTIONER}/{decoding}.json").read_text())
        assert 1 >= scores["BLEU-1"] >= scores["BLEU-4"] >= 0
        assert {"METEOR", "ROUGE-L", "CIDEr"} <= set(scores)
        assert scores["weights"] == "random-init"
        if decoding == "greedy":
            headlines = json.loads((built.folder / f"metrics/captioner/{CAPTIONER}.json").read_text())
            assert headlines["CIDEr"] == pytest.approx(scores["CIDEr"], rel=1e-3)


def test_the_experiment_says_what_it_found(built: Clone) -> None:
    folder = built.folder / "data/experiments/parallel_lines"
    assert math.isfinite(json.loads((folder / "numbers.json").read_text())["gp_slope"])
    caption = (folder / "caption.txt").read_text().strip()
    page = html.unescape((built.folder / "reports/index.html").read_text())
    assert caption in page
    assert (built.folder / "plots/experiments/parallel_lines.png").read_bytes()[:4] == b"\x89PNG"
    assert not (built.folder / "data/experiments/adam_on_wgan").exists(), "its runs are not there"
    table = pd.read_csv(folder / "table.csv")
    assert set(table["theta"]) == {-1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0}


def test_a_stage_depends_on_every_module_that_it_has_imported(built: Clone) -> None:
    """Compare what is really imported, including objectives and networks loaded by name, with dvc.yaml."""
    with Repo(str(built.folder)) as repo:
        listed = {
            stage.name: [Path(dep.fs_path) for dep in stage.deps if dep.fs_path]
            for stage in repo.index.stages
        }
    package, problems, traced = built.folder / "src/ganscribe", [], set()
    code = "import sys, ganscribe.config; print(*(getattr(m, '__file__', 0) for m in sys.modules.values()))"
    read = built.run(
        sys.executable, "-c", code, PYTHONPATH=str(built.folder / "src")
    ).split()  # recipes to check
    for line in built.folder.with_name("loaded.txt").read_text().splitlines():
        stage, _, name = line.partition(" ")
        traced.add(stage)
        if stage == "link_runs":  # leaves no file that what it imports could change
            continue
        path = package / name
        is_neutral = name.split("/")[0] in NEUTRAL or path.name in ("__init__.py", "__main__.py")
        if is_neutral or str(path) in read:
            continue
        is_loaded = stage.startswith("evaluate_") and "/networks/" in name  # digested beside the model
        if not is_loaded and not any(path.is_relative_to(dep) for dep in listed[stage]):
            problems.append(f"{stage} imports {name}")
    assert {"train_gan@dcgan", "evaluate_gan@gan", f"train_captioner@{CAPTIONER}"} <= traced
    assert problems == []


def test_the_scores_are_one_table_without_a_complaint(built: Clone, project: Path) -> None:
    output = built.run("dvc", "metrics", "show", COLUMNS="120")
    assert "failed" not in output
    header, *rows = output.splitlines()
    assert len(rows) == len(RUNS) + len(CLASSIFIERS) + 1 and all(row.startswith("metrics/") for row in rows)
    # What the clone lacks of the whole pipeline: scores that are not defined here, and the longest name of a run.
    shown = [score for table in FAMILIES.values() for score in table if "headline" in score.shown]
    absent = {score.short or score.name for score in shown} - set(header.split())
    assert len(header.split()) - 1 + len(absent) <= 10
    params = YAML(typ="safe").load(project / "params.yaml")
    folders = {"gan": "gan", "classifier": "classifiers", "captioner": "captioner"}
    names = [
        f"metrics/{folder}/{run}.json" for family, folder in folders.items() for run in params[family]["runs"]
    ]
    wider = max(map(len, names)) - max(len(row.split()[0]) for row in rows)
    wider += sum(len("    ") + max(len(name), len("0.1234")) for name in absent)
    assert max(map(len, [header, *rows])) + wider <= 120, output


def test_plots_are_shown_one_chart_for_each_training(built: Clone) -> None:
    built.run("dvc", "plots", "show", "-o", "shown")
    try:
        page = (built.folder / "shown/index.html").read_text()
        charts = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*?\});\n", page, re.DOTALL)]
        titles = {
            *(f"{run}, a GAN" for run in RUNS),
            *(f"{run}, a classifier" for run in CLASSIFIERS),
            f"{CAPTIONER}, a captioner",
        }
        assert {chart["title"]["text"] for chart in charts} == titles and len(charts) == len(titles)
        pictures = {path.name for path in (built.folder / "shown/static").iterdir()}
        assert {f"workspace_plots_gan_scores_{run}_samples.png" for run in RUNS} <= pictures
    finally:
        shutil.rmtree(built.folder / "shown")


def test_runs_that_are_only_exercised_say_so_wherever_they_appear(built: Clone) -> None:
    """At the tiny scale `gan` does 20 of 3,900 steps."""
    said = "20 of 3,900 steps"
    page = html.unescape((built.folder / "reports/index.html").read_text())
    assert page.count(said) == 2, "in the table, and above its pictures"
    assert page.index("Only exercised at this scale (2)") < page.index(said)
    board = built.run(sys.executable, "-m", "ganscribe", "runs", "gan", PYTHONPATH=str(built.folder / "src"))
    line = next(row for row in board.splitlines() if row.startswith("only exercised"))
    assert all(said not in row for row in board.split(line)[0].splitlines()) and said in board.split(line)[1]
    runs = built.runs().set_index("name")
    assert (runs.loc["gan-tiny", "budget"], runs.loc["gan-tiny", "exercised"]) == (said, "true")
    training = json.loads((built.folder / "models/classifiers/lenet5/training.json").read_text())
    share = training["trained_steps"] / training["recipe_steps"]
    assert runs.loc["lenet5-tiny", "exercised"] == str(share < 0.1).lower()
    plain, titled = (
        Image.open(built.folder / f"plots/gan/gan/{name}")
        for name in ("grid-000020.png", "interpolation.png")
    )
    assert plain.height % 84 < 20 and titled.height > 4 * 84 + 3 * 4, "a line above the strips"


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


def test_a_fresh_folder_ties_its_models_though_dvc_lock_needs_nothing_new(built: Clone) -> None:
    """Git and DVC's cache bring everything except the list of linked runs."""
    table = built.folder / "data/linked_runs.csv"
    listed = table.read_text()
    keys = [json.loads(path.read_text()) for path in sorted((built.folder / "models").rglob("run_key.json"))]
    assert listed.splitlines()[1:] == [f"{key['family']},{key['name']},{key['run_key']}" for key in keys]
    table.unlink()
    output = built.run("dvc", "repro")
    assert [line for line in output.splitlines() if line.startswith("Running")] == [
        "Running stage 'link_runs':"
    ]
    assert table.read_text() == listed
    assert built.run("git", "status", "--porcelain") == ""


OBJECTIVE = """
from ganscribe.gan.common.objective import Objective


def build(*, margin: float = 1.0) -> Objective:
    return Objective(lambda real, fake: (fake - real + margin).mean(), lambda fake: -fake.mean())
"""
NETWORKS = """
from ganscribe.gan.common.layers import dcgan_discriminator, dcgan_generator


def build_generator(noise_dim, image_shape):
    return dcgan_generator(noise_dim, image_shape, norms=True)


def build_discriminator(image_shape):
    return dcgan_discriminator(image_shape)
"""
CONVNET = """
from torch import nn
from ganscribe.convnets.common.layers import PlainNetwork, pad_to_32


class Line(PlainNetwork):
    def __init__(self, num_classes, image_shape):
        super().__init__()
        self.convolutions, self.hidden = nn.Sequential(nn.Flatten()), nn.Sequential(nn.Identity())
        self.classifier = nn.Linear(image_shape[0] * 1024, num_classes)


def build(*, num_classes, image_shape):
    return Line(num_classes, image_shape)
"""
SCORE = """

def _spread(scored: Scored) -> float:
    return float(scored.generated.features.std())


GAN_SCORES = (*GAN_SCORES, GanScore("spread", "spread of the samples' features", "", EVERYWHERE, _spread))
"""
RUN = {"objective": "lsgan", "networks": "mlp", "dataset": "mnist", "steps": 4}
# What is added: a file and its text (appended, where the file is there), a run and its block, and what gets stale.
ADDED: dict[str, tuple[str | None, str, str | None, dict[str, Any], set[str]]] = {
    "objective": ("gan/objectives/mine.py", OBJECTIVE, "gan.runs", RUN | {"objective": "mine"}, set()),
    "networks": ("gan/networks/mine.py", NETWORKS, "gan.runs", RUN | {"networks": "mine"}, set()),
    "convnet": (
        "convnets/networks/mine.py",
        CONVNET,
        "classifier.runs",
        {"network": "mine", "dataset": "mnist", "epochs": 1},
        set(),
    ),
    "gan run": (None, "", "gan.runs", RUN, set()),
    "classifier run": (
        None,
        "",
        "classifier.runs",
        {"network": "lenet5", "dataset": "mnist", "epochs": 1},
        set(),
    ),
    "captioner run": (None, "", "captioner.runs", {"epochs": 1}, set()),
    "option": (
        "gan/networks/dcgan.py",
        "\nWIDTH = 1\n",
        None,
        {},
        {"train_gan@dcgan", "measure_gradients@dcgan"},
    ),
    "score": (
        "metrics/gan/scores.py",
        SCORE,
        None,
        {},
        {*(f"evaluate_gan@{run}" for run in RUNS), "report"},
    ),
}


def stale_stages(clone: Clone) -> set[str]:
    """The stages of the lock that `dvc status` names; new ones are not stale."""
    found = set(json.loads(clone.run("dvc", "status", "--json").splitlines()[-1]))
    return found & set(YAML(typ="safe").load(clone.folder / "dvc.lock")["stages"])


@pytest.mark.parametrize("kind", ADDED)
def test_what_is_added_makes_nothing_else_stale(built: Clone, kind: str) -> None:
    file, text, family, block, stale = ADDED[kind]
    try:
        if file:
            with (built.folder / "src/ganscribe" / file).open("a") as handle:
                handle.write(text)
        if family:
            params = YAML().load(built.folder / "params.yaml")
            runs = params
            for key in family.split("."):
                runs = runs[key]
            runs["mine"] = block
            YAML().dump(params, built.folder / "params.yaml")
            stages = built.run("dvc", "stage", "list", "--name-only").split()
            assert sum(stage.endswith("@mine") for stage in stages) == 2, "it is trained and scored"
        assert stale_stages(built) == stale
    finally:
        built.run("git", "checkout", "--quiet", ".")
        built.run("git", "clean", "-fdq", "src")
    assert stale_stages(built) == set()


def test_a_run_added_on_the_command_line_alone_works(built: Clone) -> None:
    """A new objective, network and run at once, with an option and no cap: it trains and is scored."""
    (built.folder / "src/ganscribe/gan/objectives/mine.py").write_text(OBJECTIVE)
    block = "{objective: mine, objective_options: {margin: 2.0}, networks: mlp, dataset: mnist, steps: 4}"
    try:
        output = built.run("dvc", "exp", "run", "-S", f"+gan.runs.mine={block}", "evaluate_gan@mine")
        started = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
        assert started == {"train_gan@mine", "evaluate_gan@mine"}
        scores = json.loads((built.folder / "data/gan_scores/mine/scores.json").read_text())
        assert scores["fid"] > 0 and scores["num_samples"] == 200 and scores["trained"] == 1
        for scale in ("sample", "full"):
            params = (built.folder / "params.yaml").read_text()
            (built.folder / "params.yaml").write_text(params.replace("scale: tiny", f"scale: {scale}"))
            assert "train_gan@mine" in built.run("dvc", "status", "train_gan@mine")
            check = "from ganscribe import config; print(config.load('gan', 'mine').budget.max_updates)"
            cap = built.run(sys.executable, "-c", check, PYTHONPATH=str(built.folder / "src"))
            assert cap.strip() == {"sample": "10", "full": "None"}[scale]
            (built.folder / "params.yaml").write_text(params)
    finally:
        built.run("git", "checkout", "--quiet", ".")
        built.run("git", "clean", "-fdq", "src", "metrics", "curves")
        for made in ("models/gan", "plots/gan", "data/gan_scores", "plots/gan_scores"):
            shutil.rmtree(built.folder / made / "mine", ignore_errors=True)
    assert stale_stages(built) == set()


def test_an_override_reruns_what_it_touches_and_its_repetition_is_tied_to_its_run(built: Clone) -> None:
    override = ("dvc", "exp", "run", "--temp", "-S", "gan.runs.dcgan.steps=5", "-n")
    before = built.runs()
    output = built.run(*override, "first")
    started = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert started == {"train_gan@dcgan", "evaluate_gan@dcgan", "diagnose", "report", "link_runs"}
    runs = built.runs()
    new = runs[runs["pipeline"] == "first"]
    assert "dcgan-tiny" in new["name"].tolist()
    assert set(new["status"]) == {"FINISHED"}
    assert len(runs) > len(before)

    output = built.run(*override, "again", "link_runs")
    assert "Stage 'train_gan@dcgan' is cached" in output
    again = built.runs()
    assert len(again) == len(runs)
    linked = again[again["linked.again"].notna() & (again["pipeline"] == "first")]
    assert linked["name"].tolist() == ["dcgan-tiny"]


def test_stages_that_are_killed_end_with_the_bytes_of_unbroken_ones(
    built: Clone, project: Path, tmp_path: Path
) -> None:
    clone = Clone(project, tmp_path / "elsewhere")
    clone.run("dvc", "cache", "dir", "--local", str(built.folder / ".dvc/cache"))
    notes = tmp_path / "saves"
    faults = os.pathsep.join([str(project / "tests" / "faults"), str(clone.folder / "src")])
    shared = {"PYTHONPATH": faults, "SAVES": str(notes), "GANSCRIBE_CHECKPOINT_SECONDS": "0"}
    clone.run("dvc", "repro", *BEFORE_KILLS, **shared)  # from the run cache
    repro = ("dvc", "repro", "--no-run-cache")
    for stage, kill in KILLS.items():
        output = clone.run(*repro, stage, succeeds=False, KILL_AFTER=kill, **shared)
        assert f"failed to reproduce '{stage}'" in output, output[-3000:]
        assert any((clone.folder / ".checkpoints").iterdir())
    clone.run(*repro, *KILLS, **shared)

    saves = pd.read_csv(notes, sep=" ", names=["script", "process", "step", "stage"])
    for script, count in (kill.split(":") for kill in KILLS.values()):
        mine = saves[saves["script"] == script]
        killed = mine[mine["process"] == mine["process"].iloc[0]]
        assert len(killed) == int(count)
        starts = mine[mine["process"] != killed["process"].iloc[0]].groupby("process")["step"].first()
        resumed = [start for start in starts if start > killed["step"].iloc[-1]]
        assert len(resumed) == 1, f"{script} started anew"

    locks = [YAML(typ="safe").load(folder / "dvc.lock") for folder in (clone.folder, built.folder)]
    stages, unbroken = (lock["stages"] for lock in locks)
    assert set(stages) >= set(KILLS)
    assert stages == {name: unbroken[name] for name in stages}, "in whichever order the stages were run"
    left = {path.name for path in (clone.folder / ".checkpoints").glob("*") if path.is_dir()}
    assert left <= {"downloads"}, "fetched images are kept for other selections"
    clone.run("ganscribe", "runs", "sync", **shared)
    runs = clone.runs()
    assert set(runs["status"]) == {"FINISHED"}
    assert sorted(runs["name"]) == sorted(set(runs["name"]))
