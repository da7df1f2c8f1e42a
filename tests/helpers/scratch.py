"""A scratch clone of the project, shortened and at the tiny scale, for the real `dvc repro`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

RUNS = ("gan", "dcgan")  # of each kind of stage a few: every recipe trains in gan/test_recipes.py
CLASSIFIERS = ("lenet5",)
CAPTIONER = "best"  # the one with every option that the other has, and more
LEFT_OUT = (  # need the other runs, or much time
    "measure_gradients",
    "score_snapshots",
    "diagnose_gradient_vanishing",
    "diagnose_gradient_instability",
    "diagnose_critic_tracks_quality",
    "diagnose_without_batch_norm",
    "diagnose_adam_on_wgan",
    "judge_gans",
    "compare_judges",
)


def shorten(folder: Path) -> None:
    """Leave the pipeline in `folder` with RUNS, CLASSIFIERS, CAPTIONER and the stages that need no other."""
    yaml = YAML()
    trees = {name: yaml.load(folder / name) for name in ("params.yaml", "params/tiny.yaml", "dvc.yaml")}
    for family, kept in (("gan", RUNS), ("classifier", CLASSIFIERS), ("captioner", (CAPTIONER,))):
        for runs in (trees["params.yaml"][family]["runs"], trees["params/tiny.yaml"]["max_updates"][family]):
            for name in set(runs) - set(kept):
                del runs[name]
    for name in LEFT_OUT:
        del trees["dvc.yaml"]["stages"][name]
    trees["params.yaml"]["judges"] = ["lenet5", "vgg11"]  # any that have a recipe: they are left out
    for name in ("download", "prepare_images"):
        trees["dvc.yaml"]["stages"][name]["foreach"].remove("cifar10")  # no run is left that needs it
    trees["dvc.yaml"]["stages"]["report"]["deps"].remove("data/cifar10")
    del trees["dvc.yaml"]["plots"]  # they name every run's files
    for name, tree in trees.items():
        yaml.dump(tree, folder / name)


class Clone:
    """A scratch copy of the project with a repository of its own; `is_whole`: with all its stages."""

    def __init__(self, project: Path, folder: Path, *, is_whole: bool = False) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (project / name).is_file() and name.split("/")[0] not in ("metrics", "curves", "dvc.lock"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(project / name, folder / name)
        params = folder / "params.yaml"
        text = params.read_text().replace("scale: sample ", "scale: tiny ", 1)
        params.write_text(text.replace("images_per_shard: 512", "images_per_shard: 16"))  # three shards
        if not is_whole:
            shorten(folder)
        self.run("git", "init", "--quiet")
        self.commit("start")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GANSCRIBE_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        quiet = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return {**kept, **quiet, "PATH": path, **more}

    def run(self, *command: str, succeeds: bool = True, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode == 0) == succeeds, f"{' '.join(command)}\n{done.stdout[-6000:]}"
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message)

    def runs(self) -> pd.DataFrame:
        """Every MLflow run of the clone's own store."""
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        found = client.search_runs(experiments, max_results=1000)
        return pd.DataFrame(
            {
                "run_id": run.info.run_id,
                "name": run.info.run_name,
                "status": run.info.status,
                **run.data.tags,
                **run.data.metrics,
            }
            for run in found
        )
