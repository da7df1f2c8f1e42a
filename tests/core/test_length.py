"""How far a training went: in words, as facts that can be read again, and whether it means anything."""

from __future__ import annotations

import pytest

from ganscribe.core.length import Length, exercised_sentence, is_exercised, labels


@pytest.mark.parametrize(
    ("trained", "recipe", "text", "note", "exercised"),
    [
        (15, 3905, "15 of 3,905 steps", "only exercised, 15 of 3,905 steps", True),
        (99, 1000, "99 of 1,000 steps", "only exercised, 99 of 1,000 steps", True),
        (100, 1000, "100 of 1,000 steps", "100 of 1,000 steps", False),
        (350, 1950, "350 of 1,950 steps", "350 of 1,950 steps", False),
        (3905, 3905, "3,905 steps", "", False),
    ],
)
def test_a_length_in_words(trained: int, recipe: int, text: str, note: str, exercised: bool) -> None:
    length = Length(trained, recipe)
    assert (str(length), length.note, length.is_exercised) == (text, note, exercised)
    assert length.label("mine") == (f"mine: {note}" if note else "mine")
    assert length.title("mine") == (f"mine: {note}" if note else "")


def test_facts_are_read_again() -> None:
    length = Length(30, 40)
    assert length.scores == {"trained_steps": 30, "recipe_steps": 40, "trained": 0.75}
    assert Length(50, 40).share == 1
    assert Length.read(length.facts) == Length.find({"fid": 1.0} | length.scores) == length
    assert Length.find({"trained_steps": 3.0, "recipe_steps": 4.0}) == Length(3, 4), "as MLflow keeps them"
    assert Length.find({"fid": 1.0}) is None
    with pytest.raises(KeyError, match="trained_steps"):
        Length.read({"updates": 3})


def test_what_says_nothing_of_its_length_passes_for_meaningful() -> None:
    assert is_exercised(Length(1, 100).facts)
    assert not is_exercised(Length(50, 100).facts) and not is_exercised({})
    runs = {"old": {}, "short": Length(1, 100).facts, "long": Length(50, 100).facts}
    assert labels(runs) == {
        "old": "old",
        "short": "short: only exercised, 1 of 100 steps",
        "long": "long: 50 of 100 steps",
    }
    assert exercised_sentence(runs).endswith(" mean nothing: short (1 of 100 steps).")
    assert exercised_sentence({"old": {}}) == ""
