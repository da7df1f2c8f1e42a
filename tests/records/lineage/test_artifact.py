"""Lineage with the real DVC and git: what is said, and that the commands bring the bytes back."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ganscribe.records import store
from ganscribe.records.lineage import artifact, restore
from miniature import Miniature


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def entered(project: Path, folder: Path, patch: pytest.MonkeyPatch) -> Miniature:
    """A miniature in `folder`, which becomes the working folder of a process that knows no other project."""
    mini = Miniature(project, folder)
    patch.chdir(mini.folder)
    for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        patch.delenv(name, raising=False)
    return mini


@pytest.fixture(scope="module")
def mini(project: Path, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Miniature:
    """Trained once and committed, then trained again with changes that nobody has committed."""
    mini = entered(project, tmp_path_factory.mktemp("a project") / "mini", patch)
    mini.ids[1] = mini.train(1)
    mini.commits = {"start": mini.run("git rev-parse HEAD").strip(), "one": mini.commit("one step")}
    (mini.folder / "untracked.txt").write_text("in the way")
    mini.ids[2] = mini.train(2)
    return mini


def test_what_is_said_of_a_file(mini: Miniature) -> None:
    left = mini.folder / "models/gan/mini/.left.tmp"
    left.touch()  # by a DVC that was killed: it ignores that itself
    assert artifact.trace("models/gan/mini").is_here
    left.unlink()
    found = artifact.trace("models/gan/mini/weights.txt")
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
    text = artifact.as_text(found)
    for part in (mini.ids[2], mini.commits["one"], found.output.md5, "steps = 2", *found.commands):
        assert part in text
    assert "(a plain `dvc repro`)" in text
    found.run.tags["dvc.exp_name"] = "longer"
    assert "(the DVC experiment longer)" in artifact.as_text(found)


def test_a_model_that_was_sent_is_known_by_its_run_key(mini: Miniature, tmp_path: Path) -> None:
    for folder in (tmp_path / "sent", mini.folder / "sent"):
        shutil.copytree(mini.folder / "models/gan/mini", folder)
        (folder / ".DS_Store").touch()
        weights = folder / "weights.txt"
        for subject in (folder, weights):
            found = artifact.trace(str(subject))
            assert found.run is not None and found.output is not None
            assert (found.run.run_id, found.output.path) == (mini.ids[2], "models/gan/mini")
            assert not any("as the run left it" in text for text in found.warnings)
            assert mini.commits["one"] in artifact.as_text(found)
            assert json.loads(json.dumps(asdict(found)))["subject"] == str(subject)
        weights.unlink()  # a link into the cache
        weights.write_text("something else")
        assert f"not as the run left it: {weights}" in artifact.trace(str(folder)).warnings
        key = folder / "run_key.json"
        for text, reason in (('{"run_key": "0a"}', "MLflow has no run of the key 0a"), ("[]", "is damaged")):
            key.unlink()
            key.write_text(text)
            with pytest.raises((ValueError, FileNotFoundError), match=reason):
                artifact.trace(str(weights))
        key.unlink()
        with pytest.raises(FileNotFoundError, match=r"ask for its run_key\.json"):
            artifact.trace(str(weights))
        shutil.rmtree(folder)


def test_digits_that_several_ids_begin_with_are_named() -> None:
    facts = {"name": "mini", "family": "gan", "status": "FINISHED", "started": 0}
    runs = [store.RunRecord(run_id=f"abcdef{digit}", **facts) for digit in "12"]
    with pytest.raises(ValueError, match="abcdef: the ids of 2 runs begin like this"):
        artifact._from_id(artifact.Lineage(subject="abcdef"), runs)


def test_a_metrics_file_leads_to_the_run_of_its_model(mini: Miniature) -> None:
    found = artifact.trace("metrics/gan/mini.json")
    assert found.run is not None
    assert found.run.run_id == mini.ids[2]


def test_what_no_longer_matches_is_said(mini: Miniature) -> None:
    weights = mini.folder / "models/gan/mini/weights.txt"
    whole = weights.read_text()
    weights.unlink()  # a link into the cache
    weights.write_text("something else")
    found = artifact.trace("models/gan/mini")
    assert not found.is_here
    assert "models/gan/mini/weights.txt has changed since dvc.lock" in found.warnings
    assert found.commands == ["dvc checkout --force models/gan/mini"]
    mini.run(found.commands[0])
    assert weights.read_text() == whole

    client = store.open_existing()
    client.delete_run(mini.ids[2])
    assert any("deleted" in text for text in artifact.trace("models/gan/mini").warnings)
    client.restore_run(mini.ids[2])
    for stranger, reason in (("abcdef0123", "no run has this id"), ("README.md", "no dvc.lock records")):
        with pytest.raises((ValueError, FileNotFoundError), match=reason):
            artifact.trace(stranger)

    client.set_tag(mini.ids[2], "git.commit", "f" * 40)
    found = artifact.trace(mini.ids[2])
    assert any("is not in this repository" in text for text in found.warnings)
    assert found.commands == []
    client.set_tag(mini.ids[2], "git.commit", mini.commits["one"])


def test_a_hash_that_the_cache_has_lost_is_said(mini: Miniature) -> None:
    found = artifact.trace(mini.ids[2][:8])
    assert found.output is not None
    md5 = found.output.md5
    listing = mini.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.rename(listing.with_suffix(".away"))
    warnings = artifact.trace(mini.ids[2]).warnings
    listing.with_suffix(".away").rename(listing)
    assert any("is not in DVC's cache, and no remote is configured" in text for text in warnings)


def test_the_commands_bring_a_committed_model_back(mini: Miniature) -> None:
    found = artifact.trace(mini.ids[1])
    assert [each.commit for each in found.recorded] == [mini.commits["one"]]
    assert found.commit == mini.commits["start"]
    assert not found.is_dirty
    mini.follow(found.commands)
    assert mini.weights() == "numbers after 1"
    text = artifact.as_text(artifact.trace("models/gan/mini"))
    assert "\nIt is here. To bring it back another time, in" in text


def test_what_the_present_commit_records_needs_no_other_commit(
    mini: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a fresh clone, whose cache is empty: it stays on its branch."""
    begin = restore.Cache.__init__

    def with_remote(self: restore.Cache, repo: Any) -> None:
        begin(self, repo)
        self.has_remote = True

    cache, away = mini.folder / ".dvc/cache", mini.folder / ".dvc/away"
    cache.rename(away)
    shutil.rmtree(mini.folder / "models")
    found = artifact.trace("models/gan/mini")
    assert not found.is_here
    assert found.commands == ["dvc repro train_gan@mini"]
    monkeypatch.setattr(restore.Cache, "__init__", with_remote)
    assert artifact.trace("models/gan/mini").commands == ["dvc pull --force models/gan/mini"]
    monkeypatch.undo()
    (mini.folder / "train.py").write_text((mini.folder / "train.py").read_text() + "# changed\n")
    assert f"git checkout {mini.commits['one']}" in artifact.trace("models/gan/mini").commands
    mini.run("git checkout train.py")
    shutil.rmtree(cache, ignore_errors=True)
    away.rename(cache)
    mini.run("dvc checkout")


