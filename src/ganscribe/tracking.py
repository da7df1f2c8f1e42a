"""MLflow runs: one a trained model (training opens it, evaluation reopens it by its key), one a stage."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe import origin
from ganscribe.checkpoint import Interrupted
from ganscribe.locks import flatten
from ganscribe.store import experiment_id, find_run, find_runs, global_uri, open_client, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

FLUSH_SECONDS = 1.0
MAX_BATCH = 1000  # MLflow's own limit on the metrics of one log_batch
MAX_TAG = 8000  # and on the characters of a tag; ten decodings of a captioner would exceed it


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _score_tag(scores: dict[str, Any]) -> tuple[str, str]:
    """All scores as one tag, named by a digest of what they were made of: words, checksums and counts."""
    facts = {key: value for key, value in scores.items() if isinstance(value, str) or "num_" in key}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    short = {
        key: value if isinstance(value, int) or not _is_number(value) else float(f"{value:.8g}")
        for key, value in scores.items()
    }
    return f"scores.{digest}", json.dumps({"pipeline": origin.pipeline(), **short}, default=str)


class TrackedRun:
    """One open MLflow run. Points that a reopened run already has are dropped: training is deterministic, so
    that a resumed one makes the same points again."""

    def __init__(self, client: MlflowClient, run: Run, *, registered_name: str, is_reopened: bool) -> None:
        self.client = client
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.registered_name = registered_name
        self._is_reopened = is_reopened
        self._seen: dict[str, set[int]] = {}
        self._buffer: list[Any] = []
        self._flushed_at = time.monotonic()

    def _is_known(self, key: str, step: int) -> bool:
        if not self._is_reopened:
            return False
        if key not in self._seen:
            history = self.client.get_metric_history(self.run_id, key)
            self._seen[key] = {metric.step for metric in history}
        return step in self._seen[key]

    def describe(self, *, tags: dict[str, str], params: dict[str, Any], inputs: list[str]) -> None:
        """Add tags, parameters, input data sets and uncommitted changes; what the run has already stays."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

        known = self.client.get_run(self.run_id).data.params
        hashes, changes = origin.input_hashes(inputs), origin.git_changes()
        tags = tags | {f"input.{path}": md5 for path, md5 in hashes.items()}
        tags |= {"params.sha256": origin.params_sha256(params), "git.dirty": str(bool(changes)).lower()}
        new = [Param(key, str(value)) for key, value in flatten(params).items() if key not in known]
        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for start in range(0, len(new), 100):  # MLflow's own limit
            self.client.log_batch(self.run_id, params=new[start : start + 100])
        context = [InputTag("mlflow.data.context", "training")]
        data = [Dataset(path, md5, "local", json.dumps({"uri": path})) for path, md5 in hashes.items()]
        self.client.log_inputs(self.run_id, [DatasetInput(each, context) for each in data])
        if changes:
            self.client.log_text(self.run_id, changes, "git.diff")

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Add one row of metrics at `step`; written in batches, about one a second."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for key, value in metrics.items():
            if not self._is_known(key, step):
                self._buffer.append(Metric(key, float(value), now, step))
        if time.monotonic() - self._flushed_at >= FLUSH_SECONDS or len(self._buffer) >= MAX_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what `log` has gathered."""
        for start in range(0, len(self._buffer), MAX_BATCH):
            self.client.log_batch(self.run_id, metrics=self._buffer[start : start + MAX_BATCH])
        self._buffer.clear()
        self._flushed_at = time.monotonic()

    def score(self, scores: dict[str, Any]) -> None:
        """Add results without a step: numbers (also in nested dicts) as metrics, anything else as tags.

        Scores by another judge, or of another count, take the place of the earlier ones there. So all of
        them together also go into a tag of their own, which `leaderboard` reads.
        """
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        outputs = self.client.get_run(self.run_id).outputs
        models = [each.model_id for each in outputs.model_outputs] if outputs else []
        model = models[-1] if models else None  # the registry shows the scores with the model
        metrics, tags = [], []
        for key, value in flatten(scores).items():
            if _is_number(value):
                metrics.append(Metric(key, float(value), now, 0, model_id=model))
            else:
                tags.append(RunTag(key, str(value)))
        name, together = _score_tag(flatten(scores))
        tags += [RunTag(name, together)] if len(together) <= MAX_TAG else []
        self.client.log_batch(self.run_id, metrics=metrics, tags=tags)

    def log_files(self, path: str | Path, folder: str | None = None) -> None:
        """Add a file, or a folder's content, to the run's artifacts under `folder`."""
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path} cannot be logged: there is no such file or folder")
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_model(self, kind: str, path: str | Path, *, inception: str | Path | None = None) -> None:
        """Add and register a servable model (`kind`: generator, classifier, captioner) as `candidate`.

        A captioner is given with the `inception` network that its features were made with.
        """
        from ganscribe import serving

        self.flush()
        with global_uri():
            version = serving.log_model(
                self.client,
                kind,
                Path(path),
                inception=Path(inception) if inception else None,
                experiment_id=self.experiment_id,
                run_id=self.run_id,
                registered_name=self.registered_name,
            )
        self.client.set_registered_model_alias(self.registered_name, "candidate", version)


@contextlib.contextmanager
def _system_metrics(run_id: str, resume: bool) -> Iterator[None]:
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


def _open_run(
    client: MlflowClient, *, family: str, name: str, run_key: str | None, tags: dict[str, str]
) -> tuple[Run, bool]:
    """The unfinished run tagged `run_key` (killed, failed or left RUNNING by a SIGKILL), else a new one."""
    for newest in find_runs(client, run_key)[:1] if run_key else []:
        if newest.info.status != "FINISHED":
            client.update_run(newest.info.run_id, status="RUNNING")
            return newest, True
    run = client.create_run(
        experiment_id(client, family),
        run_name=f"{name}-{tags['scale']}",
        tags=tags | ({"run_key": run_key} if run_key else {}),
    )
    return run, False


@contextlib.contextmanager
def _closing(tracked: TrackedRun) -> Iterator[None]:
    """End the run by how the block ends: FINISHED, KILLED (a signal) or FAILED."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (Interrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        tracked.flush()
        tracked.client.set_terminated(tracked.run_id, status)


