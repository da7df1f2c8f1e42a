"""MLflow runs: one per trained model (training opens it, evaluation reopens it by its key), and one per other stage.

This is the store's side: here `sender` replays what stages have recorded.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.records.lineage.dvc_lock import flatten
from ganscribe.records.lineage.origin import params_sha256
from ganscribe.records.notes import describe_version, experiment_tags, run_tags
from ganscribe.records.outbox import tracking_uri
from ganscribe.records.store import (
    active_run,
    experiment_id,
    find_run,
    find_runs,
    global_uri,
    read_versions,
    registered_name,
)
from ganscribe.records.tags import score_tags, split_scores, with_facts

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

PACKAGE = Path(__file__).parents[1]
MAX_BATCH = 1000  # MLflow's own limit on the metrics of one log_batch
NOT_CHARTED = ("step", "epoch")  # columns of a row of metrics that only grow with the steps


class TrackedRun:
    """One open MLflow run.

    Points that a reopened run already has are dropped: training is deterministic, so a resumed one makes them again.
    """

    def __init__(self, client: MlflowClient, run: Run, *, registered_name: str, is_reopened: bool) -> None:
        self.client = client
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.registered_name = registered_name
        self.is_reopened = is_reopened
        self._seen: dict[str, set[int]] = {}
        self._buffer: list[Any] = []

    def _is_known(self, key: str, step: int) -> bool:
        if not self.is_reopened:
            return False
        if key not in self._seen:
            history = self.client.get_metric_history(self.run_id, key)
            self._seen[key] = {metric.step for metric in history}
        return step in self._seen[key]

    def describe(
        self, *, tags: dict[str, str], params: dict[str, Any], inputs: dict[str, str], changes: str
    ) -> None:
        """Add tags, parameters, inputs (path: DVC's md5) and uncommitted changes; what the run already has stays."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        data = self.client.get_run(self.run_id).data
        known = data.params
        facts = {f"input.{path}": md5 for path, md5 in inputs.items()}
        tags = tags | with_facts(data.tags, facts)
        tags |= {"params.sha256": params_sha256(params), "git.dirty": str(bool(changes)).lower()}
        new = [Param(key, str(value)) for key, value in flatten(params).items() if key not in known]
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for start in range(0, len(new), 100):  # MLflow's own limit
            self.client.log_batch(self.run_id, params=new[start : start + 100])
        context = [InputTag("mlflow.data.context", "training")]
        sets = [Dataset(path, md5, "local", json.dumps({"uri": path})) for path, md5 in inputs.items()]
        self.client.log_inputs(self.run_id, [DatasetInput(each, context) for each in sets])
        if changes:
            self.client.log_text(self.run_id, changes, "git.diff")

    def log(self, step: int, metrics: dict[str, float], *, timestamp: int) -> None:
        """Add one row of metrics at `step`, measured at `timestamp` (milliseconds); `flush` writes it."""
        from mlflow.entities import Metric

        for key, value in metrics.items():
            if key not in NOT_CHARTED and not self._is_known(key, step):
                self._buffer.append(Metric(key, float(value), timestamp, step))

    def flush(self) -> None:
        """Write what `log` has collected."""
        for start in range(0, len(self._buffer), MAX_BATCH):
            self.client.log_batch(self.run_id, metrics=self._buffer[start : start + MAX_BATCH])
        self._buffer.clear()

    def score(
        self,
        scores: dict[str, Any],
        *,
        pipeline: str,
        timestamp: int | None = None,
        is_further: bool = False,
    ) -> None:
        """Add results without a step: numbers (also in nested dicts) as metrics, anything else as tags.

        Counts, and text that nobody filters by, go into the tag `facts`, which `store.as_record` takes apart.

        `pipeline`: the invocation that scored. `timestamp`: when, in milliseconds (by default now). Scores by another
        judge or of other counts replace the run's earlier metrics. So each set of scores also goes into a separate tag,
        which `leaderboard` reads; `is_further` scores go only into that tag. The tags `budget` and `exercised` say how
        far the run was trained, and whether it was only exercised.
        """
        from mlflow.entities import Metric, RunTag

        sets = [RunTag(name, text) for name, text in score_tags(scores, pipeline).items()]
        if is_further:
            self.client.log_batch(self.run_id, tags=sets)
            return
        now = timestamp or int(time.time() * 1000)
        run = self.client.get_run(self.run_id)
        known, outputs = run.data.metrics, run.outputs
        models = [each.model_id for each in outputs.model_outputs] if outputs else []
        model = models[-1] if models else None  # the registry shows the scores beside the model
        numbers, words = split_scores(scores, run.data.tags)
        # A stage that runs again finds the same scores.
        metrics = [
            Metric(key, value, now, 0, model_id=model)
            for key, value in numbers.items()
            if known.get(key) != value
        ]
        tags = [RunTag(key, text) for key, text in words.items()]
        self.client.log_batch(self.run_id, metrics=metrics, tags=tags + sets)

    def log_files(self, path: str | Path, folder: str | None = None) -> None:
        """Add a file, or a folder's content, to the run's artifacts under `folder`."""
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path} cannot be logged: there is no such file or folder")
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_model(
        self, kind: str, path: str | Path, *, inception: str | Path | None = None, code: str | Path = PACKAGE
    ) -> None:
        """Add and register a servable model (`kind`: generator, classifier, captioner) as `candidate`.

        If the run already has a model, that one becomes the candidate, which a fault may have prevented before. A
        captioner needs the `inception` network that made its features. `code` is the folder of the package that made
        the model.
        """
        from ganscribe.serving import models as serving

        self.flush()
        versions = read_versions(self.client, f"run_id = '{self.run_id}'")
        if versions:
            version = versions[-1].version
        else:
            with global_uri():
                version = serving.log_model(
                    self.client,
                    kind,
                    Path(path),
                    inception=Path(inception) if inception else None,
                    code=Path(code),
                    experiment_id=self.experiment_id,
                    run_id=self.run_id,
                    registered_name=self.registered_name,
                )
            for twin in read_versions(self.client, f"run_id = '{self.run_id}'"):
                if twin.version != version:  # MLflow's client asked twice: the first answer went astray
                    self.client.delete_model_version(twin.name, twin.version)
        self.client.set_registered_model_alias(self.registered_name, "candidate", version)
        tags = self.client.get_run(self.run_id).data.tags
        for each in read_versions(self.client, f"run_id = '{self.run_id}'"):
            describe_version(self.client, each, tags)

    def end(self, status: str, timestamp: int | None = None) -> None:
        """Write what is left, and end the run: FINISHED, KILLED (a signal) or FAILED."""
        self.flush()
        self.client.set_terminated(self.run_id, status, timestamp)


