"""training/average.py against torch's own averaged model."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ganscribe.training.average import MovingAverage


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def test_its_weights_are_those_of_torch_s_averaged_model_bit_for_bit() -> None:
    torch.manual_seed(0)
    trained = network()
    theirs = AveragedModel(copy.deepcopy(trained), multi_avg_fn=get_ema_multi_avg_fn(0.7))
    ours = MovingAverage(trained, 0.7)
    optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)
    for step in range(5):
        optimiser.zero_grad()
        trained(torch.randn(6, 3)).square().sum().backward()
        optimiser.step()
        theirs.update_parameters(trained)
        ours.update(trained, is_first=step == 0)
        pairs = zip(ours.module.parameters(), theirs.module.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_batch_norm_s_statistics_are_those_of_the_averaged_weights() -> None:
    """Mean and variance of what comes out of the layer before, averaged over the batches."""
    torch.manual_seed(0)
    average = MovingAverage(network(), 0.7)
    average.update(network(), is_first=True)
    first, norm = average.module[0], average.module[1]
    batches = [torch.randn(50, 3) + 1 for _ in range(4)]
    average.measure_norms(batches)
    reached = [first(batch).detach() for batch in batches]
    torch.testing.assert_close(norm.running_mean, torch.stack([each.mean(0) for each in reached]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([each.var(0) for each in reached]).mean(0))
    before = {name: value.clone() for name, value in average.module.state_dict().items()}
    average.measure_norms(batches)  # nothing of the first time is left in the second
    assert all(torch.equal(value, before[name]) for name, value in average.module.state_dict().items())


def test_measuring_leaves_torch_s_random_state_and_the_mode() -> None:
    average, batch = MovingAverage(network().train(), 0.7), torch.randn(50, 3)
    state = torch.get_rng_state()
    average.measure_norms([batch])
    assert torch.equal(torch.get_rng_state(), state)
    assert average.module.training and average.module[1].momentum == 0.1
