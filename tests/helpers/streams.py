"""The streams of a card, made of the CPU: it shows a wait that is missing between them.

Kernels run on the CPU, in the order in which Python asks for them. But the host and each stream know only of what they
have done or waited for, and a stream of what the host knew when it asked. What a card may therefore do in the wrong
order is a hazard: to use what is still being written, to write what is still being used, or to free what another stream
still uses and `record_stream` does not name. A copy to the host arrives when the host has waited for it.

The device has the name `meta`, as in `apart`, but its tensors say `cuda`. Its graphs are `recorded`'s. It does what an
extraction needs: it lets devices mix, and knows no random numbers and no values that the host reads one by one.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

import recorded
from recorded import tensors

CPU, DEVICE = torch.device("cpu"), torch.device("meta")
hazards: list[str] = []
late: list[tuple[Counter[Stream], Callable[[], Any]]] = []  # copies that have not arrived
_lock = threading.Lock()  # the writers of shards wait in threads of their own


class Stream:
    """A stream, or the host. `known` has, for each of them, the number of its doings that are over."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.known: Counter[Stream] = Counter()

    def wait_stream(self, other: Stream) -> None:
        self.known |= other.known  # the larger number of each

    def knows(self, doings: Counter[Stream]) -> bool:
        return doings <= self.known | host.known


class Event(Stream):
    def record(self, stream: Stream | None = None) -> None:
        self.known = (stream or current[-1]).known.copy()

    def synchronize(self) -> None:
        with _lock, _disable_current_modes():
            host.known |= self.known
            for each in [each for each in late if host.knows(each[0])]:
                late.remove(each)
                each[1]()


class OnCard(torch.Tensor):
    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: torch.device("cuda"))

    def record_stream(self, stream: Stream) -> None:
        memory_of(self).recorded.add(stream)


class Memory:
    """Who uses and writes it. `home` is the stream that it was made on."""

    def __init__(self, home: Stream) -> None:
        self.home, self.recorded, self.hazards = home, set[Stream](), hazards
        self.uses, self.writes = Counter[Stream](), Counter[Stream]()

    def __del__(self) -> None:
        uses = Counter({stream: use for stream, use in self.uses.items() if stream not in self.recorded})
        if self.home is not host and not self.home.knows(uses):  # the host's is kept until it is free
            self.hazards.append("memory is freed that another stream still uses")


host = Stream()
current: list[Stream] = []


def memory_of(tensor: torch.Tensor) -> Memory:
    storage = tensor.untyped_storage()  # torch keeps this object as long as the memory
    if not hasattr(storage, "memory"):
        storage.memory = Memory(current[-1] if isinstance(tensor, OnCard) else host)
    return storage.memory


def use(stream: Stream, read: list[torch.Tensor], written: list[torch.Tensor], what: Any) -> Counter[Stream]:
    """Note that `stream` does something now, and return it."""
    stream.known |= host.known
    stream.known[stream] += 1
    doing = Counter({stream: stream.known[stream]})
    for memory in map(memory_of, read):
        if not stream.knows(memory.writes):
            hazards.append(f"{what} uses what is still being written")
        memory.uses |= doing
    for memory in map(memory_of, written):
        if not stream.knows(memory.uses):
            hazards.append(f"{what} writes what is still being used")
        memory.uses |= doing
        memory.writes |= doing
    return doing


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        schema = func._schema.arguments
        values = dict(zip([each.name for each in schema], args, strict=False)) | (kwargs or {})
        changed = [each.name for each in schema if each.alias_info and each.alias_info.is_write]
        given, written = tensors(values), tensors([values.get(name) for name in changed])
        is_to_card = values.get("device") == DEVICE
        is_on_card = is_to_card or any(isinstance(each, OnCard) for each in given)
        stream = current[-1] if is_on_card else host
        if is_on_card and func._opname == "copy_" and not isinstance(args[0], OnCard):
            there, value = args[0], args[1].clone()
            late.append((use(stream, given, written, func), lambda: there.copy_(value)))
            return there

        def inside(value: Any) -> Any:
            return CPU if isinstance(value, torch.device) else value

        def outside(value: Any) -> Any:
            return value.as_subclass(OnCard) if is_on_card and type(value) is torch.Tensor else value

        kwargs = {name: inside(value) for name, value in (kwargs or {}).items() if name != "pin_memory"}
        found = func(*map(inside, args), **kwargs)
        known = {id(each.untyped_storage()) for each in given}
        if is_to_card and id(found.untyped_storage()) in known:  # `to` the CPU gives what is there
            found = found.clone()
        found = tree_map(outside, found)
        made = [each for each in tensors(found) if id(each.untyped_storage()) not in known]
        if made or written or not tensors(found):  # else it is a view
            use(stream, given, [*written, *made], func)
        return found


@contextlib.contextmanager
def _switch(stream: Stream) -> Iterator[None]:
    current.append(stream)
    yield
    current.pop()


@contextlib.contextmanager
def available(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The device, usable in this context; `hazards` and `late` begin empty."""
    recorded.capture(monkeypatch)
    for name, instead in {
        "Stream": Stream, "Event": Event, "current_stream": lambda device: current[-1], "stream": _switch,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, instead)
    global hazards
    hazards = []  # another list: what an earlier test has left may be freed only now
    late.clear()
    current[:] = [Stream()]
    with _Everywhere():
        yield DEVICE
