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
