"""The leaderboard of a family: its scored runs, best first, compared with a baseline.

Runs that a scale's cap ended so early that their scores mean nothing are listed separately, below the others.

Scores by different judges, of different counts or on different data never share a table (metrics/comparable.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ganscribe.core.length import MEANINGFUL_SHARE, Length
from ganscribe.metrics.comparable import SAME, UNKNOWN_DATA, UNSAID, is_known
from ganscribe.metrics.tables import FAMILIES as SCORES
from ganscribe.metrics.tables import RANKING, find
from ganscribe.records.store import RunRecord


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a model of a family is, how the family's runs are ranked, and what must be equal within a table."""

    name: str
    title: str  # of a model, in words
    kind: str  # of a model: see serving.KINDS
    folder: str  # below models/ and metrics/
    file: str = "model.safetensors"  # of a model, in its folder
    by_decoding: bool = False  # each decoding of a captioner is a row

    @property
    def same(self) -> tuple[str, ...]:
        """What must be equal within a table."""
        return SAME[self.name]

    @property
    def score(self) -> str:
        """The score by which runs are ranked."""
        return RANKING[self.name]

    @property
    def less_is_better(self) -> bool:
        """Whether the lowest score is the best."""
        ranking = find(self.name, self.score)
        return ranking is not None and ranking.better == "lower"

    @property
    def shown(self) -> tuple[str, ...]:
        """The scores that are shown beside the ranking score."""
        names = (score.name for score in SCORES[self.name] if "leaderboard" in score.shown)
        return tuple(name for name in names if name != self.score)


_FAMILIES = (
    Family(name="gan", title="GAN", kind="generator", folder="gan", file="generator.safetensors"),
    Family(name="classifier", title="classifier", kind="classifier", folder="classifiers"),
    Family(name="captioner", title="captioner", kind="captioner", folder="captioner", by_decoding=True),
)
FAMILIES = {family.name: family for family in _FAMILIES}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One scored run, or one decoding of it; `change` is the difference to the run `baseline`, if there is one.

    `trained`: how far, such as `15 of 3,905 steps`; empty if an earlier version of the project did not record it.
    `is_headline`: whether these are the scores by the run's first judge.
    """

    run_id: str
    name: str
    decoding: str | None
    score: float
    values: dict[str, float]
    pipeline: str
    commit: str
    scale: str
    is_dirty: bool
    started: str
    seed: str = ""
    is_headline: bool = True
    trained: str = ""
    is_exercised: bool = False
    change: float | None = None
    baseline: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that may be compared, because their scores share the `facts`: judge, counts, data."""

    facts: dict[str, Any]
    rows: list[Row]


def score_sets(record: RunRecord) -> list[dict[str, Any]]:
    """Return all scores of a run as flat dicts with their `pipeline`, one for each judge, counts and data."""
    sets = [json.loads(value) for key, value in sorted(record.tags.items()) if key.startswith("scores.")]
    # A run of an earlier version of the project has only its last scores.
    return sets or [record.tags | record.metrics]


def decodings(scores: dict[str, Any], score: str) -> list[str]:
    """Return the captioner's decodings that have been scored, from the prefixes of the keys."""
    return [key.removesuffix(f".{score}") for key in scores if key.endswith(f".{score}")]


