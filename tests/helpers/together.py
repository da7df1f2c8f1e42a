"""Trainings on two workers, which are processes that communicate over gloo; `run` returns the results of each."""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.multiprocessing

import captioners
import gans
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import train_classifier
from ganscribe.datasets.images import Images
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.training import workers
from ganscribe.training.budget import Budget

CPU = torch.device("cpu")
SMALL_GAN: dict[str, Any] = {
    "optimiser": "sgd", "learning_rate": 0.02, "steps": 10, "sample_every": 5, "log_every": 5, "snapshots": 1,
}  # fmt: skip


def gan(
    device: torch.device = CPU, *, checkpoint: Checkpoint | None = None, held_out: int = 40, **changes: Any
) -> dict[str, Any]:
    """A short GAN training: its rows, and the weights of both networks. Without a checkpoint it has no dropout."""
    settings = SMALL_GAN | {"steps": 6, "log_every": 2} | changes
    with contextlib.ExitStack() as stack:
        if checkpoint is None:  # other workers, other masks
            stack.enter_context(mock.patch("torch.nn.Dropout.forward", lambda self, inputs: inputs))
        trained = gans.train(
            device=device, held_out=gans.pictures(held_out, seed=1), checkpoint=checkpoint, **settings
        )
    networks = (trained.kept_generator, trained.discriminator)
    weights = [value for network in networks for value in network.state_dict().values()]
    return {"history": trained.history, "weights": weights}


def classifier(
    device: torch.device = CPU, *, checkpoint: Checkpoint | None = None, **changes: Any
) -> dict[str, Any]:
    """A short training of a convnet: its rows and weights."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (48, 1, 28, 28), generator=rng, dtype=torch.uint8)
    labels = torch.arange(48) % 4
    training, validation = (
        Images(images[:count], labels[:count], torch.arange(count), list("abcd"), "mnist", "drawn")
        for count in (48, 9)
    )
    settings: dict[str, Any] = {
        "network": "lenet5", "dataset": "mnist", "optimiser": "sgd", "learning_rate": 0.02,
        "weight_decay": 1e-4, "batch_size": 16, "epochs": 2, "shift": 1, "flip": True,
    }  # fmt: skip
    recipe, budget = ClassifierRecipe(**(settings | changes)), Budget(seed=3, precision="fp32")
    trained = train_classifier(
        training, validation, recipe, budget=budget, device=device, checkpoint=checkpoint
    )
    return {"history": trained.history, "weights": list(trained.model.state_dict().values())}


def captioner(**changes: Any) -> dict[str, Any]:
    """A short training of a captioner: its rows and weights."""
    captions = captioners.tiny_captions(21)
    data = captioners.tiny_data(train=captions, val=captions)
    trained = captioners.train(data, **({"batch_size": 4, "epochs": 2, "seed": 3} | changes))
    return {"history": trained.history, "weights": list(trained.model.state_dict().values())}


class InMemory(Checkpoint):
    """A checkpoint of the n-th step, which has the first worker's state, as the file of a real one has."""

    def __init__(self, step: int) -> None:
        super().__init__(Path(), every_seconds=math.inf)
        self.step, self.calls = step, 0
        self.state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        return self.state

    def due(self, *, last: bool = False) -> bool:
        self.calls += 1
        return self.calls == self.step

    def save(self, state: dict[str, Any]) -> None:
        self.state = workers.from_first(lambda: copy.deepcopy(state))


def resumed(kind: str, **changes: Any) -> dict[str, Any]:
    """A training with dropout, and its end once more from the checkpoint of its first step."""
    checkpoint = InMemory(1)
    with mock.patch("ganscribe.gan.common.sampling.SAMPLE_BATCH", 16):
        return {
            name: RESUMABLE[kind](checkpoint=checkpoint, **changes)["weights"] for name in ("whole", "again")
        }


RESUMABLE = {"gan": gan, "classifier": classifier}
KINDS = {**RESUMABLE, "captioner": captioner, "resumed": resumed}
Case = tuple[str, dict[str, Any]]


def _work(rank: int, size: int, cases: dict[str, Case], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=size)
    results = {name: KINDS[kind](**changes) for name, (kind, changes) in cases.items()}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


def run(cases: dict[str, Case], folder: Path, *, size: int = 2) -> list[dict[str, dict[str, Any]]]:
    """Return what each of `size` workers has at the end of each case."""
    torch.multiprocessing.spawn(_work, (size, cases, folder), nprocs=size)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
