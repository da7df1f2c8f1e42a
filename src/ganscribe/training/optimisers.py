"""Optimisers by name, and the learning rate that they step with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

OptimiserName = Literal["adam", "rmsprop", "sgd"]


@cache
def _without_hints(optimiser: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return `optimiser` without torch's hints to its compiler, whose import takes longer than short trainings.

    The hints are wrappers around methods, and each imports the compiler when it is first called. A step without
    them is not recorded for gradients either.
    """
    import torch

    hinted = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(optimiser, name)) for name in hinted}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimiser.step))
    return type(optimiser.__name__, (optimiser,), methods)


def build_optimiser(
    name: str,
    weights: Iterable[nn.Parameter] | list[dict[str, Any]],
    *,
    learning_rate: float,
    device: torch.device,
    betas: tuple[float, float] | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return the optimiser `name` of `weights`, or of groups of them; fused where torch has that.

    `adam`: Kingma and Ba 2014 (1412.6980), with `betas`, torch's own where there are none. `sgd`: with
    Nesterov's momentum where it is above 0 (Sutskever et al. 2013, section 2). `rmsprop`: Tieleman and Hinton
    2012. On CUDA the learning rate is a tensor, and no step waits for a value, so that it can be captured
    (training/steps.py). Raises ValueError for an unknown name.
    """
    import torch  # here, since the recipes name the optimisers, and whoever reads parameters reads recipes

    on_card = device.type == "cuda"
    rate = torch.tensor(float(learning_rate), device=device) if on_card else float(learning_rate)
    capturable = {"capturable": True} if on_card else {}
    if name == "adam":
        pair = betas or (0.9, 0.999)
        return _without_hints(torch.optim.Adam)(
            weights, rate, betas=pair, weight_decay=weight_decay, fused=True, **capturable
        )
    if name == "rmsprop":
        return _without_hints(torch.optim.RMSprop)(weights, rate, weight_decay=weight_decay, **capturable)
    if name == "sgd":
        return _without_hints(torch.optim.SGD)(
            weights,
            rate,
            momentum=momentum,
            nesterov=momentum > 0,
            weight_decay=weight_decay,
            fused=True,
        )
    raise ValueError(f"optimiser {name!r} is unknown: choose one of adam, rmsprop, sgd")


def set_learning_rate(learning_rate: float, *optimisers: torch.optim.Optimizer) -> None:
    """Have all groups of `optimisers` step with `learning_rate`; a rate that is a tensor is filled."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            if isinstance(group["lr"], float):
                group["lr"] = learning_rate
            else:
                group["lr"].fill_(learning_rate)


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put back what `optimiser.state_dict()` gave; a rate that is a tensor stays where it is.

    Raises RuntimeError for a state from a GPU where this is none, and the other way round: the rate tells.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    both = (state["param_groups"][0]["lr"], rates[0])
    began, here = ("cpu" if isinstance(rate, float) else "cuda" for rate in both)
    if began != here:
        raise RuntimeError(f"it began on {began}, and this is {here}: set GANSCRIBE_DEVICE={began} to go on")
    optimiser.load_state_dict(state)
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        if not isinstance(rate, float):
            group["lr"] = rate.fill_(float(group["lr"]))
