"""The optimisers' first steps, in closed form."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from ganscribe.training.optimisers import (
    OptimiserName,
    build_optimiser,
    restore_optimiser,
    set_learning_rate,
)

CPU = torch.device("cpu")
START = torch.tensor([1.0, -2.0, 0.5, 4.0])
SLOPE = torch.tensor([0.5, -0.25, 3.0, 0.001])


def steps(name: str, *slopes: Tensor, **options: Any) -> list[Tensor]:
    """The weights after each step, along slopes that are given."""
    weight = nn.Parameter(START.clone())
    optimiser = build_optimiser(name, [weight], **({"learning_rate": 0.1, "device": CPU} | options))
    seen = []
    for slope in slopes:
        weight.grad = slope.clone()
        optimiser.step()
        seen.append(weight.detach().clone())
    return seen


@pytest.mark.parametrize("betas", [None, (0.5, 0.999), (0.0, 0.9)])
def test_adam_s_first_step_is_the_rate_whatever_the_slope(betas: tuple[float, float] | None) -> None:
    """The moments are corrected for their start: m / sqrt(v) is the slope's sign (Kingma and Ba, algorithm 1)."""
    (found,) = steps("adam", SLOPE, betas=betas)
    torch.testing.assert_close(found, START - 0.1 * SLOPE.sign(), rtol=0, atol=1e-5)


def test_adam_s_second_step_has_the_betas() -> None:
    one, two = 0.5, 0.9
    first, second = steps("adam", SLOPE, 3 * SLOPE, betas=(one, two))
    mean = (one * (1 - one) + (1 - one) * 3) / (1 - one**2)  # of the slopes, over the first one
    square = (two * (1 - two) + (1 - two) * 9) / (1 - two**2)
    torch.testing.assert_close(
        second, first - 0.1 * SLOPE.sign() * mean / math.sqrt(square), rtol=0, atol=1e-4
    )


def test_adam_s_betas_are_torch_s_where_there_are_none() -> None:
    weight = nn.Parameter(START.clone())
    assert build_optimiser("adam", [weight], learning_rate=0.1, device=CPU).param_groups[0]["betas"] == (
        0.9,
        0.999,
    )


def test_rmsprop_s_first_step_is_ten_rates() -> None:
    """The mean square starts at 0: after one slope it is 0.01 of its square."""
    (found,) = steps("rmsprop", SLOPE)
    torch.testing.assert_close(found, START - SLOPE.sign(), rtol=0, atol=1e-3)


def test_sgd_is_the_slope() -> None:
    assert torch.allclose(steps("sgd", SLOPE, SLOPE)[1], START - 0.2 * SLOPE)


def test_sgd_s_momentum_is_nesterov_s() -> None:
    """v = mu v + g; the step is g + mu v (Sutskever et al. 2013, section 2, as torch writes it)."""
    first, second = steps("sgd", SLOPE, SLOPE, momentum=0.5)
    torch.testing.assert_close(first, START - 0.1 * 1.5 * SLOPE)
    torch.testing.assert_close(second, first - 0.1 * (1 + 0.5 * 1.5) * SLOPE)


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_weight_decay_is_the_slope_of_the_l2_penalty(name: str) -> None:
    (decayed,) = steps(name, SLOPE, weight_decay=0.3)
    (plain,) = steps(name, SLOPE + 0.3 * START)
    torch.testing.assert_close(decayed, plain)


def test_groups_have_options_of_their_own() -> None:
    kept, decayed = nn.Parameter(START.clone()), nn.Parameter(START.clone())
    groups: list[dict[str, Any]] = [{"params": [kept], "weight_decay": 0.0}, {"params": [decayed]}]
    optimiser = build_optimiser("sgd", groups, learning_rate=0.1, weight_decay=0.5, device=CPU)
    kept.grad = decayed.grad = torch.zeros(4)
    optimiser.step()
    assert torch.equal(kept, START)
    torch.testing.assert_close(decayed.detach(), 0.95 * START)


