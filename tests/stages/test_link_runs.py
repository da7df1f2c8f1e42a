"""link_runs: models trained here, restored from DVC's cache, or unknown to the tracking store."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gans
from ganscribe import records
from ganscribe.records import store

LOCK = """\
schema: '2.0'
stages:
  train_gan@dcgan:
    cmd: python stages/train_gan.py dcgan
    outs:
    - path: models/gan/dcgan
      hash: md5
      md5: 9c1185a5c5e9fc54612808977ee8f548.dir
  train_captioner@best:
    cmd: python stages/train_captioner.py best
    deps:
    - path: data/tokens
      hash: md5
      md5: 77623204debea5bf98c6a3de9f8f3537.dir
    - path: stages/train_captioner.py
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e
    params:
      params.yaml:
        captioner.cap.sample: 100
        captioner.runs.best:
          epochs: 20
          cap: {sample: 200, tiny: 12}
    outs:
    - path: models/captioner/best
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e.dir
  tokenize_captions:
    cmd: python stages/tokenize_captions.py
    outs:
    - path: data/tokens
      hash: md5
      md5: 77623204debea5bf98c6a3de9f8f3537.dir
"""


@pytest.fixture
def link(workplace: Path, load_stage: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Run the stage in the DVC experiment that is named; its lines."""
    main = load_stage("link_runs")["main"]

    def run(pipeline: str) -> list[str]:
        monkeypatch.setenv("DVC_EXP_NAME", pipeline)
        return CliRunner().invoke(main, catch_exceptions=False).stdout.splitlines()

    return run