def test_the_commands_bring_back_a_model_that_nobody_committed(mini: Miniature) -> None:
    found = artifact.trace(mini.ids[2])
    assert found.recorded == []
    assert found.output is not None
    assert found.output.md5 not in (mini.folder / "dvc.lock").read_text()
    output = mini.follow(found.commands)
    assert mini.weights() == "numbers after 2"
    assert "is cached" in output, "DVC takes it from its run cache, nothing is trained again"


def test_what_has_no_run_and_is_in_no_commit_has_a_way_back(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the report after a first build."""
    mini = entered(project, tmp_path / "mini", monkeypatch)
    mini.run("dvc stage add --run --name report --outs report.html 'echo all > report.html'")
    found = artifact.trace("report.html")
    assert (found.is_here, found.run, found.recorded) == (True, None, [])
    assert any("no commit records it yet" in text for text in found.warnings)
    (mini.folder / "report.html").unlink()
    for command in found.commands:
        mini.run(command)
    assert (mini.folder / "report.html").read_text() == "all\n"


def test_what_was_changed_through_a_hard_link_has_a_way_back(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy in DVC's cache is the same file, and `dvc checkout` would put it back as it is now."""
    mini = entered(project, tmp_path / "mini", monkeypatch)
    mini.run("dvc config cache.type hardlink")
    mini.run(
        "dvc stage add --run --name report --outs page 'mkdir page && echo all > page/a && echo b > page/b'"
    )
    page = mini.folder / "page/a"
    assert page.stat().st_nlink > 1
    page.chmod(0o644)
    with page.open("r+") as file:
        file.write("ALL")
    found = artifact.trace("page")
    assert "page/a has changed since dvc.lock" in found.warnings
    assert any("damaged copies of 1 of its files" in text for text in found.warnings)
    for command in found.commands:
        mini.run(command)
    assert page.read_text() == "all\n"
    assert artifact.trace("page").is_here


ZOO_YAML = """\
stages:
  train_classifier:
    foreach: [small]
    do:
      wdir: ..
      cmd: mkdir -p models/classifiers/${item} && cp data.txt models/classifiers/${item}/weights.txt
      deps: [data.txt]
      outs: ["models/classifiers/${item}"]
"""


def test_a_network_of_the_zoo_has_a_way_back(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini = entered(project, tmp_path / "mini", monkeypatch)
    weights, stage = Path("models/classifiers/small/weights.txt"), "zoo/dvc.yaml:train_classifier@small"
    Path("zoo").mkdir()
    Path("zoo/dvc.yaml").write_text(ZOO_YAML)
    mini.run(f"dvc repro {stage}")
    commit = mini.commit("the zoo")
    found = artifact.trace(str(weights))
    assert found.output is not None
    assert (found.output.path, found.output.stage, found.is_here) == (str(weights.parent), stage, True)
    assert list(found.data) == ["data.txt"]
    assert [each.commit for each in found.recorded] == [commit]
    Path("zoo/dvc.lock").unlink()
    mini.commit("no zoo")
    found = artifact.trace(str(weights))
    assert any(f"the commit {commit[:7]} does" in text for text in found.warnings)
    mini.follow(found.commands)
    assert weights.read_text() == "numbers"


OLD_YAML = """\
stages:
  train_gan:
    foreach: [dcgan]
    do:
      cmd: python stages/train_gan.py ${item}
      deps: [src/ganscribe/runtime.py, stages/train_gan.py, data/mnist]
      params: [gan.runs.dcgan]
      outs: [models/gan/dcgan]
"""
OLD_LOCK = """\
schema: '2.0'
stages:
  train_gan@dcgan:
    cmd: python stages/train_gan.py dcgan
    deps:
    - path: data/mnist
      hash: md5
      md5: 1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a.dir
      size: 3
      nfiles: 3
    - path: src/ganscribe/runtime.py
      hash: md5
      md5: 2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b
      size: 3
    - path: stages/train_gan.py
      hash: md5
      md5: 3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c
      size: 3
    params:
      params.yaml:
        gan.runs.dcgan:
          steps: 7
    outs:
    - path: models/gan/dcgan
      hash: md5
      md5: MODEL
      size: 3
      nfiles: 2
"""


def cached(folder: Path, content: bytes, suffix: str = "") -> str:
    """Put an object into DVC's cache, as it lies there; its md5."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    path = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


def test_a_model_that_only_a_commit_of_the_old_layout_records(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini = entered(project, tmp_path / "mini", monkeypatch)
    key = json.dumps({"family": "gan", "name": "dcgan", "run_key": "the key"}).encode()
    files = [
        {"md5": cached(mini.folder, content), "relpath": name}
        for name, content in (("generator.safetensors", b"weights"), ("run_key.json", key))
    ]
    model = cached(mini.folder, json.dumps(files).encode(), ".dir")
    new = (mini.folder / "dvc.yaml").read_text()
    (mini.folder / "dvc.yaml").write_text(OLD_YAML)
    (mini.folder / "dvc.lock").write_text(OLD_LOCK.replace("MODEL", model))
    old_commit = mini.commit("the old layout")
    (mini.folder / "dvc.yaml").write_text(new)
    (mini.folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    mini.commit("the new layout")
    client = store.open_client()
    tags = {"dvc.stage": "train_gan@dcgan", "run_key": "the key", "git.commit": old_commit}
    run = client.create_run(store.experiment_id(client, "gan"), tags=tags)
    client.set_terminated(run.info.run_id)

    found = artifact.trace("models/gan/dcgan/generator.safetensors")
    assert found.output is not None and found.output.md5 == model
    assert found.run is not None and found.run.run_id == run.info.run_id
    assert found.params == {"params.yaml:gan.runs.dcgan.steps": 7}
    assert list(found.data) == ["data/mnist"]
    assert [each.commit for each in found.recorded] == [old_commit]
    assert any(f"the commit {old_commit[:7]} does" in text for text in found.warnings)
    (mini.folder / "models").mkdir(exist_ok=True)
    mini.follow(found.commands)
    assert (mini.folder / "models/gan/dcgan/generator.safetensors").read_bytes() == b"weights"
    found = artifact.trace(run.info.run_id)
    assert found.output is not None and found.output.md5 == model
