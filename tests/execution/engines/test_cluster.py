"""Whether a cluster's GPUs do the work of a stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clusters import cluster
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.engines.cluster import takes_gpus
from ganscribe.execution.engines.extraction import extract
from ganscribe.execution.engines.training import train
from ganscribe.training.budget import Budget
from together import CPU

CUDA = torch.device("cuda")
ON_CPUS, WITH_GPUS = cluster({"CPU": 4.0}), cluster({"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0})


@pytest.fixture(autouse=True)
def no_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSCRIBE_DEVICE", raising=False)


def test_the_gpus_work_if_the_stage_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes_gpus(WITH_GPUS, CUDA)
    assert not takes_gpus(ON_CPUS, CPU)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    assert not takes_gpus(WITH_GPUS, CPU)


@pytest.mark.parametrize(
    ("ray", "device", "message"),
    [
        (WITH_GPUS, CPU, "the Ray cluster has GPUs, and torch sees none where this stage runs"),
        (ON_CPUS, CUDA, "the device is cuda, and the Ray cluster has no GPU: set GANSCRIBE_DEVICE=cpu"),
    ],
)
def test_a_cluster_of_another_kind_is_refused_before_the_work(
    ray: SimpleNamespace, device: torch.device, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training would end with a state that this process cannot take up."""

    @contextlib.contextmanager
    def connected() -> Iterator[Any]:
        yield ray

    monkeypatch.setenv("GANSCRIBE_ENGINE", "ray")
    for name in ("training", "extraction"):
        monkeypatch.setattr(f"ganscribe.execution.engines.{name}.connected", connected)
    checkpoint = Checkpoint(tmp_path, every_seconds=30)
    with pytest.raises(ValueError, match=message):
        train(
            lambda **settings: None,
            budget=Budget(seed=0, precision="fp32"),
            device=device,
            checkpoint=checkpoint,
            log=lambda step, row: None,
        )
    extraction: Any = SimpleNamespace(missing=lambda: [0])
    with pytest.raises(ValueError, match=message):
        extract(
            lambda *made, **settings: None,
            extraction,
            inception=None,
            device=device,
            max_bad_images=0.0,
            is_stopping=lambda: False,
        )
