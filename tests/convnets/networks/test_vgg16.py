"""VGG-16 against its layer table."""

from __future__ import annotations

from functools import partial

from layer_counts import check_counts, vgg

COLUMN_D = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("vgg16", partial(vgg, COLUMN_D), features=512)
