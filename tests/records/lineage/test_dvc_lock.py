"""The reader of dvc.lock finds the same as a YAML parser reads in the whole of dvc.lock."""

from __future__ import annotations

from pathlib import Path

from ganscribe import config
from ganscribe.records.lineage import dvc_lock


def test_outputs_and_stages_are_those_of_the_parsed_file(project: Path) -> None:
    text = (project / "dvc.lock").read_text()
    whole = config.parse_yaml(text)["stages"]
    outputs = dvc_lock.read_outputs(text)
    assert {path: (out.stage, out.md5) for path, out in outputs.items()} == {
        out["path"]: (name, out["md5"]) for name, entry in whole.items() for out in entry.get("outs", [])
    }
    for name in ("train_gan@dcgan", "link_runs", "download@mnist"):
        stage = dvc_lock.read_stage(text, name)
        assert stage is not None
        assert stage.deps == {dep["path"]: dep["md5"] for dep in whole[name]["deps"]}
        for file, params in whole[name].get("params", {}).items():
            for key, value in dvc_lock.flatten(params).items():
                assert stage.params[f"{file}:{key}"] == value
    stage = dvc_lock.read_stage(text, "train_gan@dcgan")
    assert stage is not None
    assert list(stage.data) == ["data/mnist"]


def test_a_file_belongs_to_the_output_that_holds_it(project: Path) -> None:
    text = (project / "dvc.lock").read_text()
    owner = dvc_lock.owner_of(text, "models/gan/dcgan/snapshots/step-000001.pt")
    assert owner is not None
    assert (owner.path, owner.stage, owner.is_folder) == ("models/gan/dcgan", "train_gan@dcgan", True)
    assert all(
        dvc_lock.owner_of(text, path) == output for path, output in dvc_lock.read_outputs(text).items()
    )
    for other in ("README.md", "models/gan", "models/gan/dcgan2", "gan/dcgan"):
        assert dvc_lock.owner_of(text, other) is None


def test_a_path_that_yaml_quotes_is_found(tmp_path: Path) -> None:
    from dvc.utils.serialize import dump_yaml

    outs = [{"path": path, "hash": "md5", "md5": "0"} for path in ("plain", "a: b", "it's #1", "'", "a 'b'")]
    dump_yaml(tmp_path / "dvc.lock", {"schema": "2.0", "stages": {"one": {"cmd": "true", "outs": outs}}})
    text = (tmp_path / "dvc.lock").read_text()
    for out in outs:
        for path in (out["path"], f"{out['path']}/part"):
            owner = dvc_lock.owner_of(text, path)
            assert owner is not None and owner.path == out["path"]


def test_code_is_no_data_be_it_files_or_rooms() -> None:
    paths = ("data/mnist", "stages/train_gan.py", "src/ganscribe/core", "src/ganscribe/seeds.py")
    stage = dvc_lock.Stage(name="train_gan@dcgan", deps=dict.fromkeys(paths, "0"), params={}, outs={})
    assert list(stage.data) == ["data/mnist"]


def test_an_empty_lock_has_nothing() -> None:
    for text in ("", "schema: '2.0'\nstages: {}\n"):
        assert dvc_lock.read_outputs(text) == {}
        assert dvc_lock.read_stage(text, "train") is None
