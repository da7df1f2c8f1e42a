"""Steps as a CUDA graph would take them, without a card: recorded once, replayed without Python (`recorded`)."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recorded
import trainings
from ganscribe.training.optimisers import set_learning_rate
from ganscribe.training.steps import Step, tensors_of
from trainings import Outcome

CPU = torch.device("cpu")
# The larger networks on a card only.
GANS = [name for name, given in trainings.GANS.items() if given.get("networks") != "dcgan_deep"]
CONVNETS = ("lenet5", "cliquenet")  # augmentation, dropout
TRAININGS: list[tuple[Callable[..., Outcome], str]] = [
    *((trainings.gan, name) for name in GANS),
    *((trainings.convnet, name) for name in CONVNETS),
    *((trainings.captioner, name) for name in trainings.CAPTIONERS),
]
IDS = [f"{train.__name__}: {name}" for train, name in TRAININGS]


@pytest.mark.parametrize(("train", "name"), TRAININGS, ids=IDS)
def test_a_replayed_training_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, small_samples: None, train: Callable[..., Outcome], name: str
) -> None:
    recorded.pretend(monkeypatch)
    plain = train(name, device=CPU, precision="fp32")
    recorded.capture(monkeypatch)
    replayed = train(name, device=CPU, precision="fp32")
    assert 1 <= recorded.Graph.recorded <= 6, "a graph for each shape and flag, not for each step"
    assert replayed.history == plain.history
    assert all(torch.equal(*pair) for pair in zip(replayed.tensors, plain.tensors, strict=True))


class Toy:
    """A regression whose step is right, or wrong in one of the ways that a capture cannot follow."""

    def __init__(self, mistake: str) -> None:
        torch.manual_seed(0)
        self.mistake, self.network, self.total = mistake, nn.Linear(3, 1), torch.zeros(())
        self.rate: Any = 0.1 if mistake == "a rate of Python's" else torch.tensor(0.1)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=self.rate, fused=True)
        self.step = Step(
            self.update,
            device=CPU,
            changed=lambda: tensors_of(
                self.network, *([] if mistake == "a sum that is not put back" else [self.total])
            ),
        )

    def update(self, inputs: Tensor) -> None:
        loss = self.network(inputs).square().mean()
        if self.mistake == "a branch on a value" and loss > 1:
            loss = loss / 2
        if self.mistake == "a mask":
            loss = loss + inputs[inputs > 0].mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.mistake == "an item":
            self.total += loss.item()
        elif self.mistake == "a new tensor":
            self.total = self.total + loss.detach()
        else:
            self.total += loss.detach()

    def train(self) -> list[Tensor]:
        rng = torch.Generator().manual_seed(0)
        for number in range(6):
            set_learning_rate(0.1 / (1 + number), self.optimiser)
            self.step(torch.randn(4, 3, generator=rng))
        return [*self.network.parameters(), self.total]


@pytest.mark.parametrize(
    ("mistake", "is_refused"),
    [
        ("", False),
        ("a rate of Python's", False),
        ("a sum that is not put back", False),
        ("a new tensor", False),
        ("an item", True),
        ("a branch on a value", True),
        ("a mask", True),
    ],
)
def test_a_step_that_cannot_be_captured_is_noticed(
    monkeypatch: pytest.MonkeyPatch, mistake: str, is_refused: bool
) -> None:
    plain = Toy(mistake).train()
    recorded.capture(monkeypatch)
    if is_refused:
        with pytest.raises(RuntimeError, match="waits for a value"):
            Toy(mistake).train()
        return
    replayed = Toy(mistake).train()
    is_same = all(torch.equal(*pair) for pair in zip(replayed, plain, strict=True))
    assert is_same == (mistake == "")


def test_a_capture_is_of_the_step_s_own_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA captures what the present card does, which is the first one even if the tensors are on another."""
    recorded.capture(monkeypatch)
    present, captured = [torch.device("cuda", 0)], []

    @contextlib.contextmanager
    def choose(device: torch.device) -> Iterator[None]:
        present.append(device)
        yield
        present.pop()

    @contextlib.contextmanager
    def capture(graph: recorded.Graph) -> Iterator[None]:
        captured.append(present[-1])
        with graph:
            yield

    monkeypatch.setattr(torch.cuda, "device", choose)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    Toy("").train()
    assert captured == [CPU] and len(present) == 1


def test_no_garbage_is_collected_in_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of an earlier training may be among it, and CUDA forbids to destroy one then."""
    recorded.capture(monkeypatch)
    left: list[bool] = []  # after each run: three to warm up, and the capture

    class Training:
        def __init__(self) -> None:
            self.itself = self

    def update(inputs: Tensor) -> None:
        earlier = weakref.ref(Training())
        kept = [[number] for number in range(1000)]
        left.append(earlier() is not None and bool(kept))

    before = gc.get_threshold()
    gc.set_threshold(10, 1, 1)
    try:
        Step(update, device=CPU, changed=list)(torch.zeros(1))
    finally:
        gc.set_threshold(*before)
    assert left == [False, False, False, True] and gc.isenabled()
