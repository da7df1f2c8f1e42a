"""Two runs side by side on one self-contained page: how their recipes and their results differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ganscribe.core.length import Length
from ganscribe.core.scores import TRAINED
from ganscribe.metrics.caption_comparison import compare
from ganscribe.metrics.comparable import UNKNOWN_DATA, is_known, made_of
from ganscribe.metrics.tables import FAMILIES
from ganscribe.report.charts import line_chart
from ganscribe.report.shown import caption_figures, sample_grids
from ganscribe.report.sides import Record, Side, flatten
from ganscribe.report.tables import record_table

# What must be equal for scores to be comparable, in words.
FACTS = {
    "dataset": "data set",
    "source": "source of the data",
    "judge": "judge",
    "judge_sha256": "checksum of the judge",
    "num_samples": "number of generated images",
    "num_real": "number of real images",
    "num_images": "number of test images",
    "num_references": "number of references",
    "data_sha256": "checksum of the scored data",
    "tokeniser": "tokeniser",
}
LONGEST = 16  # the characters of a checksum that are shown
SHORT = 8  # the same in the table of inputs
ABSENT = "–"
ASIDE = ("epoch",)  # columns of a curve that are not drawn


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the keys that differ, with both values as text; a missing value is a dash."""
    rows = []
    for key in dict.fromkeys([*one, *other]):
        mine, theirs = (str(side[key]) if key in side else ABSENT for side in (one, other))
        if mine != theirs:
            rows.append((key, mine, theirs))
    return rows


def why_apart(one: Side, other: Side, records: tuple[Record, Record]) -> str:
    """Return why two sets of scores cannot be compared; empty if they can.

    Scores that do not say which data were scored can be compared if both runs are in one folder.
    """
    mine, theirs = (made_of(one.family, record) for record in records)
    differing = [key for key in mine if mine[key] != theirs[key]]
    said = [
        f"the {FACTS[key]} is {str(mine[key])[:LONGEST]} for {one.title},"
        f" {str(theirs[key])[:LONGEST]} for {other.title}"
        for key in differing
        if None not in (mine[key], theirs[key])
    ]
    if said:
        return "; ".join(said)
    if differing or (not is_known(mine) and one.root != other.root):
        silent = [side.title for side, each in ((one, mine), (other, theirs)) if None in each.values()]
        return f"of {' and '.join(dict.fromkeys(silent))}, {UNKNOWN_DATA}"
    return ""


