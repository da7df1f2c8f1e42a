"""copies.py: the files of an MLflow run, in the layout of the project's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gans
from compared import gan_scores, write_run
from ganscribe import records
from ganscribe.records import sender, store
from ganscribe.records.lineage.copies import copy_run


@pytest.fixture
def folder(with_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    return with_store


def test_a_run_is_copied_as_it_lay_in_the_folder(folder: Path) -> None:
    params = {"objective": "lsgan", "betas": (0.5, 0.999), "classes": None, "options": {"a": 1, "b": {}}}
    write_run(folder, "gan", "dcgan", {"scores": gan_scores()}, **params)
    gans.save_generator(folder / "models/gan/dcgan/generator.safetensors")
    with records.training_run(
        family="gan",
        name="dcgan",
        run_key="key of dcgan",
        params={"seed": 0, "features": {"dtype": "f"}} | params,
        inputs=[],
    ) as tracked:
        tracked.log_files("curves/gan/dcgan.csv", folder="curves")
        tracked.log_model("generator", "models/gan/dcgan/generator.safetensors")
    with records.reopened_run("key of dcgan", family="gan", name="dcgan") as tracked:
        tracked.log_files("data/gan_scores/dcgan", folder="evaluation")
    sender.finish()
    client = store.open_client()
    (run,) = store.read_runs(client, "gan")
    places = {"curve": "curves/gan/dcgan.csv", "scores": "data/gan_scores/dcgan", "model": "models/gan/dcgan"}
    copy_run(client, run, folder / "copy", **places)
    for name in (
        "curves/gan/dcgan.csv",
        "data/gan_scores/dcgan/scores.json",
        "models/gan/dcgan/generator.safetensors",
    ):
        assert (folder / "copy" / name).read_bytes() == (folder / name).read_bytes(), name
    model = folder / "copy/models/gan/dcgan"
    assert json.loads((model / "run_key.json").read_text()) == {"run_key": "key of dcgan"}
    recipe = {"seed": 0, "objective": "lsgan", "betas": [0.5, 0.999], "classes": None, "options.a": 1}
    assert json.loads((model / "training.json").read_text()) == {"recipe": recipe}


def test_a_run_of_which_nothing_is_known(folder: Path) -> None:
    with records.training_run(family="gan", name="dcgan", run_key="k", params={}, inputs=[]):
        pass
    sender.finish()
    client = store.open_client()
    (run,) = store.read_runs(client, "gan")
    with pytest.raises(ValueError, match=f"the MLflow run {run.run_id} has no parameters"):
        copy_run(client, run, folder / "copy", curve="c.csv", scores="s", model="m")
