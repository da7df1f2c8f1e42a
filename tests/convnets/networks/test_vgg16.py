"""VGG-16 against its layer table."""

from __future__ import annotations

from functools import partial

import written_out
from layer_counts import check_counts, vgg

COLUMN_D = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("vgg16", partial(vgg, COLUMN_D), features=512)


def test_features_are_those_of_the_layers_written_out() -> None:
    written_out.check_features("vgg16", partial(written_out.vgg, COLUMN_D))
