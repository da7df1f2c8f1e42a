"""The options of a family's recipes as Markdown: for `ganscribe options`, and for the tables in docs/options.md.

No module of an objective or a network is imported for it, so that it needs no torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.config.reading import CONVNETS, GAN_NETWORKS, OBJECTIVES
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.options import default_of
from ganscribe.core.registry import Registry, option_names
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.training.schedules import SCHEDULES


@dataclass(frozen=True)
class Choice:
    """An option that names a file of a registry; `options` holds the arguments of that file's `functions`."""

    name: str
    options: str
    registry: Registry
    functions: tuple[str, ...]


_BUILDERS = ("build_generator", "build_discriminator")
FAMILIES: dict[str, tuple[type[Any], tuple[Choice, ...]]] = {
    "gan": (
        GanRecipe,
        (
            Choice("objective", "objective_options", OBJECTIVES, ("build",)),
            Choice("networks", "network_options", GAN_NETWORKS, _BUILDERS),
        ),
    ),
    "classifier": (ClassifierRecipe, (Choice("network", "options", CONVNETS, ("build",)),)),
    "captioner": (CaptionerRecipe, ()),
}
# Every block may have it, and it is not part of the recipe.
_CAP = ("`cap`", "the family's", "the largest number of updates, by scale, such as `{sample: 100, tiny: 10}`")


def describe_recipe(family: str) -> str:
    """Return the keys that a run's block of the family can have, as a Markdown table, and a line on schedules.

    Raises KeyError for any other word than gan, classifier or captioner.
    """
    recipe, _ = FAMILIES[family]
    rows = [(f"`{each.name}`", _default(each), _meaning(each)) for each in fields(recipe)]
    return f"{_table(('option', 'default', 'what it does'), [*rows, _CAP])}\n\n{_schedules()}"


def describe_options(family: str) -> str:
    """Return `describe_recipe`, and a table of the objectives and networks that exist with their own options."""
    _, choices = FAMILIES[family]
    return "\n\n".join([describe_recipe(family), *map(_files, choices)])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _default(each: Field[Any]) -> str:
    """Return the default as params.yaml would have it."""
    value = default_of(each)
    return "must be given" if value is MISSING else f"`{_as_yaml(value)}`"


def _as_yaml(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meaning(each: Field[Any]) -> str:
    """Return what the option does, and the paper that it is from."""
    meaning, paper = each.metadata["meaning"], each.metadata["paper"]
    return f"{meaning} [{paper}]" if paper else str(meaning)


def _schedules() -> str:
    """Return one sentence that says which options the schedules have."""
    own = {name: option_names(schedule) for name, schedule in SCHEDULES.items()}
    parts = [
        "`warm_up` for every schedule",
        *(f"{_names(names)} for `{name}`" for name, names in own.items() if names),
    ]
    return f"In `schedule_options`: {'; '.join(parts)}."


def _files(choice: Choice) -> str:
    """Return the table of the files that an option can name, each with the options of its own."""
    rows = []
    for name in choice.registry.names():
        own = choice.registry.option_names(name, *choice.functions)
        rows.append((f"`{name}`", _names(own) or "none", _first_line(choice.registry, name)))
    return _table((f"`{choice.name}`", f"in `{choice.options}`", "what it is"), rows)


def _names(names: Sequence[str]) -> str:
    """Return `a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))


def _first_line(registry: Registry, name: str) -> str:
    """Return the first line of a file's docstring, without importing the file."""
    text = ast.get_docstring(ast.parse(registry.file(name).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".").replace("|", r"\|")
