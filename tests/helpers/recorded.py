"""A stand-in for CUDA graphs, made of the CPU: what a step computes is recorded once, and replayed without Python.

A replay runs the recorded kernels again, on the same tensors, with the Python numbers that were given when they were
recorded. So whatever a step takes from Python (a learning rate, say) stays as it was, as in a CUDA graph, and whatever
makes the host wait for a value is refused.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganscribe.captioning import training as captioning
from ganscribe.captioning import updates
from ganscribe.training import optimisers, steps

aten = torch.ops.aten
BY_DATA = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default}


def tensors(value: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(value) if isinstance(each, torch.Tensor)]


class Graph(TorchDispatchMode):
    """In the place of `torch.cuda.CUDAGraph`: as a context it records, and `replay` runs what it has recorded."""

    recorded = 0  # graphs in all

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self.has_run = True  # to record, the CPU has to compute, as CUDA has not
        Graph.recorded += 1

    def register_generator_state(self, generator: torch.Generator) -> None:
        """CUDA's graphs have to know a generator; the kernels of the CPU ask it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = func is aten.index.Tensor and any(each.dtype == torch.bool for each in tensors(args[1]))
        if func in BY_DATA or masks:
            raise RuntimeError(f"{func} waits for a value, which no graph can")
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        known = {each.untyped_storage().data_ptr() for each in tensors((args, kwargs))}
        made = tensors(result)
        is_new = [each.untyped_storage().data_ptr() not in known for each in made]
        assert all(is_new) or not any(is_new), func
        if func._schema.is_mutable:
            self.calls.append((func, args, kwargs, []))
        elif any(is_new):
            self.calls.append((func, args, kwargs, made))
        return result  # else it is a view, which needs no kernel

    @torch.no_grad()
    def replay(self) -> None:
        if self.has_run:
            self.has_run = False
            return
        for func, args, kwargs, made in self.calls:
            for kept, again in zip(made, tensors(func(*args, **kwargs)) if made else [], strict=True):
                kept.copy_(again)
            if not made:
                func(*args, **kwargs)


@contextlib.contextmanager
def nothing(*args: Any) -> Iterator[None]:
    yield


def rate_in_a_tensor(*args: Any, **options: Any) -> torch.optim.Optimizer:
    """An optimiser as `build_optimiser` makes it for CUDA."""
    optimiser = optimisers.build_optimiser(*args, **options)
    for group in optimiser.param_groups:
        group["lr"] = torch.tensor(group["lr"])
        if isinstance(optimiser, torch.optim.RMSprop):
            group |= {"capturable": True, "foreach": True}
    return optimiser


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have trainings on the CPU do what they do on CUDA, without their steps being captured."""
    for module in ("gan.common.state", "convnets.common.training", "captioning.state"):
        monkeypatch.setattr(f"ganscribe.{module}.build_optimiser", rate_in_a_tensor)
    rmsprop = sys.modules["torch.optim.rmsprop"]
    monkeypatch.setattr(rmsprop, "_get_capturable_supported_devices", lambda *args, **flags: ["cpu"])
    monkeypatch.setattr(captioning, "choose_updates", updates.PaddedUpdates)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))


def capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `Step` capture and replay on the CPU, by its own code."""
    start = steps.Step.__init__

    def captured(self: steps.Step, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        self.is_captured = True

    monkeypatch.setattr(steps.Step, "__init__", captured)
    for name, instead in {
        "CUDAGraph": Graph,
        "device": nothing,
        "graph": lambda graph: graph,
        "Stream": lambda device: SimpleNamespace(wait_stream=lambda other: None),
        "current_stream": lambda device: SimpleNamespace(wait_stream=lambda other: None),
        "stream": nothing,
        "get_rng_state": lambda device: torch.get_rng_state(),
        "set_rng_state": lambda state, device: torch.set_rng_state(state),
    }.items():
        monkeypatch.setattr(torch.cuda, name, instead)
    Graph.recorded = 0
