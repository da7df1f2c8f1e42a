"""A training on several workers: each takes its rows of every batch, and all hold the same weights.

Each function does nothing where there is one worker. Plain sums over workers take the place of
DistributedDataParallel, which waits for one backward pass of one forward pass: a critic's update has two of
the latter, and the gradient penalty's is of second order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganscribe.core.seeds import stream_seed

Rows = TypeVar("Rows", Tensor, list[int])


def count() -> int:
    """How many workers train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if count() > 1 else 0


def share(rows: Rows) -> Rows:
    """This worker's part of what belongs to a whole batch: every `count`-th row, its first one is `rank`."""
    return rows if count() == 1 else rows[rank() :: count()]


def check_batch(batch_size: int) -> None:
    """ValueError for a batch that the workers cannot share evenly (its mean is the mean of their means)."""
    if batch_size % count():
        raise ValueError(
            f"a batch of {batch_size} cannot be shared evenly by {count()} workers: set GANSCRIBE_WORKERS to"
            " a divisor of batch_size"
        )


def total(value: Tensor) -> Tensor:
    """The sum of `value` over the workers, without a gradient."""
    if count() == 1:
        return value
    summed = value.detach().clone()
    dist.all_reduce(summed)
    return summed


def mean(value: Tensor, weight: int = 1) -> Tensor:
    """The mean of `value` over the workers, without a gradient; `weight`: the rows behind this one's."""
    if count() == 1:
        return value
    summed = total(torch.stack([value.detach() * weight, torch.full_like(value, weight)]))
    return summed[0] / summed[1]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up every worker's gradients; one that a worker lacks is zero."""
    if count() == 1:
        return
    weights = [weight for weight in parameters if weight.requires_grad]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = torch.empty_like(weight).copy_(part.view(weight.shape))  # in the weight's own layout


def mean_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """The mean of the workers' gradients: the gradient of the mean over a batch that they share evenly."""
    sum_gradients(parameters)
    if count() > 1:
        for weight in parameters:
            if weight.grad is not None:
                weight.grad /= count()


def from_first(compute: Callable[[], Any]) -> Any:
    """What `compute` gives on the first worker, on all of them. It must not call the others itself."""
    if count() == 1:
        return compute()
    box = [compute() if rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def seed_own(seed: int, *names: str | int) -> None:
    """Another stream of torch's global generator (dropout) on every worker but the first, which keeps its."""
    if rank():
        torch.manual_seed(stream_seed(seed, "worker", rank(), *names))


class _Sum(torch.autograd.Function):
    """The sum over workers; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0])


class SharedBatchNorm(_BatchNorm):
    """Batch norm over the workers' images together (torch's SyncBatchNorm works on GPUs alone)."""

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Vectors and pictures alike."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...), this worker's rows, normed by the mean and variance of all workers' rows."""
        if not self.training:
            return super().forward(inputs)
        dims = [dim for dim in range(inputs.ndim) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(inputs.ndim)]
        wide = inputs.float()
        size = total(torch.tensor(float(inputs.numel() // inputs.shape[1]), device=inputs.device))
        average = _Sum.apply(wide.sum(dims)) / size
        centred = wide - average.view(shape)
        variance = _Sum.apply(centred.square().sum(dims)) / size
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            # None: the mean of all batches
            momentum = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(average.detach(), momentum)
            self.running_var.lerp_(variance.detach() * size / (size - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias.view(shape), centred, scale.view(shape)).to(inputs.dtype)


def share_norms(network: nn.Module) -> None:
    """Put a `SharedBatchNorm` in place of every batch norm of `network`, with the same parameters."""
    if count() == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                norm = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                norm.weight, norm.bias = child.weight, child.bias
                for buffer, value in child.named_buffers():
                    setattr(norm, buffer, value)
                setattr(parent, name, norm.train(child.training))
