"""VGG-11 against its layer table."""

from __future__ import annotations

from functools import partial

import written_out
from layer_counts import check_counts, vgg

COLUMN_A = [[64], [128], [256] * 2, [512] * 2, [512] * 2]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("vgg11", partial(vgg, COLUMN_A), features=512)


def test_features_are_those_of_the_layers_written_out() -> None:
    written_out.check_features("vgg11", partial(written_out.vgg, COLUMN_A))
