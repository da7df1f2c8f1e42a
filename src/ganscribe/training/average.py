"""An exponential moving average of a network."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn


class MovingAverage:
    """The average of a network's weights and running statistics, Yazici et al. 2018 (1806.04498).

    It begins with the network as it is after the first update. torch's own `AveragedModel` looks at a count on the
    device to know when that is, for which the host would have to wait.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(network), decay

    @torch.no_grad()
    def update(self, network: nn.Module, *, is_first: bool) -> None:
        """Move the average towards `network` by 1 - decay; all the way, if this is the first update."""
        own = list(chain(self.module.parameters(), self.module.buffers()))
        new = list(chain(network.parameters(), network.buffers()))
        if is_first:
            torch._foreach_copy_(own, new)
            return
        pairs = list(zip(own, new, strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([one for one, _ in floats], [other for _, other in floats], 1 - self.decay)
        for one, other in pairs:
            if not one.is_floating_point():  # batch norm's counts
                one.copy_(one * self.decay + other * (1 - self.decay))
