"""Streams of random numbers."""

from __future__ import annotations

import torch

from ganscribe.core import seeds


def test_random_streams_are_repeatable_and_apart() -> None:
    first = torch.rand(1000, generator=seeds.random_stream(0, "noise"))
    again = torch.rand(1000, generator=seeds.random_stream(0, "noise"))
    other = torch.rand(1000, generator=seeds.random_stream(0, "order"))
    assert torch.equal(first, again)
    assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1].item()) < 0.1


def test_everything_is_seeded_and_held_to_deterministic_kernels() -> None:
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True  # which chooses kernels by their speed on the day
    try:
        seeds.seed_everything(0)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
        first = torch.rand(3)
        seeds.seed_everything(0)
        assert torch.equal(torch.rand(3), first)
        seeds.seed_everything(1)
        assert not torch.equal(torch.rand(3), first)
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
