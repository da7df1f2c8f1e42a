"""Pixels there and back."""

from __future__ import annotations

import pytest
import torch

from ganscribe.datasets.pixels import scale_images, to_signed, to_uint8

LEVELS = torch.arange(256, dtype=torch.uint8)


def test_every_level_comes_back() -> None:
    for scale in (to_signed, scale_images):
        signed = scale(LEVELS)
        assert (signed[0], signed[-1]) == (pytest.approx(-1), pytest.approx(1))
        assert torch.equal(to_uint8(signed), LEVELS)


@pytest.mark.parametrize("off", [-0.45, 0.45])
def test_what_lies_between_two_levels_is_the_nearest(off: float) -> None:
    between = (LEVELS.double() + off) / 127.5 - 1  # below the darkest and above the brightest, too
    assert torch.equal(to_uint8(between), LEVELS)
