"""MLflow's store: where it is, how it is opened, and its runs and registered versions as plain records.

The store is `sqlite:///<main repository>/mlflow.db`, artifacts lie in `<main repository>/mlartifacts`, so
that `dvc exp run --temp` and `--queue` lose nothing with their folders; `MLFLOW_TRACKING_URI` overrides both.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ganscribe.core.files import project_root
from ganscribe.records.outbox import tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

SQLITE = "sqlite:///"
PREFIX = "ganscribe/"  # of the names of the experiments, one a family
ALL_RUNS = 3  # mlflow.entities.ViewType.ALL: deleted ones too


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One MLflow run, as it is read: `started` in milliseconds, `inputs` the md5 of each input."""

    run_id: str
    name: str
    family: str
    status: str
    started: int
    is_deleted: bool = False
    artifact_uri: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

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


def store_file() -> Path | None:
    """The store's sqlite file, None where the store is not one."""
    uri = tracking_uri()
    return Path(uri.removeprefix(SQLITE).split("?")[0]) if uri.startswith(SQLITE) else None


def _check_sqlite() -> None:
    """Refuse a file that is not a database; MLflow would try again and again for minutes."""
    path = store_file()
    if path is None or not path.exists():
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise OSError(
            f"the MLflow store {path} cannot be read ({error}): restore it from a backup, or move it and "
            "mlartifacts away; `dvc repro --force --single-item link_runs` notes your models in a new one"
        ) from error


def open_client() -> MlflowClient:
    """A client of the tracking store; creates it on first use, under a lock. OSError where it cannot."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the outbox keeps what did not arrive
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    uri = tracking_uri()
    # Two processes that both find a fresh sqlite file empty would both create its tables.
    with store_lock():
        _check_sqlite()
        try:
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
        except MlflowException as error:
            raise OSError(f"the MLflow store at {uri} cannot be opened: {error.message}") from error
        except ModuleNotFoundError as error:
            if error.name != "psycopg":
                raise
            raise ValueError(
                'a store in PostgreSQL needs psycopg: pip install "ganscribe[postgresql]"'
            ) from error
    return client


def store_lock() -> filelock.BaseFileLock:
    """The lock of what two processes must not do to the store at once."""
    return filelock.FileLock(project_root() / "mlflow.db.lock")


def open_existing() -> MlflowClient:
    """A client of a store that is there. Raises FileNotFoundError where none has been made yet."""
    path = store_file()
    if path is not None and not path.is_file():
        raise FileNotFoundError(
            f"there is no MLflow store at {path} yet: `dvc repro` makes it as it trains, or set "
            "MLFLOW_TRACKING_URI; run this in the project's top folder"
        )
    return open_client()


def experiment_id(client: MlflowClient, family: str) -> str:
    """The id of the family's experiment, made where it is missing."""
    from mlflow.exceptions import MlflowException

    name = f"{PREFIX}{family}"
    with store_lock():
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        # A server decides itself where artifacts go; a database would put them under the working folder.
        is_server = tracking_uri().startswith(("http:", "https:", "databricks"))
        location = None if is_server else (project_root() / "mlartifacts" / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)  # another clone was faster


def registered_name(family: str, name: str) -> str:
    """Return what the models of a run are called in MLflow's registry."""
    return f"ganscribe-{family}-{name}"


def find_runs(client: MlflowClient, value: str, *, tag: str = "run_key") -> list[Run]:
    """The runs whose `tag` has this value, in any experiment, newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    newest_first = ["attributes.start_time DESC"]
    return list(client.search_runs(experiments, f"tags.{tag} = '{value}'", order_by=newest_first))


def find_run(client: MlflowClient, run_key: str) -> Run | None:
    """The run whose model the key `run_key` stands for: the newest FINISHED one, else the newest."""
    runs = find_runs(client, run_key)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    return next(iter(finished or runs), None)


def as_record(run: Run, family: str) -> RunRecord:
    """An MLflow run as a plain record."""
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        family=family,
        status=run.info.status,
        started=run.info.start_time,
        is_deleted=run.info.lifecycle_stage == "deleted",
        artifact_uri=run.info.artifact_uri,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags={key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
    )


def read_runs(client: MlflowClient, family: str | None = None, *, query: str = "") -> list[RunRecord]:
    """The runs of a family (None: of all), deleted ones too, oldest first; `query` in MLflow's own filter."""
    experiments = {
        each.experiment_id: each.name.removeprefix(PREFIX)
        for each in client.search_experiments(view_type=ALL_RUNS)
        if each.name.startswith(PREFIX) and family in (None, each.name.removeprefix(PREFIX))
    }
    records: list[RunRecord] = []
    token: str | None = None
    while experiments:
        page = client.search_runs(
            list(experiments), query, ALL_RUNS, order_by=["attributes.start_time ASC"], page_token=token
        )
        records += [as_record(run, experiments[run.info.experiment_id]) for run in page]
        token = page.token
        if not token:
            break
    return records


def read_versions(client: MlflowClient, query: str = "") -> list[VersionRecord]:
    """The registered versions that MLflow's filter `query` picks, by name and version."""
    aliases: dict[tuple[str, str], list[str]] = {}  # versions come without theirs from a search
    for model in client.search_registered_models(max_results=1000):
        for alias, number in sorted(model.aliases.items()):
            aliases.setdefault((model.name, str(number)), []).append(alias)
    versions = [
        VersionRecord(
            name=each.name,
            version=str(each.version),
            run_id=each.run_id or "",
            aliases=tuple(aliases.get((each.name, str(each.version)), ())),
            tags=dict(each.tags),
        )
        for each in client.search_model_versions(query)
    ]
    return sorted(versions, key=lambda each: (each.name, int(each.version)))


def read_artifact(client: MlflowClient, run_id: str, name: str) -> str | None:
    """The text of a run's artifact, None where the run has none of this name."""
    if name not in [entry.path for entry in client.list_artifacts(run_id)]:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(run_id, name, folder)
        return Path(path).read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def global_uri() -> Iterator[None]:
    """The tracking store as MLflow's global one, which logging a model goes by."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
