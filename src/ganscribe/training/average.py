"""An exponential moving average of a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


class MovingAverage:
    """The average of a network's weights, Yazici et al. 2018 (1806.04498).

    It begins with the network as it is after the first update. torch's own `AveragedModel` looks at a count on the
    device to know when that is, for which the host would have to wait.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(network), decay

    @torch.no_grad()
    def update(self, network: nn.Module, *, is_first: bool) -> None:
        """Move the average towards `network` by 1 - decay; all the way, if this is the first update."""
        own: list[Tensor] = list(self.module.parameters())
        new: list[Tensor] = list(network.parameters())
        if is_first:
            torch._foreach_copy_(own, new)
        else:
            torch._foreach_lerp_(own, new, 1 - self.decay)

    def measure_norms(self, inputs: Iterable[Tensor]) -> None:
        """Take batch norm's running statistics from batches of `inputs`, since averaged weights have others.

        Izmailov et al. 2018 (1803.05407), section 3.2. torch's random state, which dropout draws from, stays as it is.
        """
        device = next(self.module.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            update_bn(inputs, self.module)
