"""One training step, written once, at the speed of the hardware.

A step is a function of tensors that stay where they are: its inputs are buffers that are filled, and whatever else
changes (learning rate, progress of the run, sums of losses) is a tensor too. It waits for no value, branches on
none, and has no shape that depends on data. Then a GPU need not wait for Python between its kernels: on CUDA the
step is captured in a graph, one for each shape of its inputs, and replayed; elsewhere it is called. The loops do not
know which.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.training import workers

WARM_UP_RUNS = 3  # before a capture: libraries choose their kernels, optimisers make their state


def tensors_of(*parts: nn.Module | torch.optim.Optimizer | Tensor) -> Iterator[Tensor]:
    """Yield the tensors that a step changes: parameters, buffers, an optimiser's state, sums."""
    for part in parts:
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, nn.Module):
            yield from part.parameters()
            yield from part.buffers()
        else:
            for state in part.state.values():
                yield from (value for value in state.values() if isinstance(value, Tensor))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from collecting garbage: the graph of an earlier training may be among it.

    CUDA forbids to destroy a graph during a capture, which fails then. (Up to 2.8 torch collected before each.)
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Step:
    """A step that a loop calls with its inputs: `function(*inputs, **flags)`, which returns nothing.

    `flags` are the Python values that it branches on; each combination is a graph of its own. `changed` gives the
    tensors that it changes, and `generators` are the random generators of the training's own that it draws from.
    A capture leaves all of them as they were, so that a training that is resumed, and captures again, ends bit for
    bit where an unbroken one does.
    """

    def __init__(
        self,
        function: Callable[..., None],
        *,
        device: torch.device,
        changed: Callable[[], Iterable[Tensor]],
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self.function, self.device = function, device
        self.changed, self.generators = changed, generators
        self.is_captured = device.type == "cuda" and workers.count() == 1
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[Tensor]]] = {}

    def __call__(self, *inputs: Tensor, **flags: Hashable) -> None:
        """Take the step."""
        if not self.is_captured:
            self.function(*(value.to(self.device, non_blocking=True) for value in inputs), **flags)
            return
        shapes = tuple((value.shape, value.dtype) for value in inputs)
        key = (shapes, tuple(sorted(flags.items())))
        if key not in self._graphs:
            self._graphs[key] = self._capture(inputs, flags)
        graph, buffers = self._graphs[key]
        for buffer, value in zip(buffers, inputs, strict=True):
            buffer.copy_(value, non_blocking=True)
        graph.replay()

    def _capture(
        self, inputs: Sequence[Tensor], flags: dict[str, Any]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor]]:
        buffers = [value.to(self.device, copy=True) for value in inputs]
        self._warm_up(buffers, flags)
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with _no_collection(), torch.cuda.device(self.device), torch.cuda.graph(graph):  # of the present card
            self.function(*buffers, **flags)
        return graph, buffers

    def _warm_up(self, buffers: Sequence[Tensor], flags: dict[str, Any]) -> None:
        """Run the step on a stream of its own, then put back whatever it has changed."""
        before = {id(tensor): tensor.detach().clone() for tensor in self.changed()}
        default = torch.cuda.get_rng_state(self.device)
        own = [generator.get_state() for generator in self.generators]
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                self.function(*buffers, **flags)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        with torch.no_grad():
            for tensor in self.changed():
                known = before.get(id(tensor))
                # What the optimiser has only made now begins at zero.
                tensor.zero_() if known is None else tensor.copy_(known)
        torch.cuda.set_rng_state(default, self.device)
        for generator, state in zip(self.generators, own, strict=True):
            generator.set_state(state)
