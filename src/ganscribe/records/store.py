"""MLflow's store: where it is, how it is opened, and its runs and registered versions as plain records.

The store is `sqlite:///<main repository>/mlflow.db`, with the artifacts in `<main repository>/mlartifacts`, so nothing
is lost with the folders of `dvc exp run --temp` and `--queue`. `MLFLOW_TRACKING_URI` overrides both.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.core.files import project_root
from ganscribe.execution.messages import hide_secrets, one_line
from ganscribe.records.outbox import tracking_uri
from ganscribe.records.place import check_sqlite, correct_addresses, store_file, store_lock
from ganscribe.records.rows import PREFIX, Rows, RunRecord, VersionRecord, make_record, open_rows, restored_by

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

PAGE = 1000  # entries per page of MLflow's lists
ACTIVE, ALL = 1, 3  # mlflow.entities.ViewType: without and with deleted ones


def open_client() -> MlflowClient:
    """Return a client of the tracking store, which is created on first use, under a lock.

    Raises OSError, without the password in its address, if the store cannot be opened for any reason.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the outbox keeps what did not arrive
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    from mlflow.tracking import MlflowClient

    uri = tracking_uri()
    correct_addresses()
    # Two processes that both find a fresh sqlite file empty would both create its tables.
    with store_lock():
        check_sqlite()
        try:
            _make_store(uri)
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
        except Exception as error:  # SQLAlchemy, drivers and MLflow raise what they like
            raise OSError(
                f"the MLflow store at {hide_secrets(uri)} cannot be opened: {one_line(error)} {_remedy(error)}"
            ) from error
    return client


def _make_store(uri: str) -> None:
    """Make the sqlite file of the store if there is none, whatever the working folder is called.

    MLflow itself writes the folder's name into a query without escaping it, and fails if the name contains both kinds
    of quotes, or ` :`.
    """
    path = store_file()
    if path is not None and not path.exists():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, Path("mlruns").absolute().as_uri())


def _remedy(error: Exception) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return "(is it running, and is MLFLOW_TRACKING_URI its address?)"
    if error.name in ("psycopg", "psycopg2"):
        return '(pip install "ganscribe[postgresql]", and an address that begins with postgresql+psycopg://)'
    return f"(install the driver {error.name}, or name another one in MLFLOW_TRACKING_URI)"


def open_reader() -> MlflowClient | Rows:
    """Return the fastest reader of an existing store. Raises FileNotFoundError if none has been made yet."""
    correct_addresses()
    path = store_file()
    rows = open_rows(path) if path is not None and path.is_file() else None
    return rows or open_existing()


def open_existing() -> MlflowClient:
    """Return a client of an existing store. Raises FileNotFoundError if none has been made yet."""
    path = store_file()
    if path is not None and not path.is_file():
        raise FileNotFoundError(
            f"there is no MLflow store at {path} yet: `dvc repro` makes it as it trains, or set "
            "MLFLOW_TRACKING_URI; run this in the project's top folder"
        )
    return open_client()


def experiment_id(client: MlflowClient, family: str, tags: dict[str, str] | None = None) -> str:
    """Return the id of the family's experiment, which is created if it is missing.

    It gets those of the `tags` whose names it does not have. Raises ValueError if it was deleted.
    """
    from mlflow.exceptions import MlflowException

    name = f"{PREFIX}{family}"
    with store_lock():
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            for key, value in (tags or {}).items():
                if key not in experiment.tags and experiment.lifecycle_stage != "deleted":
                    client.set_experiment_tag(experiment.experiment_id, key, value)
            return str(_active(experiment).experiment_id)
        # A server decides itself where artifacts go; a database would put them under the working folder.
        is_server = tracking_uri().startswith(("http:", "https:", "databricks"))
        location = None if is_server else (project_root() / "mlartifacts" / name).as_uri()
        try:
            return str(client.create_experiment(name, location, tags))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
            return str(_active(experiment).experiment_id)  # another clone was faster


def _active(experiment: Experiment) -> Experiment:
    if experiment.lifecycle_stage == "deleted":
        command = restored_by(experiment.experiment_id)
        raise ValueError(
            f"the experiment {experiment.name} was deleted in MLflow: `{command}` brings it back"
        )
    return experiment


def registered_name(family: str, name: str) -> str:
    """Return what the models of a run are called in MLflow's registry."""
    return f"ganscribe-{family}-{name}"


def every(search: Callable[..., Any], **wanted: Any) -> list[Any]:
    """Return everything that one of MLflow's searches finds, from all pages."""
    from mlflow.utils import get_results_from_paginated_fn

    def page(number: int, token: str | None) -> Any:
        return search(max_results=number, page_token=token, **wanted)

    return list(get_results_from_paginated_fn(page, PAGE))