@contextlib.contextmanager
def training_run(
    *, family: str, name: str, run_key: str | None, params: dict[str, Any], inputs: list[str]
) -> Iterator[TrackedRun]:
    """The run of one training, with system metrics; an unfinished run of the same `run_key` is continued.

    `inputs` are paths relative to the working folder. `Interrupted` ends the run as KILLED.
    """
    client = open_client()
    tags = origin.tags(name)
    run, is_reopened = _open_run(client, family=family, name=name, run_key=run_key, tags=tags)
    tracked = TrackedRun(client, run, registered_name=f"ganscribe-{family}-{name}", is_reopened=is_reopened)
    with _closing(tracked):
        tracked.describe(tags=tags, params=params, inputs=inputs)
        with _system_metrics(tracked.run_id, is_reopened):
            yield tracked


@contextlib.contextmanager
def stage_run(
    name: str, *, params: dict[str, Any], inputs: list[str], run_key: str | None = None
) -> Iterator[TrackedRun]:
    """A run of its own for a stage that trains nothing."""
    with training_run(family="pipeline", name=name, run_key=run_key, params=params, inputs=inputs) as tracked:
        yield tracked


@contextlib.contextmanager
def reopened_run(run_key: str, *, family: str, name: str) -> Iterator[TrackedRun]:
    """The training's run, to add scores to; where the store has none, a light one tagged `restored`."""
    client = open_client()
    run = find_run(client, run_key)
    if run is None:
        tags = origin.tags(name) | {"restored": "true"}
        run, _ = _open_run(client, family=family, name=name, run_key=run_key, tags=tags)
        client.set_terminated(run.info.run_id)
    tracked = TrackedRun(client, run, registered_name=f"ganscribe-{family}-{name}", is_reopened=True)
    try:
        yield tracked
    finally:
        tracked.flush()
