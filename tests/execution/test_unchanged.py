"""What DVC would record wrongly, because it changed while a stage was at work, is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ganscribe.execution import unchanged
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.records.lineage.run_key import run_key

STAGES = """
stages:
  train:
    foreach: ${runs}
    do:
      cmd: python stages/train.py ${key}
      deps: [stages/train.py, src/pack/core, "src/pack/networks/${item.network}.py"]
      params: [seed, "runs.${key}", params/tiny.yaml: [amounts]]
      outs: ["models/${key}"]
"""
FILES = {
    ".dvcignore": Path(__file__).parents[2].joinpath(".dvcignore").read_text(),
    ".dvc/config": "[core]\n    no_scm = True\n",
    "dvc.yaml": STAGES,
    "params.yaml": "seed: 0\nrate: 1\nruns:\n  one: {network: mlp}\n  two: {network: dcgan, cap: 3}\n",
    "params/tiny.yaml": "amounts: {images: 5}\nother: 1\n",
    "stages/train.py": "1\n",
    "stages/report.py": "1\n",
    "src/pack/core/seeds.py": "1\n",
    "src/pack/networks/mlp.py": "1\n",
    "src/pack/networks/dcgan.py": "1\n",
}


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A small project, in which the stage train@two has just begun; the function changes a file of it."""

    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    for name, text in FILES.items():
        put(name, text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unchanged, "_noted", {})
    monkeypatch.setattr(unchanged, "_inputs", {})
    monkeypatch.setenv("DVC_STAGE", "train@two")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    unchanged.note()
    return put


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("params.yaml", "seed: 0", "seed: 1", r"seed \(params.yaml\) changed while train@two was at work"),
        (
            "params.yaml",
            "cap: 3",
            "cap: 4, steps: 9",
            r"^runs.two \(params.yaml\) changed",
        ),
        ("params.yaml", "dcgan, cap: 3", "mlp, cap: 3", r"^runs.two \(params.yaml\) changed"),
        ("params.yaml", "two:", "three:", "^params.yaml changed"),  # DVC has no such stage any more
        ("params.yaml", "seed: 0", "seed: {", "^params.yaml changed"),
        ("params/tiny.yaml", "5", "6", r"^amounts \(params/tiny.yaml\) changed"),
        ("stages/train.py", "1", "2", "^stages/train.py changed"),
        ("src/pack/core/seeds.py", "1", "2", "^src/pack/core/seeds.py changed"),
        ("src/pack/networks/dcgan.py", "1", "2", "^src/pack/networks/dcgan.py changed"),
    ],
)
def test_a_change_of_what_the_stage_depends_on_is_refused(
    put: Callable[[str, str], None], name: str, old: str, new: str, said: str
) -> None:
    put(name, FILES[name].replace(old, new))
    with pytest.raises(ValueError, match=said):
        unchanged.check()
    put(name, FILES[name])
    unchanged.check()


def test_other_changes_are_not(put: Callable[[str, str], None]) -> None:
    put(
        "params.yaml",
        FILES["params.yaml"].replace("rate: 1", "rate: 2").replace("mlp}", "mlp, cap: 9}") + "#\n",
    )
    put("params/tiny.yaml", FILES["params/tiny.yaml"].replace("other: 1", "other: 2"))
    put("stages/report.py", "2\n")
    put("src/pack/networks/mlp.py", "2\n")
    put("src/pack/networks/new.py", "2\n")
    for ignored in (".DS_Store", ".seeds.py.swp", ".seeds.py.swo", "seeds.py~", ".#seeds.py", "#seeds.py#"):
        put(f"src/pack/core/{ignored}", "2\n")  # DVC ignores them; all but the first are editors'
    unchanged.check()
    put("src/pack/core/new.py", "2\n")
    with pytest.raises(ValueError, match=r"^src/pack/core/new.py changed"):
        unchanged.check()


def test_files_that_vanish_while_they_are_read_do_no_harm(
    put: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an editor's or git's own files do."""
    read, walk = Path.read_bytes, os.scandir

    def vanishing(path: Path) -> bytes:
        if path.name == "4913":
            path.unlink()
        return read(path)

    def vanishing_folder(path: str) -> object:
        if Path(path).name == "gone":
            Path(path).rmdir()
        return walk(path)

    monkeypatch.setattr(Path, "read_bytes", vanishing)
    monkeypatch.setattr(os, "scandir", vanishing_folder)
    put("src/pack/core/4913", "2\n")
    Path("src/pack/core/gone").mkdir()
    unchanged.check()
    assert not Path("src/pack/core/4913").exists()
    assert not Path("src/pack/core/gone").exists()


def test_inputs_that_another_program_replaces_are_refused(put: Callable[[str, str], None]) -> None:
    """Such as `dvc checkout`, which DVC allows while a stage is at work."""
    put("data/train.parquet", "old\n")
    put("data/shards/0.parquet", "0\n")
    inputs = [Path("data/train.parquet"), Path("data/shards")]
    run_key(Path("stages/train.py"), {}, inputs)
    unchanged.check()
    for name, old in (("data/train.parquet", "old\n"), ("data/shards/0.parquet", "0\n")):
        put("new", "new\n")
        Path("new").replace(name)
        with pytest.raises(ValueError, match=r"^data/(train.parquet|shards) changed while train@two"):
            unchanged.check()
        Path(name).unlink()
        with pytest.raises(ValueError, match=r"^data/(train.parquet|shards) changed while train@two"):
            unchanged.check()
        put(name, old)  # of the same content, at another time
        unchanged.check()
    put("data/shards/1.parquet", "1\n")
    with pytest.raises(ValueError, match=r"^data/shards changed"):
        unchanged.check()


def test_the_saved_state_of_a_refused_training_is_kept(put: Callable[[str, str], None]) -> None:
    with pytest.raises(ValueError, match="seed"), open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 3})
        put("params.yaml", FILES["params.yaml"].replace("seed: 0", "seed: 1"))
    put("params.yaml", FILES["params.yaml"])
    with open_checkpoint("key") as checkpoint:
        assert checkpoint.load() == {"step": 3}
    assert not Path(".checkpoints/key").exists()
