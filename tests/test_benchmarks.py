"""The benchmark's code runs on what the package offers today; its figures are for an idle machine."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest

SMALL: dict[str, dict[str, Any]] = {
    "gan": {"TURNS": 1, "STEPS_A_TURN": {"mlp": 1, "dcgan": 1}, "BATCH_SIZE": 8},
    "captioner": {"TURNS": 1, "OUR_STEPS_A_TURN": 1, "BATCH_SIZE": 4, "PADDED": 9, "VOCABULARY": 50},
    "features": {"ROUNDS": 1, "NUM_IMAGES": 2, "BATCH_SIZE": 2},
    "reader": {"ROUNDS": 1, "NUM_IMAGES": 64},
}


@pytest.mark.parametrize("name", SMALL)
def test_each_work_is_measured_both_ways(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project / "benchmarks"))
    module = importlib.import_module(name)
    for constant, value in SMALL[name].items():
        assert hasattr(module, constant)
        monkeypatch.setattr(module, constant, value)
    rows = module.rows()
    assert rows
    for row in rows:
        assert row["work"] and row["unit"]
        assert all(math.isfinite(row[key]) and row[key] > 0 for key in ("tutorial", "ours", "ratio"))
