"""The benchmark's arithmetic by a clock of the test's own, and its code on what the package offers today."""

from __future__ import annotations

import dataclasses
import importlib
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from ganscribe.features.pictures import load_image

# Constants that make a row's work small; a recipe is given batches of eight.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("gan", {}),
    "wgan": ("gan", {}),
    "wgan_gp": ("gan", {}),
    "lenet5": ("convnets", {}),
    "captioner": ("captioner", {"NUM_IMAGES": 16, "NUM_CAPTIONS": 64}),
    "features": ("features", {"NUM_FILES": 2, "BATCH_SIZE": 2}),
    "reading": ("reader", {"NUM_IMAGES": 64}),
}
ABSENT = ("click", "dvc", "mlflow", "pydantic", "requests", "ruamel", "torch_fidelity", "matplotlib")


@pytest.fixture
def load(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    return importlib.import_module


class Clock:
    """A clock that goes on only while somebody works."""

    def __init__(self) -> None:
        self.now, self.speed = 0.0, 1.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds / self.speed


def test_a_step_costs_what_it_costs_whatever_the_set_up(load: Callable[[str], ModuleType]) -> None:
    timing, clock, runs = load("timing"), Clock(), []

    def tutorial(steps: int) -> int:
        runs.append(steps)
        clock.speed = 0.1 if len(runs) in (4, 5) else 1.0  # a neighbour, for all of the second turn
        clock.work(3.0 + 0.012 * steps)
        return steps

    def ours(steps: int, precision: str) -> int:
        taken = steps // 5 * 5  # whole steps of five updates
        clock.work(100.0 + {"fp32": 0.006, "bf16": 0.002}[precision] * taken)
        return taken

    work = timing.Work(name="", tutorial=tutorial, ours=ours, cpu=timing.alike(7, 107))
    setting = timing.Setting(device=torch.device("cpu"), precisions=("fp32", "bf16"), turns=3, clock=clock)
    row = setting.measure(work)
    assert row.tutorial == pytest.approx(12)
    assert row.ours == pytest.approx({"fp32": 6, "bf16": 2})
    assert row.ratios == pytest.approx({"fp32": 2, "bf16": 6})
    assert runs == [7, 7, 107, 7, 107, 7, 107]


def test_a_long_run_that_is_not_longer_is_no_measurement(load: Callable[[str], ModuleType]) -> None:
    timing, clock = load("timing"), Clock()

    def run(steps: int) -> int:
        clock.work(10 / steps)
        return steps

    setting = timing.Setting(device=torch.device("cpu"), precisions=("fp32",), clock=clock)
    with pytest.raises(timing.TooBusyError, match=r"5 steps took 2\.00 s, and 1 steps 10\.00 s"):
        setting.cost(run, (1, 5))


def test_a_row_has_the_cells_of_its_head(load: Callable[[str], ModuleType]) -> None:
    table, timing = load("table"), load("timing")
    setting = timing.Setting(device=torch.device("cpu"), precisions=("fp32", "bf16"))
    given = {"work": "reading", "unit": "images/s", "tutorial": 9034.6}
    row = timing.Row(**given, ours={"fp32": 46218.2, "bf16": 0.4523}, ratios={"fp32": 5.117, "bf16": 12.0})
    assert table.head(setting).splitlines() == [
        "| work | unit | tutorial, CPU fp32 | ours, CPU fp32 | ratio | ours, CPU bf16 | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    assert table.format_row(row, setting) == "| reading | images/s | 9,035 | 46,218 | 5.1x | 0.45 | 12.0x |"
    alone = timing.Row(**given, ours={"fp32": 46218.2}, ratios={"fp32": 5.117})
    assert table.format_row(alone, setting) == "| reading | images/s | 9,035 | 46,218 | 5.1x |  |  |"


def test_the_tutorials_penalty_is_that_of_the_paper(load: Callable[[str], ModuleType]) -> None:
    images = torch.rand(4, 1, 2, 2)
    penalty = load("gan").gradient_penalty(lambda batch: 3 * batch[:, 0, 0, 0], images, 1 - images)
    assert float(penalty) == pytest.approx(10 * (3 - 1) ** 2)


def test_both_ways_show_the_network_the_same_pictures(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    features, shown = load("features"), []
    files = features.write_jpegs(tmp_path, count=2)

    def compute(images: torch.Tensor) -> torch.Tensor:
        shown.append(images)
        return torch.zeros(len(images), 1)

    features.extract_as_tutorial(2, files=files, folder=tmp_path, compute=compute)
    ours = torch.stack([load_image(tmp_path / file.file_name) for file in files]).float() / 255
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert (shown[0] - (ours - mean) / std).abs().max() < 2.5 / 255 / 0.224, "two grey levels, for rounding"


@pytest.mark.parametrize("name", SMALL)
def test_both_ways_take_as_many_steps(
    name: str, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    timing, (module_name, constants) = load("timing"), SMALL[name]
    module = load(module_name)
    for constant, value in constants.items():
        assert hasattr(module, constant)
        monkeypatch.setattr(module, constant, value)
    if hasattr(module, "RECIPES"):
        monkeypatch.setitem(module.RECIPES, name, dataclasses.replace(module.RECIPES[name], batch_size=8))
    if hasattr(module, "RECIPE"):
        monkeypatch.setattr(module, "RECIPE", dataclasses.replace(module.RECIPE, batch_size=8))
    monkeypatch.setattr(
        timing.Setting, "measure", lambda _, work: (work.tutorial(5), work.ours(5, "fp32"), work.name)
    )
    measured = module.ROWS[name](timing.Setting(device=torch.device("cpu"), precisions=("fp32",)))
    assert measured[:2] == (5, 5)
    assert measured[2]


def test_a_row_is_measured(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    timing, gan = load("timing"), load("gan")
    monkeypatch.setitem(gan.RECIPES, "gan", dataclasses.replace(gan.RECIPES["gan"], batch_size=8))
    monkeypatch.setitem(gan.CPU_SPANS, "gan", timing.alike(1, 5))
    readings = iter([0.0, 1.0, 1.0, 6.0, 6.0, 7.0, 7.0, 9.0])  # runs of 1 and 5 s, then of 1 and 2 s
    setting = timing.Setting(
        device=torch.device("cpu"), precisions=("fp32",), turns=1, clock=readings.__next__
    )
    row = gan.ROWS["gan"](setting)
    assert (row.work, row.unit) == ("`gan` step (batch 8)", "ms")
    assert (row.tutorial, row.ours["fp32"], row.ratios["fp32"]) == (1000, 250, 4)  # four steps more


def test_it_starts_in_a_checkout_without_the_packages_of_the_pipeline(project: Path) -> None:
    script = f"""
import runpy, sys
from pathlib import Path
sys.modules.update(dict.fromkeys({ABSENT}))
sys.path[:] = [path for path in sys.path if not (Path(path) / "ganscribe").is_dir()]
sys.argv = ["benchmarks", "--help"]
runpy.run_path("benchmarks", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--only" in done.stdout


def test_the_cluster_s_benchmark_has_a_help(project: Path) -> None:
    command = [sys.executable, "benchmarks/cluster.py", "--help"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--images-per-shard" in done.stdout


def test_no_turns_are_refused_before_anything_is_measured(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "reading", "--turns", "0"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(project / "benchmarks"), run_name="__main__")
    shown = capsys.readouterr()
    assert "--turns is 0: give 1 or more" in shown.err and not shown.out