def rows_of(record: RunRecord, family: Family) -> list[tuple[dict[str, Any], Row]]:
    """Return the rows of one run, each with the facts that all rows of its table must share."""
    found = []
    for scores in score_sets(record):
        for decoding in decodings(scores, family.score) if family.by_decoding else [None]:
            prefix = f"{decoding}." if decoding else ""
            own = {key.removeprefix(prefix): value for key, value in scores.items() if key.startswith(prefix)}
            if not isinstance(own.get(family.score), int | float) or not math.isfinite(own[family.score]):
                continue  # not scored, or not a finite number
            known = UNSAID | record.params | own
            facts = {key: _whole(known.get(key)) for key in family.same}
            length = Length.find(own)
            row = Row(
                run_id=record.run_id,
                name=record.name,
                decoding=decoding,
                score=own[family.score],
                values={key: own[key] for key in family.shown if isinstance(own.get(key), int | float)},
                pipeline=scores.get("pipeline", ""),
                commit=record.tags.get("git.commit", ""),
                scale=record.tags.get("scale", ""),
                is_dirty=record.tags.get("git.dirty") == "true",
                started=datetime.fromtimestamp(record.started / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
                seed=record.params.get("seed", ""),
                is_headline=record.tags.get("judge", facts.get("judge")) == facts.get("judge"),
                trained=str(length or ""),
                is_exercised=length is not None and length.is_exercised,
            )
            found.append((facts, row))
    return found


def latest_rows(record: RunRecord, family: Family) -> list[tuple[dict[str, Any], Row]]:
    """Return the rows of a run's last scoring by all its judges, beginning with those of the first judge."""
    plain = {key: value for key, value in record.tags.items() if not key.startswith("scores.")}
    first = rows_of(replace(record, tags=plain), family)  # a run's plain metrics are the first judge's
    facts_of = {row.decoding: facts for facts, row in first}
    return first + [
        (facts, row)
        for facts, row in rows_of(record, family)
        if (known := facts_of.get(row.decoding)) is not None
        and facts.get("judge") != known.get("judge")
        and all(value == known[key] for key, value in facts.items() if not key.startswith("judge"))
    ]


def _whole(value: Any) -> Any:
    """Return a whole number as an int: MLflow keeps counts as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def matches(
    record: RunRecord,
    *,
    pipeline: str | None = None,
    commit: str | None = None,
    scale: str | None = None,
    tags: dict[str, str] | None = None,
) -> bool:
    """Return whether a run fits; `pipeline` also fits runs whose models that pipeline took from DVC's cache."""
    own = record.tags
    if pipeline and own.get("pipeline") != pipeline and f"linked.{pipeline}" not in own:
        return False
    if commit and not own.get("git.commit", "").startswith(commit):
        return False
    if scale and own.get("scale") != scale:
        return False
    return all(own.get(key) == value for key, value in (tags or {}).items())


def build_tables(
    records: Iterable[RunRecord],
    family: str,
    *,
    baseline: str | None = None,
    shown: Callable[[RunRecord], bool] = lambda record: True,
) -> list[Table]:
    """Return the tables of a family. The baseline of a row's change need not be `shown`.

    The largest table comes first; of tables as large as each other, the one by the runs' first judge. In a table, the
    best rows come first, but those of runs that were only exercised come last.

    `baseline` is a run's id (or its first digits), name, pipeline or commit. By default each run is compared with the
    oldest run of its own name.
    """
    kind = FAMILIES[family]
    groups: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    ids: set[str] = set()
    for record in records:
        ids |= {record.run_id} if shown(record) else set()
        for facts, row in rows_of(record, kind):
            groups.setdefault(json.dumps(facts, default=str), (facts, []))[1].append(row)
    tables = []
    for facts, rows in groups.values():
        compared = [_with_change(row, _baseline_of(row, rows, baseline)) for row in rows]
        compared = [row for row in compared if row.run_id in ids]
        compared.sort(key=lambda row: (row.is_exercised, row.score if kind.less_is_better else -row.score))
        tables += [Table(facts=facts, rows=compared)] if compared else []
    return sorted(tables, key=lambda table: (-len(table.rows), not table.rows[0].is_headline))


def is_named(row: Row, name: str) -> bool:
    """Whether `name` is the row's id (or its first digits), name, pipeline or commit."""
    is_commit = len(name) >= 7 and row.commit.startswith(name)
    return is_commit or row.run_id.startswith(name) or name in (row.name, row.pipeline)


def _baseline_of(row: Row, rows: list[Row], baseline: str | None) -> Row | None:
    """Return the row to compare `row` with: the baseline's row of the same name, or else its only row."""
    by_age = sorted(rows, key=lambda other: other.started)
    chosen = [other for other in by_age if baseline is None or is_named(other, baseline)]
    same = [other for other in chosen if (other.name, other.decoding) == (row.name, row.decoding)]
    if same:
        return same[0]
    return chosen[0] if baseline and len({other.run_id for other in chosen}) == 1 else None


def _with_change(row: Row, baseline: Row | None) -> Row:
    if baseline is None:
        return row
    return replace(row, change=row.score - baseline.score, baseline=baseline.run_id)


def as_text(table: Table, family: str, width: int | None = None) -> str:
    """Return a table for the terminal: one line with the facts that its scores share, then one line per run.

    A column that has nothing to say of any run is left out, and so is the seed if all runs have the same. With
    `width`, the number of characters in a line, so are columns that do not fit: first those on a run's origin, then
    scores, from the last. Runs that were only exercised come below a line that says so. If it is not known which data
    were scored, a line says that these scores cannot be compared with those of other tables.
    """
    kind = FAMILIES[family]
    seeds = {row.seed for row in table.rows}
    lines = [
        {
            "run": row.name,
            **({"decoding": row.decoding or ""} if kind.by_decoding else {}),
            kind.score: f"{row.score:.4g}",
            "change": _change_text(row),
            **{key: _number(row.values[key]) if key in row.values else "" for key in kind.shown},
            "seed": row.seed if len(seeds) > 1 else "",
            "trained": row.trained,
            "pipeline": row.pipeline,
            "commit": row.commit[:7] + ("+" if row.is_dirty else ""),
            "started": row.started[:16],
            "id": row.run_id[:8],
        }
        for row in table.rows
    ]
    made_of = ", ".join(f"{key} {_short(value)}" for key, value in table.facts.items())
    columns = {key: [line[key] for line in lines] for key in lines[0]}
    columns = {key: cells for key, cells in columns.items() if not {"", "baseline"}.issuperset(cells)}
    widths = {key: max(len(key), *map(len, cells)) for key, cells in columns.items()}
    for key in ("started", "commit", "pipeline", *reversed(kind.shown)):
        if width is not None and sum(widths.values()) + len(widths) - 1 > width:
            widths.pop(key, None)
    text = [
        " ".join(cell.rjust(widths[key]) for key, cell in row.items() if key in widths)
        for row in ({key: key for key in widths}, *lines)
    ]
    exercised = sum(row.is_exercised for row in table.rows)
    if exercised:
        line = f"only exercised, with less than {MEANINGFUL_SHARE:.0%} of their steps:"
        text.insert(len(text) - exercised, line)
    note = [] if is_known(table.facts) else [f"not comparable with other tables, because {UNKNOWN_DATA}"]
    return "\n".join([f"{family}: {made_of}", *note, *text])


def _number(value: float) -> str:
    whole = _whole(value)
    return f"{whole:,}" if isinstance(whole, int) else f"{value:.4g}"


def _change_text(row: Row) -> str:
    if row.change is None or row.baseline == row.run_id:
        return "" if row.change is None else "baseline"
    before = row.score - row.change
    return f"{row.change:+.4g}" + (f" ({row.change / before:+.1%})" if before else "")


def _short(value: object) -> str:
    text = "unknown" if value is None else str(value)
    return text[:12] if len(text) == 64 else text  # a checksum


def as_json(table: Table, family: str) -> dict[str, Any]:
    """Return a table as plain values, with full ids and checksums."""
    facts = {"family": family, "score": FAMILIES[family].score, "facts": table.facts}
    return facts | {"rows": [asdict(row) for row in table.rows]}
