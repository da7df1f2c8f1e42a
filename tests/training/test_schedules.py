"""The schedules at the points where their values are known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ganscribe.training.schedules import SCHEDULES, build_schedule


def test_schedules() -> None:
    assert SCHEDULES["cosine"](0) == 1
    assert SCHEDULES["cosine"](0.5) == pytest.approx(0.5)
    assert SCHEDULES["cosine"](1) == pytest.approx(0)
    assert [SCHEDULES["linear"](done) for done in (0, 0.25, 1)] == [1, 0.75, 0]
    factors = [SCHEDULES["step"](done) for done in (0, 0.49, 0.5, 0.74, 0.75, 0.99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert {SCHEDULES["constant"](done) for done in (0, 0.5, 1)} == {1}


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_options_a_schedule_is_its_function(name: str) -> None:
    places = (0, 0.3, 0.5, 0.99)
    for options in (None, {}, {"warm_up": 0}):
        schedule = build_schedule(name, 100, options)
        assert [schedule(done) for done in places] == [SCHEDULES[name](done) for done in places]


def test_steps_fall_where_they_are_told_to_and_by_as_much() -> None:
    schedule = build_schedule("step", 100, {"at": [0.2, 0.6, 0.8], "factor": 0.5})
    factors = [schedule(done) for done in (0, 0.19, 0.2, 0.6, 0.79, 0.8, 0.99)]
    assert factors == pytest.approx([1, 1, 0.5, 0.25, 0.25, 0.125, 0.125])


def test_a_warm_up_rises_in_a_line_to_the_schedule() -> None:
    """Step k of n has k of n steps done before it, and (k + 1) / 8 of the rate."""
    schedule = build_schedule("constant", 100, {"warm_up": 8})
    factors = [schedule(step / 100) for step in range(12)]
    assert factors == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, *[1] * 5])
    cosine = build_schedule("cosine", 100, {"warm_up": 8})
    expected = [factor * (1 + math.cos(math.pi * step / 100)) / 2 for step, factor in enumerate(factors)]
    assert [cosine(step / 100) for step in range(12)] == pytest.approx(expected)


def test_a_warm_up_of_one_step_is_none() -> None:
    schedule = build_schedule("linear", 10, {"warm_up": 1})
    assert [schedule(step / 10) for step in range(10)] == [1 - step / 10 for step in range(10)]


def test_a_training_that_is_cut_short_has_as_much_less_of_the_warm_up() -> None:
    """Of a recipe of 100 steps that ends after 20 each step stands for five: two of them are the warm-up of 8."""
    schedule = build_schedule("constant", 100, {"warm_up": 8})
    assert [schedule(step / 20) for step in range(4)] == pytest.approx([1 / 8, 6 / 8, 1, 1])


def test_an_unknown_schedule_is_refused() -> None:
    message = "^schedule 'made_up' is unknown: choose one of constant, cosine, linear, step$"
    with pytest.raises(ValueError, match=message):
        build_schedule("made_up", 10)


@pytest.mark.parametrize(
    ("name", "option", "taken"),
    [
        ("cosine", "made_up", "warm_up"),
        ("constant", "factor", "warm_up"),
        ("linear", "done", "warm_up"),
        ("step", "made_up", "factor, at, warm_up"),
    ],
)
def test_an_unknown_option_is_refused(name: str, option: str, taken: str) -> None:
    message = f"^schedule '{name}' has no option '{option}': it takes {taken}$"
    with pytest.raises(ValueError, match=message):
        build_schedule(name, 10, {option: 0.5, "warm_up": 2})


@pytest.mark.parametrize("warm_up", [10, 11, -1, 2.5, "two", None])
def test_a_warm_up_that_is_not_shorter_than_the_training_is_refused(warm_up: Any) -> None:
    message = rf"schedule_options\.warm_up {warm_up!r} must be a number of steps below 10"
    with pytest.raises(ValueError, match=message):
        build_schedule("cosine", 10, {"warm_up": warm_up})
