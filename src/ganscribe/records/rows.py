"""Runs and registered versions as plain records, and how they are read from an sqlite store without MLflow.

Importing MLflow and opening a store with it takes two to five seconds. Reading a thousand runs takes a tenth of one.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ganscribe.records.place import named_if_unreadable

# MLflow's own mark of the form of its tables (in 3.17); MLflow reads stores of any other form.
SCHEMAS = ("dc11669786a5",)
FACTS = "facts"  # a tag in JSON for checksums, counts and the md5 of each input, by which nobody filters
PREFIX = "ganscribe/"  # of the experiments' names; each family has one experiment


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One MLflow run: `started` is in milliseconds, and `inputs` has the md5 of each input."""

    run_id: str
    name: str
    family: str
    status: str
    started: int
    restored_by: str = ""  # the command that brings it back, if it was deleted
    artifact_uri: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted, alone or with its experiment."""
        return bool(self.restored_by)

    @property
    def inputs(self) -> dict[str, str]:
        """DVC's md5 of each input, by its path."""
        return {key.removeprefix("input."): md5 for key, md5 in self.tags.items() if key.startswith("input.")}


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str = ""


def restored_by(experiment_id: str) -> str:
    """Return the command that brings back a deleted experiment and its runs."""
    return f"mlflow experiments restore --experiment-id {experiment_id}"


def make_record(
    *, is_deleted: bool, metrics: dict[str, float], tags: Mapping[str, str], **known: Any
) -> RunRecord:
    """Return a run as a record, with each fact where earlier versions of the project kept it."""
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    facts = json.loads(own.pop(FACTS, "{}"))
    counts = {key: float(value) for key, value in facts.items() if not isinstance(value, str)}
    words = {key: value for key, value in facts.items() if isinstance(value, str)}
    restored = f"mlflow runs restore --run-id {known['run_id']}" if is_deleted else ""
    return RunRecord(**known, restored_by=restored, metrics=counts | metrics, tags=words | own)


class Rows:
    """What an sqlite store contains, read from its tables."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with named_if_unreadable(self._path):
            return self._database.execute(query, values).fetchall()

    def _experiments(self) -> dict[int, tuple[str, bool]]:
        query = (
            "SELECT experiment_id, name, lifecycle_stage = 'deleted' FROM experiments "
            "WHERE name GLOB ? AND workspace = 'default' ORDER BY experiment_id"
        )
        return {number: (name, bool(gone)) for number, name, gone in self._ask(query, (f"{PREFIX}*",))}

    def _by_run(self, table: str, value: str = "value") -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for run_id, key, each in self._ask(f"SELECT run_uuid, key, {value} FROM {table}"):
            found[run_id][key] = each
        return found

    def runs(self, family: str | None = None) -> list[RunRecord]:
        """Return the runs of a family (None: of all), including deleted ones, oldest first."""
        experiments = self._experiments()
        params, tags = self._by_run("params"), self._by_run("tags")
        metrics = self._by_run("latest_metrics", "CASE WHEN is_nan THEN NULL ELSE value END")
        query = (
            "SELECT run_uuid, name, status, start_time, artifact_uri, lifecycle_stage = 'deleted', experiment_id "
            "FROM runs ORDER BY start_time, run_uuid"
        )
        records = []
        for run_id, name, status, started, uri, is_deleted, number in self._ask(query):
            experiment, is_gone = experiments.get(number, ("", False))
            own = experiment.removeprefix(PREFIX)
            if not experiment or family not in (None, own):
                continue
            record = make_record(
                run_id=run_id,
                name=name,
                family=own,
                status=status,
                started=started,
                is_deleted=bool(is_deleted),
                artifact_uri=uri,
                params=params[run_id],
                metrics={key: math.nan if value is None else value for key, value in metrics[run_id].items()},
                tags=tags[run_id],
            )
            if record.is_deleted and is_gone:
                record = replace(record, restored_by=restored_by(str(number)))
            records.append(record)
        return records

    def versions(self, query: str = "") -> list[VersionRecord]:
        """Return the registered versions by name and version; `query` is empty, `name = '...'` or `run_id = '...'`."""
        asked = re.fullmatch(r"(name|run_id) = '([^']*)'", query)
        if query and asked is None:
            raise ValueError(f"{query!r} cannot be asked of the model registry")
        column, wanted = (asked[1], asked[2]) if asked else ("'all'", "all")
        tags: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for name, number, key, value in self._ask(
            "SELECT name, version, key, value FROM model_version_tags WHERE workspace = 'default'"
        ):
            tags[name, number][key] = value
        aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
        for name, number, alias in self._ask(
            "SELECT name, version, alias FROM registered_model_aliases WHERE workspace = 'default' ORDER BY alias"
        ):
            aliases[name, number].append(alias)
        found = self._ask(
            "SELECT name, version, coalesce(run_id, ''), coalesce(description, '') FROM model_versions WHERE "
            f"workspace = 'default' AND current_stage != 'Deleted_Internal' AND {column} = ? ORDER BY name, version",
            (wanted,),
        )
        return [
            VersionRecord(
                name=name,
                version=str(number),
                run_id=run_id,
                aliases=tuple(aliases[name, number]),
                tags=tags[name, number],
                description=description,
            )
            for name, number, run_id, description in found
        ]

    def deleted_experiments(self) -> dict[str, str]:
        """Return the names of the project's deleted experiments, by their ids."""
        return {str(number): name for number, (name, is_gone) in self._experiments().items() if is_gone}


def open_rows(path: Path) -> Rows | None:
    """Return the rows of the store at `path`, or None if its tables have a form that is not known here.

    Raises OSError if it is not a database.
    """
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)
    # A store that is still being made has no such table.
    with named_if_unreadable(path), contextlib.suppress(sqlite3.OperationalError):
        if database.execute("SELECT version_num FROM alembic_version").fetchone() in [
            (each,) for each in SCHEMAS
        ]:
            return Rows(path, database)
    database.close()
    return None
