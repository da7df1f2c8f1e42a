"""The descriptions that MLflow shows of each experiment, run and registered model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganscribe.records.leaderboard import FAMILIES
from ganscribe.records.rows import VersionRecord

if TYPE_CHECKING:
    from ganscribe.records.store import MlflowClient

NOTE = "mlflow.note.content"  # the tag that MLflow shows as the description of an experiment or a run
KIND = {"mlflow.experimentKind": "custom_model_development"}  # trainings, not calls of language models
REPORT = (
    "All results are on one page, `reports/index.html` in the project's folder "
    "(made by `dvc repro`, fetched by `dvc pull reports/index.html`)."
)
TITLES = {name: family.title for name, family in FAMILIES.items()}


def experiment_tags(family: str) -> dict[str, str]:
    """Return the tags of a family's experiment: its description and its kind."""
    title = TITLES.get(family)
    held = (
        f"The {title}s of `params.yaml`: each run is one training, with its curve, scores and model."
        if title
        else "Stages that train nothing: each run is one execution of a stage, with what it found."
    )
    return KIND | {
        NOTE: f"{held} `ganscribe runs` ranks the scored ones. {REPORT}" if title else f"{held} {REPORT}"
    }


def run_tags(family: str, name: str, tags: dict[str, str]) -> dict[str, str]:
    """Return the description of a run that begins with `tags`, as a tag."""
    what = f"A training of the {TITLES[family]} `{name}`" if family in TITLES else f"The stage `{name}`"
    stage, pipeline = tags.get("dvc.stage", name), tags.get("pipeline", "unknown")
    note = f"{what} at the scale {tags['scale']}: `dvc repro {stage}`, in the pipeline {pipeline}. {REPORT}"
    return {NOTE: note}


def describe_version(client: MlflowClient, version: VersionRecord, tags: dict[str, str]) -> None:
    """Describe a registered version (from the `tags` of its run) and its model, unless they have a description."""
    family, _, name = version.name.removeprefix("ganscribe-").partition("-")
    title = TITLES.get(family, family)
    if not client.get_registered_model(version.name).description:
        text = (
            f"The {title} `{name}` of `params.yaml`, one version for each training. `candidate` is the latest, "
            f"`champion` the one that `ganscribe promote {version.name}` chose. {REPORT}"
        )
        client.update_registered_model(version.name, text)
    if not version.description:
        changed = ", with uncommitted changes" if tags.get("git.dirty") == "true" else ""
        scale, pipeline, commit = (tags.get(key, "unknown") for key in ("scale", "pipeline", "git.commit"))
        text = (
            f"Trained at the scale {scale} in the pipeline {pipeline}, by the code of commit "
            f"{commit[:7]}{changed}. `ganscribe lineage models:/"
            f"{version.name}/{version.version}` says where it comes from and how to make it again. {REPORT}"
        )
        client.update_model_version(version.name, version.version, text)
