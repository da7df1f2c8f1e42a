"""Trainings on a device apart from the CPU (`apart`): nothing is mixed up, and no step waits for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import apart
import together

CASES: dict[str, together.Case] = {
    "gan": ("gan", {}),
    "gan with noise, smoothing, average": (
        "gan",
        {"instance_noise": 0.1, "label_smoothing": 0.1, "ema_decay": 0.9, "networks": "dcgan_deep"},
    ),
    "gradient penalty": ("gan", {"objective": "wgan_gp", "optimiser": "adam", "betas": (0.5, 0.9)}),
    "penalty on real images": ("gan", {"r1_penalty": 1.0}),
    "clamped critic": ("gan", {"objective": "wgan", "optimiser": "rmsprop"}),
    "lenet5": ("classifier", {}),
    "resnet20": ("classifier", {"network": "resnet20", "optimiser": "adam"}),
    "captioner": ("captioner", {}),
    "captioner with options": (
        "captioner",
        {"gate": True, "dropout": 0.3, "clip_norm": 0.1, "doubly_stochastic": 1.0, "scheduled_sampling": 0.5},
    ),
}
# The same number of rows, and of what they take, twice the steps.
TWICE: dict[str, list[dict[str, Any]]] = {
    "gan": [{"steps": steps, "log_every": steps, "sample_every": steps} for steps in (3, 6)],
    "classifier": [{"batch_size": size} for size in (16, 8)],
    "captioner": [{"batch_size": size, "log_every": 100} for size in (8, 4)],
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_is_the_cpu_s_to_the_bit(case: str) -> None:
    kind, changes = CASES[case]
    expected = together.KINDS[kind](**changes)
    with apart.available() as device:
        found = together.KINDS[kind](**changes, device=device)
        assert apart.waits.total() > 0
        assert all(each.device == device for each in found["weights"])
        weights = [each.cpu() for each in found["weights"]]
    assert found["history"] == expected["history"] and len(found["history"]) > 1
    assert all(torch.equal(one, two) for one, two in zip(weights, expected["weights"], strict=True))


@pytest.mark.parametrize("kind", TWICE)
def test_no_step_waits_for_the_device(kind: str) -> None:
    """A row does; twice the steps between rows wait no more often."""
    counted = []
    for changes in TWICE[kind]:
        with apart.available() as device:
            together.KINDS[kind](**changes, device=device)
            counted.append(dict(apart.waits))
    assert counted[0] == counted[1]


def test_the_device_refuses_the_cpu_s_company() -> None:
    """Else the tests above would show nothing."""
    with apart.available() as device:
        here, there = torch.ones(3), torch.ones(3).to(device)
        assert torch.tensor([1.0, 2.0], device=device).sum().item() == 3
        for mix in (
            lambda: here + there,
            lambda: torch.where(there > 0, there, here),
            lambda: here[there.long()],
            lambda: there.index_put((torch.arange(3),), here),
            lambda: torch.rand(3, device=device, generator=torch.Generator().manual_seed(4)),
            lambda: torch.rand(3, generator=torch.Generator(device).manual_seed(5)),
        ):
            with pytest.raises(RuntimeError, match="device"):
                mix()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), here * 3)
        assert apart.waits == {"_local_scalar_dense": 1, "_to_copy": 1}
