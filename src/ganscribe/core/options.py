"""Options of a recipe: each once, with its bounds, its default, its meaning and its paper beside it.

A recipe is a frozen dataclass of the family's own package whose fields are made by `option`. `config` checks
what params.yaml says against it, and the tables of options in docs/options.md are printed from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any

# For `__pydantic_config__` of a recipe: an unknown key, a wrong type and NaN are refused.
STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The range of a number in an `Annotated` type, which pydantic checks."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**handler(source), **{name: bound for name, bound in given.items() if bound is not None}}


Count = Annotated[int, Bounds(ge=1)]
Rate = Annotated[float, Bounds(gt=0)]
Share = Annotated[float, Bounds(ge=0, le=1)]
NotNegative = Annotated[float, Bounds(ge=0)]
BelowOne = Annotated[float, Bounds(ge=0, lt=1)]


def option(meaning: str, *, default: Any = MISSING, paper: str = "") -> Any:
    """Return the field of a recipe: what the option does, and where it comes from.

    Without a `default` the option must be given. A dict, as a default, is copied for each recipe.
    """
    metadata = {"meaning": meaning, "paper": paper}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(each: Field[Any]) -> Any:
    """Return the default of a recipe's field, MISSING where it has none."""
    return each.default if each.default_factory is MISSING else each.default_factory()
