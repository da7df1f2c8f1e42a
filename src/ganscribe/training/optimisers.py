"""Optimisers by name, and the learning rate that they step with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

OptimiserName = Literal["adam", "rmsprop", "sgd"]


def build_optimiser(
    name: str,
    weights: Iterable[nn.Parameter] | list[dict[str, Any]],
    *,
    learning_rate: float,
    betas: tuple[float, float] | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return the optimiser `name` of `weights`, or of groups of them; fused where torch has that.

    `adam`: Kingma and Ba 2014 (1412.6980), with `betas`, torch's own where there are none. `sgd`: with
    Nesterov's momentum where it is above 0 (Sutskever et al. 2013, section 2). `rmsprop`: Tieleman and Hinton
    2012. Raises ValueError for an unknown name.
    """
    import torch  # here, since the recipes name the optimisers, and whoever reads parameters reads recipes

    if name == "adam":
        pair = betas or (0.9, 0.999)
        return torch.optim.Adam(weights, learning_rate, betas=pair, weight_decay=weight_decay, fused=True)
    if name == "rmsprop":
        return torch.optim.RMSprop(weights, learning_rate, weight_decay=weight_decay, momentum=momentum)
    if name == "sgd":
        return torch.optim.SGD(
            weights,
            learning_rate,
            momentum=momentum,
            nesterov=momentum > 0,
            weight_decay=weight_decay,
            fused=True,
        )
    raise ValueError(f"optimiser {name!r} is unknown: choose one of adam, rmsprop, sgd")


def set_learning_rate(learning_rate: float, *optimisers: torch.optim.Optimizer) -> None:
    """Have all groups of `optimisers` step with `learning_rate`."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
