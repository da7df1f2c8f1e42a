"""Lineage with the real DVC and git: what is said, and that the commands bring the bytes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganscribe import lineage, store
from ganscribe.lineage import Lineage

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
from ganscribe import config, provenance, tracking
from ganscribe.runtime import write_json

params = config.read_yaml(Path("params.yaml"))["gan"]["runs"]["mini"]
key = provenance.run_key(Path(__file__), params, [Path("data.txt")])
with tracking.training_run(
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

    def run(self, command: str) -> str:
        """A line of shell, as a person types it in the project's folder."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
        more = {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(self.folder / "src")}
        more["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
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

    def follow(self, found: Lineage) -> str:
        """Clear the working folder, then do what the lineage says, to the letter; what the commands print."""
        shutil.rmtree(self.folder / "models")
        return "".join(self.run(command) for command in found.commands)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def mini(project: Path, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Miniature:
    """Trained once and committed, then trained again with changes that nobody has committed."""
    mini = Miniature(project, tmp_path_factory.mktemp("a project") / "mini")
    patch.chdir(mini.folder)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        patch.delenv(name, raising=False)
    mini.ids[1] = mini.train(1)
    mini.commits = {"start": mini.run("git rev-parse HEAD").strip(), "one": mini.commit("one step")}
    (mini.folder / "untracked.txt").write_text("in the way")
    mini.ids[2] = mini.train(2)
    return mini


def test_what_is_said_of_a_file(mini: Miniature) -> None:
    found = lineage.trace("models/gan/mini/weights.txt")
    assert found.output is not None
    assert found.run is not None
    assert found.is_here
    assert found.output.path == "models/gan/mini"
    assert found.output.stage == "train_gan@mini"
    assert found.output.md5 in (mini.folder / "dvc.lock").read_text()
    assert found.run.run_id == mini.ids[2]
    assert found.commit == mini.commits["one"]
    assert found.is_dirty
    assert found.params == {"params.yaml:gan.runs.mini.steps": 2}
    assert list(found.data) == ["data.txt"]
    assert found.recorded == []
    assert any("untracked.txt" in text for text in found.warnings)
    text = lineage.as_text(found)
    for part in (mini.ids[2], mini.commits["one"], found.output.md5, "steps = 2", *found.commands):
        assert part in text


def test_a_metrics_file_leads_to_the_run_of_its_model(mini: Miniature) -> None:
    found = lineage.trace("metrics/gan/mini.json")
    assert found.run is not None
    assert found.run.run_id == mini.ids[2]


def test_what_no_longer_matches_is_said(mini: Miniature) -> None:
    weights = mini.folder / "models/gan/mini/weights.txt"
    whole = weights.read_text()
    weights.unlink()  # a link into the cache
    weights.write_text("something else")
    found = lineage.trace("models/gan/mini")
    assert not found.is_here
    assert "models/gan/mini/weights.txt has changed since dvc.lock" in found.warnings
    assert found.commands == ["dvc checkout --force models/gan/mini"]
    mini.run(found.commands[0])
    assert weights.read_text() == whole

    client = store.open_existing()
    client.delete_run(mini.ids[2])
    assert any("deleted" in text for text in lineage.trace("models/gan/mini").warnings)
    client.restore_run(mini.ids[2])
    for stranger, reason in (("abcdef0123", "no run has this id"), ("README.md", "recorded by no dvc.lock")):
        with pytest.raises((ValueError, FileNotFoundError), match=reason):
            lineage.trace(stranger)

    client.set_tag(mini.ids[2], "git.commit", "f" * 40)
    found = lineage.trace(mini.ids[2])
    assert any("is not in this repository" in text for text in found.warnings)
    assert found.commands == []
    client.set_tag(mini.ids[2], "git.commit", mini.commits["one"])


def test_a_hash_that_the_cache_has_lost_is_said(mini: Miniature) -> None:
    found = lineage.trace(mini.ids[2][:8])
    assert found.output is not None
    md5 = found.output.md5
    listing = mini.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.rename(listing.with_suffix(".away"))
    warnings = lineage.trace(mini.ids[2]).warnings
    listing.with_suffix(".away").rename(listing)
    assert any("is not in DVC's cache, and no remote is configured" in text for text in warnings)


def test_the_commands_bring_a_committed_model_back(mini: Miniature) -> None:
    found = lineage.trace(mini.ids[1])
    assert [each.commit for each in found.recorded] == [mini.commits["one"]]
    assert found.commit == mini.commits["start"]
    assert not found.is_dirty
    mini.follow(found)
    assert mini.weights() == "numbers after 1"


def test_the_commands_bring_back_a_model_that_nobody_committed(mini: Miniature) -> None:
    found = lineage.trace(mini.ids[2])
    assert found.recorded == []
    assert found.output is not None
    assert found.output.md5 not in (mini.folder / "dvc.lock").read_text()
    output = mini.follow(found)
    assert mini.weights() == "numbers after 2"
    assert "is cached" in output, "DVC takes it from its run cache, nothing is trained again"
