"""The tables of the page: comparable runs share a table, the best first, and the best values are marked.

Runs that were only exercised are listed separately, below the others, and are never the best.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganscribe.core.length import Length, is_exercised
from ganscribe.core.scores import TRAINED, Score
from ganscribe.metrics.caption_comparison import compare
from ganscribe.metrics.comparable import UNKNOWN_DATA, is_known, made_of
from ganscribe.metrics.tables import RANKING, find

Record = dict[str, Any]
COLLAPSED_RECALL = 0.01  # of the real images that lie among the generated ones


def format_number(value: object) -> str:
    """Return a number as people read it: with four significant digits, or in full if it is whole; text is unchanged."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def _ranking(family: str) -> Callable[[Record], float]:
    """Return the key that sorts records of scores, the best first."""
    name = RANKING[family]
    score = find(family, name)
    sign = -1 if score is not None and score.better == "higher" else 1
    return lambda record: sign * record.get(name, float("inf") * sign)


def score_table(family: str, files: dict[str, Path]) -> dict[str, Any]:
    """Return a family's JSON files of scores as a table, one row per file (`record_table`)."""
    return record_table(family, {name: json.loads(path.read_text()) for name, path in files.items()})


def record_table(family: str, found: Mapping[str, Record]) -> dict[str, Any]:
    """Return scores of a family's runs as a table with one row per name; what all runs share goes to the notes."""
    rank = _ranking(family)
    records = dict(sorted(found.items(), key=lambda item: rank(item[1])))
    columns = list(dict.fromkeys(key for record in found.values() for key in record))
    plain = [key for key in columns if not any(isinstance(r.get(key), list | dict) for r in records.values())]
    notes = [
        key
        for key in plain
        if len({r.get(key) for r in records.values()}) == 1
        and (key.startswith("num_") or all(isinstance(r.get(key), str) for r in records.values()))
    ]
    hidden = {*notes, *Length(0, 1).facts}  # a row says in one cell how far it was trained
    scores = {key: find(family, key) for key in plain if key not in hidden}
    shown = {key: score for key, score in scores.items() if score is None or "report" in score.shown}
    shown = {key: shown[key] for key in sorted(shown, key=lambda key: key != TRAINED.name)}
    compared = [
        record for record in records.values() if not is_exercised(record) and not has_collapsed(record)
    ]
    rows = [
        {
            "name": name,
            "is_exercised": is_exercised(record),
            "is_collapsed": has_collapsed(record),
            "cells": [
                (_cell(key, record), _is_best(score, record, compared)) for key, score in shown.items()
            ],
        }
        for name, record in records.items()
    ]
    first: Record = next(iter(records.values()), {})
    return {
        "columns": [{"name": key, "better": score.better if score else ""} for key, score in shown.items()],
        "rows": rows,
        "notes": {key: first[key] for key in notes},
    }


def _cell(key: str, record: Record) -> str:
    length = Length.find(record) if key == TRAINED.name else None
    return str(length) if length else format_number(record.get(key, ""))


def has_collapsed(record: Record) -> bool:
    """Return whether a GAN draws one image over and over. Some scores of such a run are flawless, but mean nothing."""
    return record.get("recall", 1) < COLLAPSED_RECALL or record.get("modes", 2) <= 1


def _is_best(score: Score | None, record: Record, compared: Sequence[Record]) -> bool:
    if score is None or not score.better or record not in compared:
        return False
    values = [found for each in compared if isinstance(found := each.get(score.name), int | float)]
    best = max if score.better == "higher" else min
    return len(values) > 1 and bool(record.get(score.name) == best(values))


def comparable_files(family: str, files: dict[str, Path]) -> list[tuple[dict[str, Any], dict[str, Path]]]:
    """Return groups of JSON files whose scores may share a table, with the facts they share, the largest first."""
    groups: dict[str, tuple[dict[str, Any], dict[str, Path]]] = {}
    for name, path in files.items():
        facts = made_of(family, json.loads(path.read_text()))
        groups.setdefault(json.dumps(facts), (facts, {}))[1][name] = path
    return [group for _, group in sorted(groups.items(), key=lambda item: (-len(item[1][1]), item[0]))]


def score_tables(family: str, files: dict[str, Path]) -> list[dict[str, Any]]:
    """Return one table of scores for each judge, counts and data: scores that differ in these share no column."""
    return [
        {
            "facts": facts,
            "doubt": "" if is_known(facts) else UNKNOWN_DATA,
            "table": score_table(family, group),
        }
        for facts, group in comparable_files(family, files)
    ]


def interval_table(files: dict[str, Path]) -> dict[str, Any]:
    """Return the 95% intervals in JSON files of caption scores as a table with one row per file."""
    read = {name: json.loads(path.read_text()) for name, path in files.items()}
    rank = _ranking("captioner")
    records = dict(sorted(read.items(), key=lambda item: rank(item[1])))
    found = {name: record["intervals"] for name, record in records.items()}
    columns = [{"name": name, "better": ""} for name in next(iter(found.values()), {})]
    rows = [
        {
            "name": name,
            "is_exercised": is_exercised(records[name]),
            "is_collapsed": False,
            "cells": [(f"{each['low']:.3f} to {each['high']:.3f}", False) for each in row.values()],
        }
        for name, row in found.items()
    ]
    return {"columns": columns, "rows": rows, "notes": {}}


def difference_table(root: Path, runs: Sequence[str]) -> dict[str, Any]:
    """Return the difference of every pair of captioners, by decoding, with its paired 95% interval, as a table."""
    found = {}
    for one, other in itertools.combinations(runs, 2):
        for path in sorted((root / "data" / "captioned" / one).glob("*.parquet")):
            second = root / "data" / "captioned" / other / path.name
            if second.exists():
                found[f"{one} minus {other}, {path.stem}"] = compare(path, second, seed=0)
    columns = [{"name": name, "better": ""} for name in next(iter(found.values()), {})]
    rows = [
        {
            "name": name,
            "is_exercised": False,
            "is_collapsed": False,
            "cells": [
                (
                    f"{each['difference']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})",
                    each["low"] > 0 or each["high"] < 0,
                )
                for each in row.values()
            ],
        }
        for name, row in found.items()
    ]
    return {"columns": columns, "rows": rows, "notes": {}}