def test_the_learning_rate_is_set_in_every_group_of_all() -> None:
    one, two, three = (nn.Parameter(START.clone()) for _ in range(3))
    first = build_optimiser("adam", [{"params": [one]}, {"params": [two]}], learning_rate=1, device=CPU)
    second = build_optimiser("sgd", [three], learning_rate=0.1, device=CPU)
    set_learning_rate(0.025, first, second)
    groups = [*first.param_groups, *second.param_groups]
    assert [group["lr"] for group in groups] == [0.025] * 3


def test_a_rate_that_is_a_tensor_is_filled_and_outlives_a_restored_state() -> None:
    """As on CUDA, where a captured step reads the rate from its place."""
    weight, rate = nn.Parameter(START.clone()), torch.tensor(0.1)
    optimiser = torch.optim.Adam([weight], lr=rate, foreach=False, capturable=False)
    weight.grad = SLOPE.clone()
    optimiser.step()
    state = copy.deepcopy(optimiser.state_dict())
    set_learning_rate(0.5, optimiser)
    assert optimiser.param_groups[0]["lr"] is rate and rate.item() == 0.5
    restore_optimiser(optimiser, state)
    assert optimiser.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.1)
    kept = optimiser.state[weight]["exp_avg"]
    torch.testing.assert_close(kept, 0.1 * SLOPE)
    state["param_groups"][0]["lr"] = 0.1
    with pytest.raises(RuntimeError, match="began on cpu, and this is cuda: set GANSCRIBE_DEVICE=cpu"):
        restore_optimiser(optimiser, state)


def test_an_unknown_optimiser_is_refused() -> None:
    message = "^optimiser 'made_up' is unknown: choose one of adam, rmsprop, sgd$"
    with pytest.raises(ValueError, match=message):
        build_optimiser("made_up", [nn.Parameter(START)], learning_rate=0.1, device=CPU)


def test_their_names_are_known_without_torch() -> None:
    """Reading parameters imports the recipes, which name optimisers and schedules."""
    code = (
        "import sys; sys.modules['torch'] = None; "
        "import ganscribe.training.optimisers, ganscribe.training.schedules, ganscribe.training.budget"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_a_training_does_not_import_torch_s_compiler(name: str) -> None:
    """Importing it takes more than a second, longer than some of the stages train."""
    code = f"""
import sys, torch
from ganscribe.training.optimisers import build_optimiser, restore_optimiser
weight = torch.nn.Parameter(torch.ones(4))
optimiser = build_optimiser({name!r}, [weight], learning_rate=0.1, device=torch.device("cpu"))
optimiser.zero_grad()
(weight**2).sum().backward()
optimiser.step()
restore_optimiser(optimiser, optimiser.state_dict())
assert (weight < 1).all()
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("adam", lambda weights: torch.optim.Adam(weights, 0.1, betas=(0.5, 0.999), fused=True)),
        ("rmsprop", lambda weights: torch.optim.RMSprop(weights, 0.1)),
        ("sgd", lambda weights: torch.optim.SGD(weights, 0.1, fused=True)),
    ],
)
def test_the_weights_are_those_of_torch_s_own_bit_for_bit(name: str, plain: Any) -> None:
    ours, theirs = (nn.Parameter(START.clone()) for _ in range(2))
    betas = {"betas": (0.5, 0.999)} if name == "adam" else {}
    pairs = [(build_optimiser(name, [ours], learning_rate=0.1, device=CPU, **betas), ours)]
    pairs.append((plain([theirs]), theirs))
    for optimiser, weight in pairs:
        for _ in range(5):
            optimiser.zero_grad()
            (weight**2 * SLOPE).sum().backward()
            optimiser.step()
            optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert torch.equal(ours, theirs)
    assert ours.requires_grad and ours.is_leaf


def test_hooks_are_called_around_a_step() -> None:
    weight = nn.Parameter(START.clone())
    optimiser, called = build_optimiser("adam", [weight], learning_rate=0.1, device=CPU), []
    optimiser.register_step_pre_hook(lambda *_: called.append("before"))
    optimiser.register_step_post_hook(lambda *_: called.append("after"))
    optimiser.step()
    assert called == ["before", "after"]
