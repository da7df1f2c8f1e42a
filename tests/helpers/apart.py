"""A device apart, made of the CPU: where there is no GPU, it shows what would go wrong on one.

Its tensors compute on the CPU, so that the numbers are the CPU's to the bit. But like a GPU's they refuse to be mixed
with the CPU's tensors and generators, and they count how often the host has to wait for a value. The device has the
name `meta`, for which torch needs no driver. It works in fp32 only, because torch has no autocast for `meta`.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.optim.adam
import torch.optim.sgd
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
waits: Counter[str] = Counter()  # how often the host waited, by what for
_is_capturing = False

aten = torch.ops.aten
COPIES = {"copy_", "_to_copy", "to"}  # `to` is seen whole in inference mode
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
WAITING = {aten._local_scalar_dense.default, aten.nonzero.default}
TorchGenerator = torch.Generator
_generators: weakref.WeakSet[torch.Generator] = weakref.WeakSet()


class Apart(torch.Tensor):
    """A tensor of the device; `inner` is the CPU's that it is made of."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Apart:
        made: Apart = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        waits["tolist"] += 1
        return self.detach().inner.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert a tensor of another device to numpy: use Tensor.cpu() first")

    __array__ = numpy


class GeneratorApart(TorchGenerator):
    def __new__(cls) -> GeneratorApart:
        made = super().__new__(cls, "cpu")
        _generators.add(made)
        return made

    @property
    def device(self) -> torch.device:
        return DEVICE


class _ByDevice(type):
    def __call__(cls, device: Any = "cpu") -> torch.Generator:
        return GeneratorApart() if torch.device(device) == DEVICE else TorchGenerator(device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TorchGenerator)


class AnyGenerator(metaclass=_ByDevice):
    """In the place of `torch.Generator`."""


def _is_apart(generator: torch.Generator) -> bool:
    """Return whether the generator is the device's, by its state, because a kernel gets another object."""
    return any(torch.equal(TorchGenerator.get_state(one), generator.get_state()) for one in _generators)


def check(func: Any, tensors: list[torch.Tensor], generators: list[torch.Generator], is_result: bool) -> None:
    """Raise RuntimeError for what a GPU would refuse, and count what makes the host wait."""
    is_on = [isinstance(each, Apart) for each in tensors]
    if func in INDEXING:  # a tensor of the device takes the CPU's indices, not the other way round
        indices = tensors[1:] if func is aten.index.Tensor else tensors[1:-1]
        if any(isinstance(each, Apart) and each.dtype == torch.bool for each in indices):
            waits["mask"] += 1
        pair = tensors[:1] if func is aten.index.Tensor else [tensors[0], tensors[-1]]
        is_wrong = any(is_on) and not all(isinstance(each, Apart) for each in pair)
    else:
        together = [on for on, each in zip(is_on, tensors, strict=True) if on or each.dim()]
        is_wrong = func._opname not in COPIES and any(is_on) and not all(together)
    if is_wrong:
        places = [f"{tuple(each.shape)} on {each.device}" for each in tensors]
        raise RuntimeError(f"{func}: expected all tensors to be on the same device: {', '.join(places)}")
    for each in generators:
        if _is_apart(each) != is_result:
            raise RuntimeError(f"{func}: the generator and the tensor are on different devices")
    stays = is_result == any(is_on) == all(is_on)
    if _is_capturing and (func in WAITING or (func._opname in COPIES and not stays)):
        raise RuntimeError(f"{func}: a copy between the host and the device, which no graph can hold")
    if any(is_on) and (func in WAITING or (func._opname in COPIES and not is_result)):
        waits[func._opname] += 1


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The kernel's result on the CPU, as a tensor of the device where a GPU's would be one."""
    leaves = tree_leaves((args, kwargs))
    tensors = [each for each in leaves if isinstance(each, torch.Tensor)]
    devices = [each for each in leaves if isinstance(each, torch.device)]
    is_result = any(isinstance(each, Apart) for each in tensors)
    if func is aten.copy_.default:
        is_result = isinstance(args[0], Apart)
    elif devices:
        is_result = devices[0] == DEVICE
    check(func, tensors, [each for each in leaves if isinstance(each, TorchGenerator)], is_result)

    def inside(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu")
        return value.inner if isinstance(value, Apart) else value

    found = func(*tree_map(inside, args), **tree_map(inside, kwargs))
    if tensors and isinstance(tensors[0], Apart) != is_result:  # no view of what it was made from
        found = found.clone() if func._opname == "to" else found
        return Apart(found) if is_result else found
    if not is_result:
        return found
    result = tree_map(
        lambda value: Apart(value) if isinstance(value, torch.Tensor) and type(value) is not Apart else value,
        found,
    )
    return return_and_correct_aliasing(func, args, kwargs, result)


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


@contextlib.contextmanager
def capturing() -> Iterator[None]:
    """Refuse what a CUDA graph cannot hold: a copy from or to the host, or a wait for a value."""
    global _is_capturing
    _is_capturing = True
    try:
        yield
    finally:
        _is_capturing = False


@contextlib.contextmanager
def available() -> Iterator[torch.device]:
    """The device, usable in this context; `waits` begins at nothing."""
    tensor = torch.tensor

    def make_tensor(data: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
        made = tensor(data, **options)  # torch would make a tensor without values
        return made if device is None else made.to(device)

    waits.clear()
    was = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch("torch.tensor", make_tensor),
            mock.patch("torch.Generator", AnyGenerator),
            # These know the kinds of devices by name.
            mock.patch("torch.is_autocast_enabled", lambda kind: False),
            mock.patch("torch.optim.adam._device_dtype_check_for_fused"),
            mock.patch("torch.optim.sgd._device_dtype_check_for_fused"),
            _Everywhere(),
        ):
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(was)
