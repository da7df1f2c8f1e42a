"""training/steps.py without a GPU, where a step is called; tests/gpu tests it with one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.training.steps import Step, tensors_of

CPU = torch.device("cpu")


def test_elsewhere_than_on_cuda_a_step_is_called_with_its_inputs_and_flags() -> None:
    seen: list[tuple[Any, ...]] = []

    def function(rows: Tensor, done: Tensor, *, watch: bool) -> None:
        seen.append((rows.tolist(), done.item(), watch))

    step = Step(function, device=CPU, changed=list)
    step(torch.tensor([3, 1]), torch.tensor(0.5), watch=True)
    step(torch.tensor([2]), torch.tensor(0.75), watch=False)
    assert seen == [([3, 1], 0.5, True), ([2], 0.75, False)]
    assert not step.is_captured


def test_the_tensors_of_a_training_are_all_that_a_step_changes() -> None:
    """A capture has to restore them, so whatever differs after a step must be among them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    total = torch.zeros(())
    for optimiser in (
        torch.optim.Adam(network.parameters()),
        torch.optim.RMSprop(network.parameters()),
        torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
    ):
        for _ in range(2):
            known = {id(tensor): tensor.detach().clone() for tensor in tensors_of(network, optimiser, total)}
            optimiser.zero_grad()
            loss = network(torch.randn(5, 3)).square().mean()
            loss.backward()
            optimiser.step()
            total += loss.detach()
        changed = {id(tensor) for tensor in tensors_of(network, optimiser, total)}
        assert changed == set(known), "the second step makes no new tensor"
        everything = [*network.state_dict().values(), total]
        everything += [value for state in optimiser.state.values() for value in state.values()]
        held = {tensor.data_ptr() for tensor in tensors_of(network, optimiser, total)}
        assert {tensor.data_ptr() for tensor in everything if isinstance(tensor, Tensor)} <= held
