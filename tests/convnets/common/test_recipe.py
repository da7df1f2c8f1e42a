"""The recipe: what each option means, what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ganscribe.convnets.common.recipe import ClassifierRecipe

LEAST: dict[str, Any] = {"network": "lenet5", "dataset": "mnist", "epochs": 0.5}
DEFAULTS: dict[str, Any] = {
    "options": {},  # the papers' own
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "betas": (0.9, 0.999),
    "momentum": 0.9,
    "weight_decay": 0.0,
    "decay": "all",
    "schedule": "cosine",
    "schedule_options": {},
    "batch_size": 128,
    "shift": 0,
    "flip": False,
}


def test_what_must_be_given_is_enough_for_the_defaults() -> None:
    """A changed default would change every run whose block does not name it."""
    found = TypeAdapter(ClassifierRecipe).validate_json(json.dumps(LEAST))
    assert found == ClassifierRecipe(**LEAST) and asdict(found) == LEAST | DEFAULTS


@pytest.mark.parametrize(
    "change",
    [
        {"made_up": 1},
        {"dataset": "made_up"},
        {"optimiser": "made_up"},
        {"epochs": 0},
        {"epochs": float("nan")},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"shift": -1},
        {"flip": 1},
        {"momentum": 1.5},
        {"weight_decay": -0.1},
        {"decay": "some"},
    ],
)
def test_bad_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(ClassifierRecipe).validate_json(json.dumps(LEAST | change))
    assert [problem["loc"] for problem in error.value.errors()] == [tuple(change)]