def _experiments(client: MlflowClient, view: int) -> dict[str, Experiment]:
    """Return the project's experiments by their ids; a server may have thousands of others."""
    found = every(client.search_experiments, view_type=view, filter_string=f"name LIKE '{PREFIX}%'")
    return {each.experiment_id: each for each in found if each.name.startswith(PREFIX)}


def _runs(client: MlflowClient, ids: Iterable[str], query: str, view: int, order: str) -> list[Run]:
    wanted = {"experiment_ids": list(ids), "filter_string": query, "run_view_type": view}
    order_by = [f"attributes.start_time {order}"]
    return every(client.search_runs, **wanted, order_by=order_by) if ids else []


def find_runs(client: MlflowClient, value: str, *, tag: str = "run_key") -> list[Run]:
    """Return the runs whose `tag` has this value, in all of the project's experiments, newest first."""
    return _runs(client, _experiments(client, ACTIVE), f"tags.{tag} = '{value}'", ACTIVE, "DESC")


def deleted_experiments(client: MlflowClient | Rows) -> dict[str, str]:
    """Return the names of the project's deleted experiments, by their ids.

    MLflow refuses a new experiment with the name of a deleted one.
    """
    if isinstance(client, Rows):
        return client.deleted_experiments()
    found = _experiments(client, ALL)
    return {key: each.name for key, each in found.items() if each.lifecycle_stage == "deleted"}


def active_run(client: MlflowClient, run_id: str) -> Run:
    """Return the run with this id. Raises ValueError if it, or its experiment, was deleted."""
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        family = _active(client.get_experiment(run.info.experiment_id)).name
        command = as_record(run, family).restored_by
        raise ValueError(f"the run {run_id} was deleted in MLflow: `{command}` brings it back")
    return run


def find_run(client: MlflowClient, run_key: str, *, name: str = "") -> Run | None:
    """Return the run whose model has this `run_key`: the newest FINISHED one, or else the newest.

    Two runs of params.yaml with the same recipe have the same key. The run of the training `name` goes before others.
    """
    runs = find_runs(client, run_key)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    own = [run for run in finished if run.info.run_name == f"{name}-{run.data.tags.get('scale')}"]
    return next(iter(own or finished or runs), None)


def as_record(run: Run, family: str) -> RunRecord:
    """Return an MLflow run as a plain record."""
    return make_record(
        run_id=run.info.run_id,
        name=run.info.run_name,
        family=family,
        status=run.info.status,
        started=run.info.start_time,
        is_deleted=run.info.lifecycle_stage == "deleted",
        artifact_uri=run.info.artifact_uri,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=run.data.tags,
    )


def read_runs(client: MlflowClient | Rows, family: str | None = None) -> list[RunRecord]:
    """Return the runs of a family (None: of all), including deleted ones, oldest first."""
    if isinstance(client, Rows):
        return client.runs(family)
    experiments = {
        key: each
        for key, each in _experiments(client, ALL).items()
        if family in (None, each.name.removeprefix(PREFIX))
    }
    records = []
    for run in _runs(client, experiments, "", ALL, "ASC"):
        experiment = experiments[run.info.experiment_id]
        record = as_record(run, experiment.name.removeprefix(PREFIX))
        if record.is_deleted and experiment.lifecycle_stage == "deleted":
            record = replace(record, restored_by=restored_by(run.info.experiment_id))
        records.append(record)
    return records


def read_versions(client: MlflowClient | Rows, query: str = "") -> list[VersionRecord]:
    """Return the registered versions that MLflow's filter `query` selects, by name and version."""
    if isinstance(client, Rows):
        return client.versions(query)
    found = every(client.search_model_versions, filter_string=query)
    aliases: dict[tuple[str, str], list[str]] = {}  # a search returns versions without their aliases
    for name in {each.name for each in found}:
        for alias, number in sorted(client.get_registered_model(name).aliases.items()):
            aliases.setdefault((name, str(number)), []).append(alias)
    versions = [
        VersionRecord(
            name=each.name,
            version=str(each.version),
            run_id=each.run_id or "",
            aliases=tuple(aliases.get((each.name, str(each.version)), ())),
            tags=dict(each.tags),
            description=each.description or "",
        )
        for each in found
    ]
    return sorted(versions, key=lambda each: (each.name, int(each.version)))


@contextlib.contextmanager
def global_uri() -> Iterator[None]:
    """Make the tracking store MLflow's global one, which MLflow uses when it logs a model."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
