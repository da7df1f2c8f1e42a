"""Captured steps on a card: the plain loop's numbers, and a resumed training's bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import trainings
from ganscribe.training import steps
from trainings import Outcome

TRAININGS: list[tuple[Callable[..., Outcome], str]] = [(trainings.gan, name) for name in trainings.GANS]
TRAININGS += [(trainings.convnet, name) for name in trainings.CONVNETS]
TRAININGS += [(trainings.captioner, name) for name in trainings.CAPTIONERS]
IDS = [f"{train.__name__}: {name}" for train, name in TRAININGS]


def assert_equal(one: Outcome, other: Outcome) -> None:
    assert one.history == other.history
    assert all(torch.equal(*pair) for pair in zip(one.tensors, other.tensors, strict=True))


@pytest.mark.parametrize(("train", "name"), TRAININGS, ids=IDS)
def test_a_captured_training_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, train: Callable[..., Outcome], name: str
) -> None:
    captures = []
    whole = steps.Step._capture

    def counted(self: steps.Step, *args: object) -> object:
        captures.append(args)
        return whole(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(steps.Step, "_capture", counted)
    captured = train(name)
    assert captures

    def plain(self: steps.Step, *inputs: torch.Tensor, **flags: bool) -> None:
        self.function(*(value.to(self.device) for value in inputs), **flags)

    monkeypatch.setattr(steps.Step, "__call__", plain)
    assert_equal(captured, train(name))


@pytest.mark.parametrize(("train", "name"), TRAININGS, ids=IDS)
def test_a_training_that_is_stopped_and_resumed_ends_bit_for_bit(
    tmp_path: Path, train: Callable[..., Outcome], name: str
) -> None:
    assert_equal(train(name), trainings.resumed(train, name, tmp_path / "state", stop_at=4))
