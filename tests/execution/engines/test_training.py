"""What each worker of a training on a Ray cluster gets."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clusters import cluster
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.engines import training
from ganscribe.execution.engines.training import share_cpus, train
from ganscribe.training.budget import Budget
from together import CPU


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ([{"CPU": 16.0}], 1, 16),
        ([{"CPU": 16.0}], 3, 5),
        # An equal part of all CPUs may be more than a node has, or more than is left on it.
        ([{"CPU": 64.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}], 2, 8),
        ([{"CPU": 6.0}, {"CPU": 2.0}], 2, 3),
        ([{"CPU": 4.0}, {"CPU": 64.0, "GPU": 8.0}], 8, 8),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 6.0, "GPU": 2.0}], 10, 3),
        # Fewer CPUs than GPUs, or none that Ray knows of.
        ([{"CPU": 2.0, "GPU": 4.0}], 4, 0),
        ([{"GPU": 1.0}], 1, 0),
        # A node with GPUs whose CPUs alone work.
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], 4, 4),
    ],
)
def test_workers_get_no_more_cpus_than_their_nodes_have(
    nodes: list[dict[str, float]], workers: int, expected: int
) -> None:
    assert share_cpus(cluster(*nodes), workers, on_gpus="GPU" in nodes[-1]) == expected


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([{"CPU": 2.0}], "no CPU for each of 3 workers, only for 2: lower GANSCRIBE_WORKERS"),
        ([{"CPU": 64.0, "GPU": 1.0}], "no GPU for each of 3 workers, only for 1: lower GANSCRIBE_WORKERS"),
    ],
)
def test_workers_that_ray_would_wait_for_are_refused(nodes: list[dict[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        share_cpus(cluster(*nodes), 3, on_gpus="GPU" in nodes[-1])


def test_workers_train_in_the_precision_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's processor may be fast at bfloat16 where the stage's is not."""

    @contextlib.contextmanager
    def connected() -> Iterator[Any]:
        yield None

    def train_on(ray: Any, function: Any, data: Any, settings: dict[str, Any], *rest: Any) -> None:
        monkeypatch.setattr("ganscribe.core.devices.explain_bf16", lambda device: (True, ""))
        seen.append(settings["budget"])

    seen: list[Budget] = []
    monkeypatch.setenv("GANSCRIBE_ENGINE", "ray")
    monkeypatch.setattr("ganscribe.core.devices.explain_bf16", lambda device: (False, ""))
    monkeypatch.setattr(training, "connected", connected)
    monkeypatch.setattr(training, "_train_on", train_on)
    budget, checkpoint = Budget(seed=3, max_updates=7), Checkpoint(tmp_path, every_seconds=30)
    train(
        lambda *, budget, **settings: seen.append(budget),
        budget=budget, device=CPU, checkpoint=checkpoint, log=lambda step, row: None,
    )  # fmt: skip
    assert seen == 2 * [Budget(seed=3, precision="fp32", max_updates=7)]


def test_a_state_that_a_worker_cannot_go_on_from_is_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that began on another kind of device. Once a step was taken, the state is not to blame."""
    context = SimpleNamespace(get_world_rank=lambda: 1)
    ray = SimpleNamespace(
        get=lambda work: work, train=SimpleNamespace(get_context=lambda: context, torch=None)
    )
    for name in ("ray", "ray.train", "ray.train.torch"):
        monkeypatch.setitem(sys.modules, name, ray)

    def function(*, steps: int, device: Any, checkpoint: Checkpoint) -> None:
        assert checkpoint.load() == {"step": 1}
        for _ in range(steps):
            assert not checkpoint.due()
        raise RuntimeError("it began on cuda")

    Checkpoint(tmp_path, every_seconds=0).save({"step": 1})
    config: dict[str, Any] = {"device": CPU, "folder": str(tmp_path), "every_seconds": 0}
    with pytest.raises(
        ValueError, match=r"could not go on from .* \(RuntimeError: it began on cuda\): delete"
    ):
        training._work(config | {"work": (function, (), {"steps": 0})})
    with pytest.raises(RuntimeError, match=r"^it began on cuda"):
        training._work(config | {"work": (function, (), {"steps": 1})})