def test_links(link: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    for path, family, name in (
        ("models/gan/dcgan", "gan", "dcgan"),
        ("models/captioner/best", "captioner", "best"),
    ):
        Path(path).mkdir(parents=True)
        key = {"family": family, "name": name, "run_key": name * 4}
        Path(path, "run_key.json").write_text(json.dumps(key))
    shutil.copytree("models/gan/dcgan", "models/gan/.dcgan.tmp")  # half-written by a process that was killed
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
    lock = LOCK
    Path("dvc.lock").write_text(lock)
    Path("params.yaml").write_text("scale: sample\n")
    monkeypatch.setenv("DVC_EXP_NAME", "first")
    with records.training_run(family="gan", name="dcgan", run_key="dcgan" * 4, params={}, inputs=[]):
        pass

    assert link("first") == ["captioner/best: restored", "gan/dcgan: trained"]
    for _ in range(2):  # a second time changes nothing
        assert link("second") == ["captioner/best: restored", "gan/dcgan: linked"]

    client = store.open_client()
    gan, captioner = (store.find_run(client, name * 4) for name in ("dcgan", "best"))
    assert gan is not None and captioner is not None
    digest = hashlib.sha256(lock.encode()).hexdigest()
    assert gan.data.tags["pipeline"] == "first"
    assert gan.data.tags["linked.second"] == digest
    assert "linked.first" not in gan.data.tags
    assert gan.data.tags["dvc.out.models/gan/dcgan"] == "9c1185a5c5e9fc54612808977ee8f548.dir"
    assert captioner.data.tags["dvc.out.models/captioner/best"] == "d41d8cd98f00b204e9800998ecf8427e.dir"
    assert captioner.data.tags["dvc.stage"] == "train_captioner@best"
    assert captioner.data.tags["pipeline"] == "first", "where it was noted first"
    tags = store.as_record(captioner, "captioner").tags
    assert tags["input.data/tokens"] == "77623204debea5bf98c6a3de9f8f3537.dir"
    assert captioner.data.params == {"epochs": "20", "max_updates": "200"}, "as training calls them"
    assert captioner.data.tags["restored"] == "true"
    assert captioner.data.tags["linked.second"] == digest
    assert captioner.data.metrics == {"beam.CIDEr": 0.4, "greedy.CIDEr": 0.3}
    assert tags["beam.SPICE"] == "not installed"
    scores = [json.loads(value) for key, value in captioner.data.tags.items() if key.startswith("scores.")]
    assert [(each["beam.CIDEr"], each["pipeline"]) for each in scores] == [(0.4, "first")]
    assert [len(store.find_runs(client, name * 4)) for name in ("dcgan", "best")] == [1, 1]


def test_a_model_without_its_run_is_registered(link: Callable[[str], list[str]]) -> None:
    """As in a fresh clone that has pulled: the store is empty, models, scores and dvc.lock are there."""
    folder = Path("models/gan/dcgan")
    gans.save_generator(folder / "generator.safetensors")
    (folder / "run_key.json").write_text('{"family": "gan", "name": "dcgan", "run_key": "k"}')
    scores = Path("data/gan_scores/dcgan/scores.json")
    scores.parent.mkdir(parents=True)
    Path("dvc.lock").write_text(LOCK)
    for text in (None, '{"fid": 20.5, "judge": "lenet5", "num_samples": 10}', None):
        if text is not None:  # the scores are pulled later
            scores.write_text(text)
        assert link("pulled") == ["gan/dcgan: restored"]
    (version,) = store.read_versions(store.open_client())
    assert (version.name, version.version, version.aliases) == ("ganscribe-gan-dcgan", "1", ("candidate",))
    expected = {"dvc.md5": "9c1185a5c5e9fc54612808977ee8f548.dir", "dvc.path": "models/gan/dcgan"}
    assert (expected | {"fid": "20.5"}).items() <= version.tags.items()
    client = store.open_client()
    client.create_model_version(version.name, "nowhere")  # by another training, since
    client.set_registered_model_alias(version.name, "candidate", "2")
    link("pulled")
    assert [each.aliases for each in store.read_versions(client)] == [(), ("candidate",)]


def test_a_network_of_the_zoo_is_known_by_the_zoo_s_lock(link: Callable[[str], list[str]]) -> None:
    for folder, name, scores in (
        ("models/classifiers/lenet5", "lenet5", Path("metrics/classifiers/lenet5.json")),
        ("models/classifiers/vgg11", "vgg11", Path("zoo/metrics/classifiers/vgg11.json")),
    ):
        Path(folder).mkdir(parents=True)
        key = {"family": "classifier", "name": name, "run_key": name * 4}
        Path(folder, "run_key.json").write_text(json.dumps(key))
        scores.parent.mkdir(parents=True)
        scores.write_text(json.dumps({"accuracy": 0.9 if name == "lenet5" else 0.8}))
    Path("dvc.lock").write_text(LOCK)
    zoo = LOCK.replace("train_gan@dcgan", "train_classifier@vgg11")
    Path("zoo/dvc.lock").write_text(zoo.replace("models/gan/dcgan", "models/classifiers/vgg11"))
    lines = link("first")
    assert lines == ["classifier/lenet5: restored", "classifier/vgg11: restored"]
    client = store.open_client()
    lenet, vgg = (store.find_run(client, name * 4) for name in ("lenet5", "vgg11"))
    assert lenet is not None and lenet.data.metrics == {"accuracy": 0.9}
    assert vgg is not None and vgg.data.metrics == {"accuracy": 0.8}
    assert vgg.data.tags["dvc.stage"] == "zoo/dvc.yaml:train_classifier@vgg11"
    assert vgg.data.tags["dvc.out.models/classifiers/vgg11"] == "9c1185a5c5e9fc54612808977ee8f548.dir"
    assert vgg.data.tags["linked.first"] == hashlib.sha256(Path("zoo/dvc.lock").read_bytes()).hexdigest()


def test_a_captioner_may_have_the_name_of_a_decoding(workplace: Path, load_stage: Any) -> None:
    read_scores = load_stage("link_runs")["read_scores"]
    folder = Path("data/captioned/greedy")
    folder.mkdir(parents=True)
    scores = {"beam": {"CIDEr": 0.4}, "greedy": {"CIDEr": 0.3}}
    for way, each in scores.items():
        (folder / f"{way}.json").write_text(json.dumps(each))
    assert read_scores("captioner", "greedy") == scores
