"""What a stage says of the build that it is part of: by itself, and under the real DVC."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganscribe.execution import position

LOCK = """\
schema: '2.0'
stages:
  download:
    cmd: python stages/download.py
    deps:
    - path: src/ganscribe/core
      hash: md5
      md5: 0f.dir
    outs:
    - path: data/mnist
      hash: md5
      md5: 1f.dir
  train@dcgan:
    cmd: python stages/train.py dcgan
    deps:
    - path: data/mnist
      md5: 1f.dir
    params:
      params.yaml:
        gan.runs.dcgan:
          steps: 3
    outs:
    - path: models/gan/dcgan
      md5: 2f.dir
  train@gone:
    cmd: python stages/train.py gone
    deps:
    - path: data/mnist
      md5: 1f.dir
    outs:
    - path: models/gan/gone
      md5: 3f.dir
  train@wgan:
    cmd: python stages/train.py wgan
    deps:
    - path: data/mnist/train.parquet
      md5: 1f
    outs:
    - path: models/gan/wgan
      md5: 4f.dir
  report:
    cmd: python stages/report.py
    deps:
    - path: models/gan
      md5: 5f.dir
    outs:
    - path: report.html
      md5: 6f
  link:
    cmd: python stages/link.py
    deps:
    - path: models/gan
      md5: 5f.dir
"""
PARAMS = "scale: tiny\ngan:\n  runs: {dcgan: {steps: 3}, wgan: {steps: 3}}\n"
OUTPUTS = ("data/mnist", "models/gan/dcgan", "models/gan/wgan", "report.html")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which everything has been made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for path in OUTPUTS:
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def test_who_takes_something_from_whom() -> None:
    graph = position.read_graph(LOCK, PARAMS)
    assert {name: set(node.above) for name, node in graph.items()} == {
        "download": set(),
        "train@dcgan": {"download"},
        "train@wgan": {"download"},  # a file in what download makes
        "report": {"train@dcgan", "train@wgan"},  # a folder that holds what they make
        "link": {"train@dcgan", "train@wgan"},
    }
    assert position.needed_for(graph, ["train"]) == {"download", "train@dcgan", "train@wgan"}
    assert position.needed_for(graph, ["train@wgan"]) == {"download", "train@wgan"}


def test_what_is_still_to_come(folder: Path) -> None:
    graph = position.read_graph(LOCK, PARAMS)
    assert position.still_to_come(graph, ["train@dcgan"], folder) == {"report", "link"}
    assert position.still_to_come(graph, ["train@dcgan", "report", "link"], folder) == set()
    (folder / "models/gan/wgan").rmdir()
    assert position.still_to_come(graph, ["train@dcgan"], folder) == {"train@wgan", "report", "link"}
    assert position.still_to_come(graph, ["download"], folder) == set(graph) - {"download"}


def test_the_line(folder: Path) -> None:
    def said(*begun: str, words: tuple[str, ...] = ("dvc", "repro"), **known: float) -> str:
        return position.describe(begun[-1], list(begun), list(words), {"train@dcgan": 600.0} | known)

    everything = {"report": 30.0, "link": 5.0}
    assert said("download") == "stage 1 of 5, at least about 10 minutes to go, judging by earlier builds"
    assert (
        said("train@dcgan", **everything) == "stage 1 of 3, about 11 minutes to go, judging by earlier builds"
    )
    assert said("train@dcgan", "report", **everything) == (
        "stage 2 of 3, about 35 seconds to go, judging by earlier builds"
    )
    assert position.describe("download", ["download"], [], {}) == "stage 1 of 5"
    assert said("download", words=("dvc", "repro", "train@wgan")) == "stage 1 of 2"
    new = ("dvc", "exp", "run", "-S", "+runs.mine={steps: 3}", "train@mine")
    assert said("download", words=new) == "stage 1 of 2", "a run that dvc.lock does not know yet"
    assert said("download", "train@mine", words=new) == "stage 2 of 2"
    for alone in ("-s", "--single-item"):
        assert said("download", words=("dvc", "repro", alone, "download")) == ""
    (folder / "dvc.yaml").write_text("stages:\n  train:\n    foreach: [gone]\n")
    assert said("download").startswith("stage 1 of 6,"), "dvc.yaml names runs, too"
    (folder / "dvc.lock").unlink()
    assert said("download") == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 second"), (89, "89 seconds"), (100, "2 minutes"), (9000, "2.5 hours")]
)
def test_a_length_of_time(seconds: float, words: str) -> None:
    assert position.in_words(seconds) == words


def test_notes_that_cannot_be_read_or_written_stop_no_stage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = folder / position.NOTES
    notes.mkdir(parents=True)
    for name in ("build.json", "seconds-tiny.json"):
        (notes / name).write_text("{")
    with position.announced("download"):
        pass
    assert capsys.readouterr().err == "stage 1 of 5\n"
    assert list(json.loads((notes / "seconds-tiny.json").read_text())) == ["download"]
    for path in notes.iterdir():
        path.unlink()
    notes.rmdir()
    notes.write_text("in the way")
    with position.announced("download"):
        pass
    with pytest.raises(RuntimeError), position.announced("zoo/dvc.yaml:train@mini"):
        raise RuntimeError


def test_an_experiment_s_times_are_kept_in_the_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = folder / "copy of `dvc exp run --temp`"
    copy.mkdir()
    (copy / "params.yaml").write_text("scale: full  # for once\n")
    monkeypatch.chdir(copy)
    for stage in ("download", "report"):
        with position.announced(stage):
            pass
    with pytest.raises(RuntimeError), position.announced("link"):
        raise RuntimeError("which took less time than the whole stage takes")
    times = json.loads((folder / position.NOTES / "seconds-full.json").read_text())
    assert list(times) == ["download", "report"]


STAGE = """\
import sys
from pathlib import Path
from ganscribe.execution.one_process import only_process
with only_process():
    Path(sys.argv[1]).write_text(Path(sys.argv[2]).read_text())
