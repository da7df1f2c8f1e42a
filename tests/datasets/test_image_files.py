"""How many images may be missing or broken."""

from __future__ import annotations

from ganscribe.datasets.image_files import bad_image_budget


def test_budget() -> None:
    assert [bad_image_budget(*case) for case in [(1000, 0.001), (999, 0.001), (100, 0.29), (5, 0)]] == [
        1,
        0,
        29,
        0,
    ]
