"""Builds killed at random moments until they end: the same bytes, nothing left over, every run whole.

FAULT_KILLS and FAULT_SEED set how many kills, and which. The tables are printed.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
from collections import Counter
from pathlib import Path

import filelock
import pandas as pd
import psutil
import pytest
from ruamel.yaml import YAML

from killing import KINDS, Kill, Plan, kill_until_it_ends, time_stages
from scratch import CAPTIONER, Clone

pytestmark = pytest.mark.faults

KILLS, SEED = int(os.environ.get("FAULT_KILLS", "110")), int(os.environ.get("FAULT_SEED", "0"))
# With more kills in one build, most would hit its last stage, because a stage that ends first hands its kills on.
BUILDS = -(-KILLS // 22)


class Broken:
    """A build that was killed, and the uninterrupted one."""

    def __init__(self, built: Clone, clone: Clone, kills: list[Kill], saves: pd.DataFrame) -> None:
        self.built = built
        self.clone = clone
        self.kills = kills
        self.saves = saves

    def restarts(self) -> list[tuple[str, int, int]]:
        """Return the trainings that began at or before a saved step: stage, saved step, first step."""
        found = []
        for stage, saves in self.saves.groupby("stage"):
            steps = [group["step"] for _, group in saves.groupby("process", sort=False)]
            for before, after in itertools.pairwise(steps):
                if after.iloc[0] <= before.iloc[-1]:
                    found.append((str(stage), int(before.iloc[-1]), int(after.iloc[0])))
        return found


def table(broken: Broken, last_steps: dict[str, int]) -> str:
    """Return a table of what was injected, and what became of it."""
    lines = ["", "fault                       times  lost  again  by hand  failed"]
    restarts = broken.restarts()
    lost = [each for each in restarts if each[1] < last_steps[each[0]]]
    for kind in KINDS:
        mine = [kill for kill in broken.kills if kill.kind == kind]
        by_hand = sum(bool(kill.by_hand) for kill in mine)
        failed = sum(bool(kill.failure) and not kill.by_hand for kill in mine)
        lines.append(f"SIGKILL of {kind:<16} {len(mine):>5}                {by_hand:>7} {failed:>7}")
    lines.append(
        f"together                    {len(broken.kills):>5} {len(lost):>5} {len(restarts) - len(lost):>6}"
    )
    lines.append("")
    lines.append(f"{'stage':<34}" + "".join(f"{kind:>7}" for kind in KINDS) + "  while DVC worked")
    hits = Counter((kill.stage, kill.kind) for kill in broken.kills)
    for stage in dict.fromkeys(kill.stage for kill in broken.kills):
        bookkeeping = sum(kill.stage == stage and not kill.is_running for kill in broken.kills)
        lines.append(
            f"{stage:<34}" + "".join(f"{hits[stage, kind]:>7}" for kind in KINDS) + f"{bookkeeping:>7}"
        )
    lines += [
        f"{kill.kind} at {kill.stage}: {kill.by_hand} {kill.failure}" for kill in broken.kills if kill.failure
    ]
    lines += [f"{stage}: had saved step {saved}, began at {began}" for stage, saved, began in restarts]
    return "\n".join(lines) + "\n"


def environment(project: Path, of: Clone) -> dict[str, str]:
    """Return the environment of a build that notes every save; `saved(of)` reads the notes."""
    faults = os.pathsep.join([str(project / "tests" / "faults"), str(of.folder / "src")])
    return {
        "PYTHONPATH": faults,
        "SAVES": str(of.folder.with_suffix(".saves")),
        "GANSCRIBE_CHECKPOINT_SECONDS": "0",
    }


def saved(of: Clone) -> pd.DataFrame:
    names = ["script", "process", "step", "stage"]
    return pd.read_csv(of.folder.with_suffix(".saves"), sep=" ", names=names)


@pytest.fixture(scope="module")
def unbroken(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, dict[str, float]]:
    """A build without kills, and the seconds of its stages."""
    clone = Clone(project, tmp_path_factory.mktemp("kills") / "built")
    return clone, time_stages(clone, clone.folder.with_suffix(".log"), environment(project, clone))


@pytest.fixture(scope="module", params=range(BUILDS))
def broken(project: Path, unbroken: tuple[Clone, dict[str, float]], request: pytest.FixtureRequest) -> Broken:
    built, durations = unbroken
    clone = Clone(project, built.folder.with_name(f"broken-{request.param}"))
    count = len(range(request.param, KILLS, BUILDS))
    plan = Plan(durations, count=count, seed=SEED * BUILDS + request.param)
    begun, log = time.monotonic(), clone.folder.with_suffix(".log")
    kills = kill_until_it_ends(clone, plan, log=log, environment=environment(project, clone))
    found = Broken(built, clone, kills, saved(clone))
    last_steps = saved(built).groupby("stage")["step"].last().to_dict()
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        note = (
            f"{time.monotonic() - begun:.0f} s, seed {SEED}, build {request.param} of {BUILDS}, log {log}\n"
        )
        request.config.get_terminal_writer().write(table(found, last_steps) + note)
    # A stage that ends before its kill hands it on; what the last ones hand on is left over.
    assert len(kills) >= 0.5 * count - 1, "the stages were timed on a much busier machine: run it again"
    assert [each for each in found.restarts() if each[1] < last_steps[each[0]]] == [], "saved work was lost"
    return found


def test_the_lock_and_every_output_are_those_of_an_unbroken_build(broken: Broken) -> None:
    folders = (broken.built.folder, broken.clone.folder)
    locks = [YAML(typ="safe").load(folder / "dvc.lock") for folder in folders]
    assert locks[0] == locks[1]
    outs = [out["path"] for stage in locks[0]["stages"].values() for out in stage.get("outs", [])]
    assert len(outs) > 15
    for out in outs:
        digests = []
        for folder in folders:
            files = [folder / out] if (folder / out).is_file() else sorted((folder / out).rglob("*"))
            digests.append(
                {
                    str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
                    for file in files
                    if file.is_file()
                }
            )
        assert digests[0] and digests[0] == digests[1], out


def test_no_kill_is_followed_by_a_failure_that_needs_more_than_the_documented_hand(broken: Broken) -> None:
    assert [kill for kill in broken.kills if kill.failure and not kill.by_hand] == []


def test_dvcs_cache_holds_what_its_names_say(broken: Broken) -> None:
    cached = [path for path in (broken.clone.folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert len(cached) > 50
    for path in cached:
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        assert path.parent.name + path.name.removesuffix(".dir") == digest


def test_nothing_trains_on_and_no_lock_stays(broken: Broken) -> None:
    top = broken.clone.folder
    for _ in range(90):  # a sender stays for twenty seconds
        left = []
        for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
            cwd = process.info["cwd"]
            if cwd and Path(cwd).is_relative_to(top):
                left.append(process.info)
        if not left:
            break
        time.sleep(1)
    assert left == []
    for path in [
        *top.glob(".checkpoints/*.lock"),
        *top.glob(".outbox/**/*lock"),
        *top.glob(".dvc/tmp/**/*lock"),
    ]:
        if path.name != "rwlock":  # a table of who reads and writes what
            filelock.FileLock(path).acquire(timeout=0).lock.release()
    holders = re.findall(r'"pid": (\d+)', (top / ".dvc/tmp/rwlock").read_text())
    assert [pid for pid in holders if psutil.pid_exists(int(pid))] == [], "DVC ignores those of the dead"
    assert {path.name for path in (top / ".checkpoints").glob("*") if path.is_dir()} <= {"downloads"}
    litter = [path for path in top.rglob(".*.tmp") if ".dvc" not in path.parts]
    assert litter == []


def test_every_run_is_in_mlflow_once_and_whole(broken: Broken) -> None:
    import mlflow

    clone = broken.clone
    assert "0 recordings" in clone.run("ganscribe", "runs", "sync")
    runs = clone.runs()
    assert set(runs["status"]) <= {"FINISHED", "KILLED", "FAILED"}, "none RUNNING"
    finished = runs[runs["status"] == "FINISHED"]
    # Twice only where the kill fell between a training's end and its line in dvc.lock: it is run again.
    hits = Counter(kill.stage for kill in broken.kills)
    for name, count in finished["name"].value_counts().items():
        own = {stage for stage in hits if name.removesuffix("-tiny") in (stage, stage.partition("@")[2])}
        assert count - 1 <= sum(hits[stage] for stage in own), (name, count)
    assert set(finished["name"]) == set(broken.built.runs()["name"])

    client = mlflow.MlflowClient(f"sqlite:///{clone.folder / 'mlflow.db'}")
    for run in client.search_runs(
        [each.experiment_id for each in client.search_experiments()], max_results=1000
    ):
        for key in run.data.metrics:
            if not key.startswith("system/"):
                steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
                assert len(steps) == len(set(steps)), (run.info.run_name, run.info.status, key, steps)
    curves = {"dcgan-tiny": "curves/gan/dcgan.csv", f"{CAPTIONER}-tiny": f"curves/captioner/{CAPTIONER}.csv"}
    for name, curve in curves.items():
        key = "critic_loss" if "gan" in curve else "val_loss"
        rows = pd.read_csv(clone.folder / curve)[["step", key]].dropna()
        expected = [(int(step), pytest.approx(value)) for step, value in rows.to_numpy()]
        for run_id in finished.loc[finished["name"] == name, "run_id"]:
            points = sorted((point.step, point.value) for point in client.get_metric_history(run_id, key))
            assert points == expected, name


def test_the_next_repro_has_nothing_to_do(broken: Broken) -> None:
    assert "Data and pipelines are up to date." in broken.clone.run("dvc", "repro")