@contextlib.contextmanager
def system_metrics(run_id: str, resume: bool) -> Iterator[None]:
    """Sample processor, memory, disk and network every ten seconds, and once at the end of a short run."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run_id, sampling_interval=10, resume_logging=resume, tracking_uri=tracking_uri()
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
        monitor.collect_metrics()
        monitor.publish_metrics(monitor.aggregate_metrics())
        monitor.mlflow_logger.flush()


def start_run(
    client: MlflowClient,
    *,
    family: str,
    name: str,
    run_key: str | None,
    tags: dict[str, str],
    recording: str | None = None,
    timestamp: int | None = None,
) -> TrackedRun:
    """Return the run of a recording: an unfinished one that fits, or else a new one that began at `timestamp`.

    The run that a sender which died has made of the same `recording` fits, and so does a killed or failed run with the
    tag `run_key`. A RUNNING one with that tag belongs to somebody else who trains the same model at the same time,
    because a run that dies here is ended before the next recording begins.
    """
    own = registered_name(family, name)
    same = find_runs(client, recording, tag="recording")[:1] if recording else []
    others = find_runs(client, run_key)[:1] if run_key else []
    for found in same or [run for run in others if run.info.status != "RUNNING"]:
        if found.info.status != "FINISHED":
            client.update_run(found.info.run_id, status="RUNNING")
            return TrackedRun(client, found, registered_name=own, is_reopened=True)
    tags = tags | run_tags(family, name, tags) | ({"recording": recording} if recording else {})
    run = client.create_run(
        experiment_id(client, family, experiment_tags(family)),
        run_name=f"{name}-{tags['scale']}",
        start_time=timestamp,
        tags=tags | ({"run_key": run_key} if run_key else {}),
    )
    for twin in find_runs(client, recording, tag="recording") if recording else []:
        if twin.info.run_id != run.info.run_id:  # MLflow's client asked twice: the first answer went astray
            client.set_terminated(twin.info.run_id, "KILLED")
            client.delete_run(twin.info.run_id)
    return TrackedRun(client, run, registered_name=own, is_reopened=False)


def resume_run(client: MlflowClient, run_id: str, *, family: str, name: str) -> TrackedRun:
    """Return the run `run_id`, to continue where a sender stopped. Raises ValueError if it was deleted."""
    own = registered_name(family, name)
    return TrackedRun(client, active_run(client, run_id), registered_name=own, is_reopened=True)


def reopen_run(
    client: MlflowClient, *, family: str, name: str, run_key: str, tags: dict[str, str]
) -> TrackedRun:
    """Return the run whose model has the key; if the store has none, a new one without curves, tagged `restored`."""
    run = find_run(client, run_key, name=name)
    if run is None:
        tags = tags | {"restored": "true"}
        light = start_run(client, family=family, name=name, run_key=run_key, tags=tags)
        light.end("FINISHED")
        return resume_run(client, light.run_id, family=family, name=name)
    return TrackedRun(client, run, registered_name=registered_name(family, name), is_reopened=True)
