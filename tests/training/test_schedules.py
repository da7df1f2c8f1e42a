"""The schedules at the points where their values are known."""

from __future__ import annotations

import pytest

from ganscribe.training.schedules import SCHEDULES, find_schedule


def test_schedules() -> None:
    assert SCHEDULES["cosine"](0) == 1
    assert SCHEDULES["cosine"](0.5) == pytest.approx(0.5)
    assert SCHEDULES["cosine"](1) == pytest.approx(0)
    assert [SCHEDULES["linear"](done) for done in (0, 0.25, 1)] == [1, 0.75, 0]
    factors = [SCHEDULES["step"](done) for done in (0, 0.49, 0.5, 0.74, 0.75, 0.99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert {SCHEDULES["constant"](done) for done in (0, 0.5, 1)} == {1}


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="'cosin' is unknown: choose one of constant, cosine, linear, step"):
        find_schedule("cosin")
