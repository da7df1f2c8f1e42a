"""The recipe: what each option means, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ganscribe.convnets.common.recipe import ClassifierRecipe

LEAST = {"network": "lenet5", "dataset": "mnist", "epochs": 0.5}


def test_what_must_be_given_is_enough() -> None:
    assert TypeAdapter(ClassifierRecipe).validate_json(json.dumps(LEAST)) == ClassifierRecipe(**LEAST)


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
