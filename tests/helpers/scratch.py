"""A scratch clone of the project, shortened and at the tiny scale, for the real `dvc repro`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

RUNS = ("gan", "dcgan")  # of each kind of stage a few: every recipe trains in tests/gan/common/test_recipe.py
CLASSIFIERS = ("lenet5",)
CAPTIONER = "best"  # the one with every option that the other has, and more
LEFT_OUT = ("compare_judges",)  # needs other runs


def shorten(folder: Path) -> None:
    """Leave the pipeline in `folder` with RUNS, CLASSIFIERS, CAPTIONER and the stages that need no other."""
    yaml = YAML()
    trees = {name: yaml.load(folder / name) for name in ("params.yaml", "dvc.yaml")}
    params, stages = trees["params.yaml"], trees["dvc.yaml"]["stages"]
    for family, kept in (("gan", RUNS), ("classifier", CLASSIFIERS), ("captioner", (CAPTIONER,))):
        for name in set(params[family]["runs"]) - set(kept):
            del params[family]["runs"][name]
    measured = params["diagnostics"]["gradients"]["runs"]
    for name in set(measured) - set(RUNS):
        del measured[name]
    params["judges"] = list(CLASSIFIERS)
    for name in LEFT_OUT:
        del stages[name]
    for name in ("download", "prepare_images"):
        stages[name]["foreach"].remove("cifar10")  # no run is left that needs it
    for name in ("data/cifar10", "data/judges_compared"):
        stages["report"]["deps"].remove(name)
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
        # Of one time, so that the same files make the same commit, which the report names.
        times = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
        person = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        self.run("git", *person, "commit", "-qm", message, **times)

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
