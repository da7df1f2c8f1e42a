"""VGG-11 against its layer table."""

from __future__ import annotations

from functools import partial

from layer_counts import check_counts, vgg

COLUMN_A = [[64], [128], [256] * 2, [512] * 2, [512] * 2]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("vgg11", partial(vgg, COLUMN_A), features=512)
