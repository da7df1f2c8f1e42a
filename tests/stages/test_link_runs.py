"""link_runs: models trained here, restored from DVC's cache, or unknown to the tracking store."""

from __future__ import annotations

import hashlib
import json
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from ganscribe import tracking


def link(script: Path, pipeline: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """Run the stage in the DVC experiment `pipeline`; its lines."""
    monkeypatch.setenv("DVC_EXP_NAME", pipeline)
    monkeypatch.syspath_prepend(script.parent)
    done = CliRunner().invoke(runpy.run_path(str(script))["main"], arguments, catch_exceptions=False)
    return done.stdout.splitlines()


def test_links(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = project / "stages/link_runs.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for path, family, name in (
        ("models/gan/dcgan", "gan", "dcgan"),
        ("models/captioner/best", "captioner", "best"),
    ):
        Path(path).mkdir(parents=True)
        key = {"family": family, "name": name, "run_key": name * 4}
        Path(path, "run_key.json").write_text(json.dumps(key))
    for path, scores in (
        ("metrics/gan/dcgan.json", {"fid": 20.5, "judge": "lenet5"}),
        ("metrics/gan/gan.json", {"fid": 100}),
        (
            "metrics/captioner/best.json",
            {"beam": {"CIDEr": 0.4, "SPICE": "not installed"}, "greedy": {"CIDEr": 0.3}},
        ),
    ):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(scores))
    lock = "schema: '2.0'\nstages: {}\n"
    Path("dvc.lock").write_text(lock)
    monkeypatch.setenv("DVC_EXP_NAME", "first")
    with tracking.training_run(family="gan", name="dcgan", run_key="dcgan" * 4, params={}, inputs=[]):
        pass

    assert link(script, "first", monkeypatch) == ["captioner/best: restored", "gan/dcgan: trained"]
    for _ in range(2):  # a second time changes nothing
        assert link(script, "second", monkeypatch) == ["captioner/best: restored", "gan/dcgan: linked"]

    client = tracking.open_client()
    gan, captioner = (tracking.find_run(client, name * 4) for name in ("dcgan", "best"))
    assert gan is not None and captioner is not None
    digest = hashlib.sha256(lock.encode()).hexdigest()
    assert gan.data.tags["pipeline"] == "first"
    assert gan.data.tags["linked.second"] == digest
    assert "linked.first" not in gan.data.tags
    assert captioner.data.tags["restored"] == "true"
    assert captioner.data.tags["linked.second"] == digest
    assert captioner.data.metrics == {"beam.CIDEr": 0.4, "greedy.CIDEr": 0.3}
    assert captioner.data.tags["beam.SPICE"] == "not installed"
    assert [len(tracking.find_runs(client, name * 4)) for name in ("dcgan", "best")] == [1, 1]


def test_the_zoo_has_a_home_of_its_own(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for home, name, accuracy in ((Path(), "lenet5", 0.9), (Path("zoo"), "vgg11", 0.8)):
        model, scores = home / "models" / name / "run_key.json", home / f"metrics/classifiers/{name}.json"
        model.parent.mkdir(parents=True)
        model.write_text(json.dumps({"family": "classifier", "name": name, "run_key": name * 4}))
        scores.parent.mkdir(parents=True)
        scores.write_text(json.dumps({"accuracy": accuracy}))
    script = project / "stages/link_runs.py"
    assert link(script, "first", monkeypatch) == ["classifier/lenet5: restored"]
    assert link(script, "first", monkeypatch, "--home", "zoo") == ["classifier/vgg11: restored"]
    run = tracking.find_run(tracking.open_client(), "vgg11" * 4)
    assert run is not None and run.data.metrics == {"accuracy": 0.8}