"""
DVC_YAML = """\
stages:
  one: {cmd: "PYTHON stage.py a params.yaml", deps: [params.yaml], outs: [a]}
  two: {cmd: "PYTHON stage.py b a", deps: [a], outs: [b]}
  three: {cmd: "PYTHON stage.py c b", deps: [b], outs: [c]}
"""


def test_under_dvc(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML.replace("PYTHON", sys.executable))
    (tmp_path / "params.yaml").write_text("scale: tiny\n")

    def dvc(*words: str) -> list[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
        environment |= {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(Path(position.__file__).parents[2])}
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return re.findall(r"^stage .*$", done.stderr, re.MULTILINE)

    dvc("init", "--no-scm", "--quiet")
    assert dvc("repro") == ["stage 2 of 2", "stage 3 of 3"], "dvc.lock names what has been made"
    (tmp_path / "params.yaml").write_text("scale: tiny  # again\n")
    lines = dvc("repro")
    assert [line.partition(",")[0] for line in lines] == ["stage 1 of 3", "stage 2 of 3", "stage 3 of 3"]
    assert all("to go, judging by earlier builds" in line for line in lines)
    (tmp_path / "params.yaml").write_text("scale: tiny  # once more\n")
    assert [line.partition(",")[0] for line in dvc("repro", "two")] == ["stage 1 of 2", "stage 2 of 2"]


# The first stage edits the scale while it imports or while it is at work; both then read it.
SCALED = """\
import re, sys
from pathlib import Path
from ganscribe.execution.position import check_scale, note_scale

def edit(moment):
    if sys.argv[1:] == ["one", moment]:
        Path("params.yaml").write_text("scale: sample\\n")

note_scale()
edit("importing")
try:
    check_scale(re.findall(r"\\w+", Path("params.yaml").read_text())[1])
except ValueError as error:
    sys.exit(str(error))
edit("working")
Path(sys.argv[1]).touch()
"""
SCALED_YAML = """\
stages:
  one: {cmd: "PYTHON stage.py one MOMENT", outs: [one]}
  two: {cmd: "PYTHON stage.py two", deps: [one], outs: [two]}
"""


@pytest.mark.parametrize(
    ("moment", "made"), [("importing", []), ("working", ["one"]), ("never", ["one", "two"])]
)
def test_a_scale_that_changes_during_a_build_is_refused(tmp_path: Path, moment: str, made: list[str]) -> None:
    """DVC would record the caps of the scale at which the build began for what is made at the other."""
    (tmp_path / "stage.py").write_text(SCALED)
    text = SCALED_YAML.replace("PYTHON", sys.executable).replace("MOMENT", moment)
    (tmp_path / "dvc.yaml").write_text(text)
    (tmp_path / "params.yaml").write_text("scale: 'tiny'\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment |= {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(Path(position.__file__).parents[2])}

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.stderr

    dvc("init", "--no-scm", "--quiet")
    said = dvc("repro")
    assert ("scale: it was tiny when this build began" in said) == (moment != "never"), said
    assert [name for name in ("one", "two") if (tmp_path / name).exists()] == made
    dvc("repro")
    assert (tmp_path / "two").exists(), "another build begins at the new scale"