def _transposed(family: str, records: Mapping[str, Record]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return rows of scores, one cell per record, and what all records share; if all are equal, none is the best."""
    table = record_table(family, records)
    cells = {row["name"]: row["cells"] for row in table["rows"]}
    rows = []
    for index, column in enumerate(table["columns"]):
        row = [cells[key][index] for key in records]
        is_drawn = all(is_best for _, is_best in row)
        shown = [{"text": text, "is_best": is_best and not is_drawn} for text, is_best in row]
        rows.append({**column, "cells": shown})
    return rows, table["notes"]


def _add_intervals(rows: list[dict[str, Any]], records: Sequence[Record]) -> None:
    """Add the interval of each score, if the files have one."""
    for row in rows:
        for cell, record in zip(row["cells"], records, strict=True):
            found = record.get("intervals", {}).get(row["name"])
            cell["interval"] = f"{found['low']:.3f} to {found['high']:.3f}" if found else ""


def _add_differences(
    rows: list[dict[str, Any]], records: Sequence[Record], paired: Mapping[str, Any]
) -> None:
    """Add by how much the first exceeds the second, with the interval on the same images if there is one."""
    for row in rows:
        name, found = row["name"], paired.get(row["name"])
        mine, theirs = (record.get(name) for record in records)
        row |= {"difference": "", "paired": "", "is_sure": False}
        if found:
            row["difference"] = f"{found['difference']:+.3f}"
            row["paired"] = f"{found['low']:+.3f} to {found['high']:+.3f}"
            row["is_sure"] = found["low"] > 0 or found["high"] < 0
        elif name != TRAINED.name and isinstance(mine, int | float) and isinstance(theirs, int | float):
            row["difference"] = f"{mine - theirs:+.4g}"


def _pairs(one: Side, other: Side) -> list[tuple[str, tuple[Record, Record]]]:
    """Return the scores by each common judge or decoding; of GANs without a common judge, those by their first ones."""
    mine, theirs = one.records, other.records
    shared = [(part, (mine[part], theirs[part])) for part in mine if part in theirs]
    if shared or one.family != "gan":
        return shared
    return [("", (next(iter(mine.values())), next(iter(theirs.values()))))]


def score_group(one: Side, other: Side, part: str, records: tuple[Record, Record]) -> dict[str, Any]:
    """Return what the page shows of scores by one judge or decoding: one table, or two if they cannot be compared."""
    reason = why_apart(one, other, records)
    tables: list[dict[str, Any]] = []
    together: list[tuple[int, ...]] = [(0,), (1,)] if reason else [(0, 1)]
    for keys in together:
        chosen = {str(key): records[key] for key in keys}
        rows, notes = _transposed(one.family, chosen)
        _add_intervals(rows, list(chosen.values()))
        tables.append({"sides": keys, "rows": rows, "notes": notes})
    if not reason:
        tables_of = [side.path(side.places.scores, f"{part}.parquet") for side in (one, other)]
        is_paired = one.family == "captioner" and all(path.is_file() for path in tables_of)
        _add_differences(tables[0]["rows"], records, compare(*tables_of, seed=0) if is_paired else {})
    is_sure = is_known(made_of(one.family, records[0]))
    return {
        "part": part,
        "reason": reason,
        "doubt": "" if reason or is_sure else UNKNOWN_DATA,
        "tables": tables,
        "has_intervals": any(record.get("intervals") for record in records),
    }


def curve_charts(one: Side, other: Side) -> dict[str, Any]:
    """Return a chart for each column that both curves have; `note` names the columns that only one has."""
    curves = [(side, side.curve) for side in (one, other)]
    missing = [side.title for side, curve in curves if curve is None]
    if missing:
        return {"charts": [], "note": f"The curve of {missing[0]} is not available."}
    step = str(one.curve.columns[0]) if one.curve is not None else ""
    columns = [
        [str(c) for c in curve.columns[1:] if c not in ASIDE] for _, curve in curves if curve is not None
    ]
    charts = []
    for name in (each for each in columns[0] if each in columns[1]):
        lines = {}
        for label, (side, curve) in zip("AB", curves, strict=True):
            points = curve[[curve.columns[0], name]].dropna() if curve is not None else pd.DataFrame()
            lines[f"{label}: {side.title}"] = (points.iloc[:, 0].tolist(), points.iloc[:, 1].tolist())
        words = name.replace("_", " ")
        alternative = f"{words} of {one.title} and of {other.title}, by {step}"
        charts.append(line_chart(lines, x_label=step, title=words, alternative=alternative))
    alone = [
        f"Only {side.title} has {', '.join(extra)}"
        for (side, _), mine, theirs in zip(curves, columns, reversed(columns), strict=True)
        if (extra := [name.replace("_", " ") for name in mine if name not in theirs])
    ]
    return {"charts": charts, "note": f"{'; '.join(alone)}." if alone else ""}


def _entry(side: Side) -> dict[str, Any]:
    """Return what the head of the page says about one run."""
    length = Length.find(side.training) or Length.find(next(iter(side.records.values()), {}))
    return {
        "title": side.title,
        "origin": side.origin,
        "trained": str(length or ""),
        "is_exercised": length is not None and length.is_exercised,
        "run_key": side.run_key,
    }


def render(one: Side, other: Side, *, images: Path, code: str) -> str:
    """Return the page that compares two runs of a family; the same files give the same bytes.

    `images` is the folder of the captioners' test images, and `code` says which code makes the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ganscribe.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    groups = [score_group(one, other, part, records) for part, records in _pairs(one, other)]
    alone = [
        f"Only {side.title} has scores by {', '.join(extra)}"
        for side, theirs in ((one, other), (other, one))
        if (extra := [part for part in side.records if part not in theirs.records])
    ]
    facts = [{k: v for k, v in side.training.items() if k != "recipe"} for side in (one, other)]
    has_inputs = bool(one.inputs and other.inputs)
    decoding = next((each["part"] for each in groups if not each["reason"]), "")
    is_captioner = one.family == "captioner"
    return environment.get_template("comparison.html").render(
        family=one.family,
        sides=[_entry(one), _entry(other)],
        scores=FAMILIES[one.family],
        groups=groups,
        alone=alone,
        parameters=differences(one.parameters, other.parameters),
        has_parameters=bool(one.parameters and other.parameters),
        facts=differences(flatten(facts[0]), flatten(facts[1])) if all(facts) else [],
        inputs=[(key, a[:SHORT], b[:SHORT]) for key, a, b in differences(one.inputs, other.inputs)],
        has_inputs=has_inputs,
        curves=curve_charts(one, other),
        grids=sample_grids(one, other) if one.family == "gan" else {"pictures": [], "note": ""},
        decoding=decoding,
        captions=caption_figures((one, other), decoding, images) if is_captioner and decoding else [],
        code=code,
    )
