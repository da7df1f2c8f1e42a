"""The options of the recipes as Markdown, and docs/options.md, which repeats them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from ganscribe.config import files
from ganscribe.config.reading import parse_yaml
from ganscribe.config.tables import FAMILIES, describe_options, describe_recipe
from ganscribe.core import registry
from ganscribe.core.options import default_of
from ganscribe.training.schedules import SCHEDULES

BLOCKS = {
    "gan": files.GanBlock,
    "classifier": files.ClassifierBlock,
    "captioner": files.CaptionerBlock,
}


def table(text: str, head: str) -> dict[str, tuple[str, ...]]:
    """The rows of the Markdown table whose first column is `head`: the other cells by the first."""
    lines = text.splitlines()
    start = next(
        number
        for number, line in enumerate(lines)
        if line.startswith("|---") and lines[number - 1].startswith(f"| {head} |")
    )
    rows = {}
    for line in lines[start + 1 :]:
        if not line.startswith("| "):
            break
        name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        assert name not in rows
        rows[name.strip("`")] = tuple(cells)
    return rows


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_of_a_block_has_a_row_with_its_default_and_its_paper(family: str) -> None:
    recipe, _ = FAMILIES[family]
    rows = table(describe_recipe(family), "option")
    assert list(rows) == [each.name for each in fields(BLOCKS[family])]
    for each in fields(recipe):
        default, meaning = rows[each.name]
        assert each.metadata["meaning"] and meaning.startswith(each.metadata["meaning"])
        assert meaning.endswith(f"[{each.metadata['paper']}]") == bool(each.metadata["paper"])
        value = default_of(each)
        if value is MISSING:
            assert default == "must be given"
        else:
            read = parse_yaml(default.strip("`"))
            assert (tuple(read) if isinstance(read, list) else read) == value


@pytest.mark.parametrize(
    ("family", "column", "name", "options", "meaning"),
    [
        ("gan", "`objective`", "wgan_gp", "`gradient_penalty`", "1704.00028"),
        (
            "gan",
            "`objective`",
            "minimax",
            "`instance_noise`, `label_smoothing`, `r1_penalty` and `r2_penalty`",
            "1406.2661",
        ),
        ("gan", "`networks`", "dcgan_deep", "`dropout`", "1511.06434"),
        ("gan", "`networks`", "mlp", "none", "CS231n"),
        ("classifier", "`network`", "densenet_bc", "`depth`, `dropout` and `growth`", "1608.06993"),
    ],
)
def test_what_a_block_can_name_is_listed_with_its_own_options(
    family: str, column: str, name: str, options: str, meaning: str
) -> None:
    text = describe_options(family)
    assert text.startswith(describe_recipe(family))
    found = table(text, column)[name]
    assert found[0] == options
    assert meaning in found[1]


def test_a_new_file_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        '"""A | B.\n\nMore."""\n\n\ndef build(*, margin: float = 1.0, must: int): ...\n\n\ndef other(*, no=1): ...\n'
    )
    (tmp_path / "plain.py").write_text("def build(): ...\n")
    monkeypatch.setattr(registry.Registry, "folder", property(lambda self: tmp_path))
    rows = table(describe_options("gan"), "`objective`")
    assert rows == {"mine": ("`margin`", r"A \| B"), "plain": ("none", "")}


@pytest.mark.parametrize("family", ["gan", "classifier"])
def test_every_file_says_what_it_is(family: str) -> None:
    for choice in FAMILIES[family][1]:
        rows = table(describe_options(family), f"`{choice.name}`")
        silent = [choice.registry.file(name).name for name, (_, meaning) in rows.items() if not meaning]
        assert not silent, f"begin with a docstring, which `ganscribe options {family}` shows: {silent}"


def test_the_schedules_own_options_are_named() -> None:
    line = "In `schedule_options`: `warm_up` for every schedule; `factor` and `at` for `step`."
    assert line in describe_recipe("captioner").splitlines()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_schedule_is_named_where_one_is_chosen(family: str) -> None:
    _, meaning = table(describe_recipe(family), "option")["schedule"]
    assert [name for name in SCHEDULES if f"`{name}`" not in meaning] == []


def test_no_torch_is_imported_for_it() -> None:
    code = (
        "import sys; from ganscribe.config.tables import describe_options;"
        "[describe_options(family) for family in ('gan', 'classifier', 'captioner')]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_document_has_the_recipes_own_table(project: Path, family: str) -> None:
    """The document leaves out objectives and networks, so that a new file of theirs does not require a change to it."""
    text = (project / "docs/options.md").read_text()
    found = re.findall(rf"<!-- options: {family} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert [each.strip("\n") for each in found] == [describe_recipe(family)], (
        f"put `describe_recipe({family!r})` of ganscribe.config.tables between the markers of docs/options.md"
    )
