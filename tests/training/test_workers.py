"""A training on two workers is the training on one, on the same batches, but for rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import together
from ganscribe.training import workers

CASES: dict[str, together.Case] = {
    "plain": ("gan", {}),
    "smoothed critic, averaged generator": (
        "gan",
        {"objective_options": {"label_smoothing": 0.1}, "ema_decay": 0.9},
    ),
    "noise on the images": ("gan", {"objective_options": {"instance_noise": 0.1}}),
    "batch norm in both networks": ("gan", {"networks": "dcgan_deep", "steps": 3, "generator_first": True}),
    "batch norm in an averaged generator": ("gan", {"networks": "dcgan", "steps": 3, "ema_decay": 0.5}),
    "gradient penalty, two critic steps, held-out images that cannot be shared evenly": (
        "gan",
        {"objective": "wgan_gp", "critic_steps": 2, "held_out": 5},
    ),
    "penalty on real images": ("gan", {"objective_options": {"r1_penalty": 1.0}, "optimiser": "adam"}),
    "spectral norm": ("gan", {"objective": "hinge", "networks": "dcgan_sn", "steps": 4}),
    "relativistic pairs, both penalties": (
        "gan",
        {"objective": "relativistic", "objective_options": {"r1_penalty": 1.0, "r2_penalty": 0.5}},
    ),
    # In small steps: with batch norm, rounding grows tenfold with each of 0.02.
    "batch norm in a critic of few layers": (
        "gan",
        {"networks": "dcgan_bn", "steps": 3, "log_every": 1, "learning_rate": 0.002},
    ),
    "clamped critic": ("gan", {"objective": "wgan", "max_updates": 12}),
    "lenet5": ("classifier", {}),
    "resnet20": ("classifier", {"network": "resnet20"}),
    # 21 captions in batches of 4: the last batch of an epoch is one caption, and one worker has none.
    "captioner": ("captioner", {}),
    "captioner with options": (
        "captioner",
        {"gate": True, "clip_norm": 0.1, "label_smoothing": 0.1, "doubly_stochastic": 1.0},
    ),
    "captioner with features standardised": ("captioner", {"standardise": True}),
}
# With dropout, whose masks are each worker's own.
RESUMED: dict[str, together.Case] = {
    "resumed gan": (
        "resumed",
        {"kind": "gan", "networks": "dcgan_deep", "batch_size": 4, "steps": 3},
    ),
    "resumed classifier": (
        "resumed",
        {
            "kind": "classifier",
            "network": "densenet_bc",
            "options": {"depth": 10, "growth": 4, "dropout": 0.5},
            "epochs": 1,
        },
    ),
}
TOLERANCE = 1e-3  # of a loss, relative; measured: 4e-4 for resnet20, 4e-5 with batch norm in a GAN, else 2e-6


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    return together.run(CASES | RESUMED, tmp_path_factory.mktemp("workers"))


@pytest.mark.parametrize("case", CASES)
def test_two_workers_have_the_curve_of_one(case: str, shared: list[dict[str, dict[str, Any]]]) -> None:
    kind, changes = CASES[case]
    alone = together.KINDS[kind](**changes)
    first, second = (results[case] for results in shared)
    assert len(alone["history"]) > 1 and first["history"] == second["history"]
    for row, expected in zip(first["history"], alone["history"], strict=True):
        assert row == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), row["step"]
    for weights, others, expected in zip(first["weights"], second["weights"], alone["weights"], strict=True):
        assert torch.equal(weights, others)
        if kind == "gan" and changes.get("optimiser") != "adam":  # Adam makes a step of a gradient's rounding
            assert torch.allclose(weights, expected, atol=2e-3)


@pytest.mark.parametrize("case", RESUMED)
def test_a_training_that_is_resumed_ends_bit_for_bit_where_an_unbroken_one_does(
    case: str, shared: list[dict[str, dict[str, Any]]]
) -> None:
    for results in shared:
        whole, again = results[case]["whole"], results[case]["again"]
        assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))


@pytest.mark.parametrize("kind", ["gan", "classifier"])
def test_a_batch_that_cannot_be_shared_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "count", lambda: 3)
    with pytest.raises(ValueError, match="batch of 16 cannot be shared evenly by 3 workers"):
        together.KINDS[kind]()


def test_a_norm_over_workers_has_all_that_the_network_s_own_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "count", lambda: 2)
    own = nn.BatchNorm2d(3, eps=0.01, momentum=0.3)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Sequential(own)).eval()
    workers.share_norms(network)
    norm = network[1][0]
    assert isinstance(norm, workers.SharedBatchNorm) and not norm.training
    assert (norm.eps, norm.momentum) == (0.01, 0.3)
    for name, value in own.state_dict(keep_vars=True).items():
        assert norm.state_dict(keep_vars=True)[name] is value


@pytest.mark.parametrize("momentum", [0.1, 0.0, None])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5, 5)])
def test_batch_norm_over_workers_is_batch_norm(shape: tuple[int, ...], momentum: float | None) -> None:
    """With one process: torch's own is the reference, gradients and running statistics included."""
    torch.manual_seed(0)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    own = kind(4, momentum=momentum)
    nn.init.uniform_(own.weight), nn.init.uniform_(own.bias)
    norm = workers.SharedBatchNorm(4, momentum=momentum)
    norm.load_state_dict(own.state_dict())
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(1)).mul(3).add(7) for _ in range(2)]
    slope = torch.randn(shape)
    for module, values in zip((own, norm), inputs, strict=True):
        module(values.detach() * 2)
        (module(values.requires_grad_()) * slope).sum().backward()
    assert torch.allclose(inputs[1].grad, inputs[0].grad, atol=1e-5)  # type: ignore[arg-type]
    for name, value in own.state_dict().items():
        assert torch.allclose(norm.state_dict()[name], value, atol=1e-5), name
    assert torch.allclose(norm.weight.grad, own.weight.grad, atol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(norm.eval()(inputs[0]), own.eval()(inputs[0]), atol=1e-5)


def test_alone_nothing_is_changed() -> None:
    assert not dist.is_initialized()
    rows = torch.arange(5)
    assert workers.share(rows) is rows and workers.total(rows) is rows and workers.mean(rows) is rows
    assert workers.from_first(lambda: 7) == 7


def test_every_worker_has_a_stream_of_its_own_and_the_first_keeps_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The masks of dropout: with the same ones, two workers' rows would lack the same units."""
    drawn = []
    for rank, step in ((0, 5), (1, 5), (2, 5), (1, 6), (1, 5)):
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        workers.seed_own(0, "gan", step)
        drawn.append(torch.rand(()).item())
    torch.manual_seed(3)
    assert drawn[0] == torch.rand(()).item() and drawn[1] == drawn[4]
    assert len(set(drawn)) == 4
