"""training/average.py against torch's own averaged model."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ganscribe.training.average import MovingAverage


def test_it_is_torch_s_averaged_model_bit_for_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    theirs = AveragedModel(copy.deepcopy(network), multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
    ours = MovingAverage(network, 0.7)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(5):
        optimiser.zero_grad()
        network(torch.randn(6, 3)).square().sum().backward()
        optimiser.step()
        theirs.update_parameters(network)
        ours.update(network, is_first=step == 0)
        expected = theirs.module.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in ours.module.state_dict().items())
    assert int(ours.module[1].num_batches_tracked) > 0
