"""Recipes are checked by pydantic and need none: types, bounds, defaults, what an option says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.options import (
    STRICT,
    BelowOne,
    Bounds,
    Count,
    NotNegative,
    Rate,
    Share,
    default_of,
    option,
)
from ganscribe.gan.common.recipe import GanRecipe


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A made-up recipe with an option of each kind."""

    __pydantic_config__ = STRICT

    name: str = option("what it is called")
    kind: Literal["round", "square"] = option("its shape", default="round")
    count: Count = option("how many", default=3)
    rate: Rate = option("how fast", default=0.5, paper="Nobody 2000.00000")
    share: Share = option("a part of a whole", default=0.0)
    weight: NotNegative = option("what it weighs", default=0.0)
    decay: BelowOne = option("how much of it stays", default=0.0)
    between: Annotated[float, Bounds(gt=-1, lt=1)] | None = option("neither end", default=None)
    pair: tuple[float, float] = option("two numbers", default=(0.5, 1.0))
    is_on: bool = option("whether", default=False)
    options: dict[str, Any] = option("what belongs to others", default={"a": 1})


def parse(shape: type, **values: Any) -> Any:
    return TypeAdapter(shape).validate_json(json.dumps(values))


def test_good_values_are_taken() -> None:
    assert parse(Recipe, name="x") == Recipe(name="x")
    ends: dict[str, Any] = {
        "count": 1,
        "rate": 1e-9,
        "share": 1.0,
        "weight": 0.0,
        "decay": 0.999,
        "between": -0.999,
    }
    more: dict[str, Any] = {"kind": "square", "pair": [1, 2], "is_on": True, "options": {"b": [1, "two"]}}
    found = parse(Recipe, name="x", **ends, **more)
    assert found == Recipe(name="x", **ends, **(more | {"pair": (1.0, 2.0)}))
    assert parse(Recipe, name="x", rate=1).rate == 1.0  # a whole number is a number


@pytest.mark.parametrize(
    "change",
    [
        {"made_up": 1},
        {"name": 5},
        {"name": None},
        {"kind": "made_up"},
        {"count": 0},
        {"count": 2.0},
        {"count": "3"},
        {"count": True},
        {"rate": 0.0},
        {"rate": -1},
        {"rate": "0.1"},
        {"share": -0.01},
        {"share": 1.01},
        {"weight": -0.01},
        {"decay": 1.0},
        {"decay": -0.01},
        {"between": 1.0},
        {"between": -1},
        {"is_on": 1},
        {"options": []},
        *({key: float("nan")} for key in ("rate", "share", "weight", "decay", "between")),
        *({key: float("inf")} for key in ("rate", "weight")),
    ],
    ids=str,
)
def test_bad_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        parse(Recipe, **({"name": "x"} | change))
    assert [problem["loc"] for problem in error.value.errors()] == [tuple(change)]


@pytest.mark.parametrize("pair", [[0.5], [0.5, 1.0, 2.0], [0.5, float("nan")], [0.5, "1"], 0.5])
def test_a_pair_is_two_numbers(pair: Any) -> None:
    with pytest.raises(ValidationError, match="pair"):
        parse(Recipe, name="x", pair=pair)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as error:
        parse(Recipe, made_up=1, count=0, share=2.0)
    assert {problem["loc"][0] for problem in error.value.errors()} == {"name", "made_up", "count", "share"}


@pytest.mark.parametrize("recipe", [GanRecipe, ClassifierRecipe, CaptionerRecipe])
def test_every_option_says_what_it_does(recipe: type) -> None:
    for each in fields(recipe):
        assert len(each.metadata["meaning"]) > 5 and set(each.metadata) == {"meaning", "paper"}


def test_an_option_says_what_it_does_and_where_it_comes_from() -> None:
    said = {each.name: each.metadata for each in fields(Recipe)}
    assert said["rate"] == {"meaning": "how fast", "paper": "Nobody 2000.00000"}
    assert said["name"] == {"meaning": "what it is called", "paper": ""}


def test_defaults_are_known_and_dicts_are_not_shared() -> None:
    defaults = {each.name: default_of(each) for each in fields(Recipe)}
    assert defaults["name"] is MISSING
    assert defaults["between"] is None and defaults["pair"] == (0.5, 1.0)
    assert defaults["options"] == {"a": 1} and defaults["options"] is not default_of(fields(Recipe)[-1])
    first, second = Recipe(name="x"), Recipe(name="y")
    first.options["a"] = 2
    assert second.options == {"a": 1} == Recipe(name="z").options
    with pytest.raises(TypeError, match="name"):
        Recipe()


def test_bounds_that_are_not_given_are_none() -> None:
    adapter = TypeAdapter(Annotated[int, Bounds()])
    assert adapter.validate_json("-7") == -7


def test_pydantic_need_not_be_there() -> None:
    rooms = ("gan.common", "convnets.common", "captioning")
    modules = ", ".join(f"ganscribe.{room}.{name}" for room in rooms for name in ("recipe", "training"))
    code = f"import sys; sys.modules['pydantic'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
