"""A project with one stage that trains in no time, for tests of what surrounds a training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ganscribe.records import store

DVC_YAML = """\
stages:
  train_gan:
    foreach: [mini]
    do:
      cmd: python train.py
      deps: [train.py, data.txt]
      params: [gan.runs.mini]
      outs: [models/gan/mini]
      metrics:
        - metrics/gan/mini.json: {cache: false}
  link_runs:
    cmd: python stages/link_runs.py
    deps: [models, metrics]
"""

PARAMS = "scale: tiny\ngan:\n  runs:\n    mini: {steps: 1}\n"

TRAIN = """\
import json
from pathlib import Path
from ganscribe import config, records
from ganscribe.records.lineage import run_key
from ganscribe.core.files import write_json

params = config.read_yaml(Path("params.yaml"))["gan"]["runs"]["mini"]
key = run_key.run_key(Path(__file__), params, [Path("data.txt")])
with records.training_run(
    family="gan", name="mini", run_key=key, params=params, inputs=["data.txt"]
) as tracked:
    folder = Path("models/gan/mini")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.txt").write_text(f"{Path('data.txt').read_text()} after {params['steps']}")
    write_json(folder / "run_key.json", {"family": "gan", "name": "mini", "run_key": key})
    scores = {"fid": 10.0 / params["steps"], "judge": "lenet5", "num_samples": 5}
    write_json("metrics/gan/mini.json", scores)
    tracked.score(scores)
"""


class Miniature:
    """A project with one stage that trains in no time, a repository and a DVC cache of its own."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder = folder
        self.ids: dict[int, str] = {}
        self.commits: dict[str, str] = {}
        (folder / "stages").mkdir(parents=True)
        (folder / ".dvc").mkdir()
        for name in ("_common.py", "link_runs.py"):
            shutil.copy(project / "stages" / name, folder / "stages")
        (folder / "src").symlink_to(project / "src")
        shutil.copy(project / ".gitignore", folder)
        texts = {"dvc.yaml": DVC_YAML, "params.yaml": PARAMS, "train.py": TRAIN, "data.txt": "numbers"}
        texts |= {
            ".dvc/config": "",
            ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
            ".dvcignore": "__pycache__\nsrc\n",
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        for command in ("git init -q", "git config user.name t", "git config user.email t@example.org"):
            self.run(command)
        self.commit("start")

    def run(self, command: str, folder: Path | None = None, **environment: str) -> str:
        """A line of shell, as a person types it in the project's folder."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
        more = {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(self.folder / "src"), **environment}
        more["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env={**kept, **more},
            shell=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
        return done.stdout

    def commit(self, message: str) -> str:
        self.run(f"git add --all && git commit -qm '{message}'")
        return self.run("git rev-parse HEAD").strip()

    def train(self, steps: int) -> str:
        """Train with so many steps; the id of the MLflow run."""
        (self.folder / "params.yaml").write_text(PARAMS.replace("steps: 1", f"steps: {steps}"))
        self.run("dvc repro")
        return store.read_runs(store.open_existing(), "gan")[-1].run_id

    def weights(self) -> str:
        return (self.folder / "models/gan/mini/weights.txt").read_text()

    def follow(self, commands: Iterable[str]) -> str:
        """Clear the working folder, then do what the lineage says, to the letter; what the commands print."""
        shutil.rmtree(self.folder / "models")
        return "".join(self.run(command) for command in commands)
