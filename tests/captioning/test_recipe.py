import json
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ganscribe.captioning.recipe import CaptionerRecipe

GIVEN: dict[str, Any] = {"epochs": 3}


def test_the_defaults_are_those_of_the_tutorial_with_every_addition_off() -> None:
    """A changed default would change every run whose block does not name it."""
    assert asdict(CaptionerRecipe(**GIVEN)) == {
        "embedding_dim": 256,
        "units": 512,
        "encoder_dim": 256,
        "standardise": False,
        "gate": False,
        "dropout": 0.0,
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "schedule": "constant",
        "schedule_options": {},
        "batch_size": 64,
        "epochs": 3,
        "clip_norm": None,
        "label_smoothing": 0.0,
        "doubly_stochastic": 0.0,
        "scheduled_sampling": 0.0,
        "early_stopping": None,
    }
    with pytest.raises(TypeError, match="epochs"):
        CaptionerRecipe()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("label_smoothing", 1.0),
        ("doubly_stochastic", -1.0),
        ("scheduled_sampling", 1.1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("clip_norm", 0.0),
        ("early_stopping", 0),
        ("epochs", 2.5),
        ("units", 0),
        ("gate", 1),
        ("optimiser", "adamw"),
        ("schedule", "exponential"),
        ("drop_out", 0.5),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: Any) -> None:
    """Read a recipe as config does, from JSON."""
    adapter = TypeAdapter(CaptionerRecipe)
    assert adapter.validate_json(
        json.dumps(GIVEN | {"dropout": 0.99, "clip_norm": 5.0, "scheduled_sampling": 1.0})
    )
    with pytest.raises(ValidationError, match=name):
        adapter.validate_json(json.dumps(GIVEN | {name: value}))
