"""`ganscribe compare`: two runs of one family side by side on one page."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganscribe.cli.models import open_store

if TYPE_CHECKING:
    from ganscribe.records.lineage.copies import Revision
    from ganscribe.records.store import RunRecord
    from ganscribe.report.sides import Side

FAMILIES = ("gan", "classifier", "captioner")
ID = re.compile("[0-9a-f]{6,32}")  # of an MLflow run, or its first digits


@dataclass(frozen=True)
class Found:
    """What a name stands for: the families that have such a run; `open(family, folder)` returns its side."""

    text: str
    families: tuple[str, ...]
    open: Callable[[str, Path], Side]


def _alive(run: RunRecord) -> RunRecord:
    """Return the run. Raises ValueError, with the command that brings it back, if it was deleted."""
    if run.is_deleted:
        raise ValueError(f"the run {run.run_id} was deleted in MLflow: `{run.restored_by}` brings it back")
    return run


def _scored(side: Side, remedy: str) -> Side:
    """Return the side. Raises FileNotFoundError if its model or its scores are missing."""
    if not side.training or not side.records:
        lacking = "scores" if side.training else "model"
        raise FileNotFoundError(f"the run {side.title} has no {lacking} {remedy}")
    return side


def _run_of(subject: str) -> RunRecord:
    """Return the MLflow run that an id or a `models:/` URI stands for."""
    from ganscribe.records import registry, store

    name, _, wanted = subject.removeprefix("models:").lstrip("/").replace("@", "/").partition("/")
    if subject.startswith("models:") and not wanted:
        raise ValueError(f"{subject} names no version: write {subject}/1 or {subject}@candidate")
    client = open_store()
    runs = [run for run in store.read_runs(client) if run.family in FAMILIES]
    if not subject.startswith("models:"):
        chosen = [run for run in runs if run.run_id.startswith(subject)]
        if len(chosen) != 1:
            problem = "is neither a run nor an id" if not chosen else f"begins {len(chosen)} runs' ids"
            raise ValueError(f"{subject} {problem}: `ganscribe runs` lists the runs")
        return _alive(chosen[0])
    version = registry.find_version(store.read_versions(client, f"name = '{name}'"), name, wanted)
    found = next((run for run in runs if run.run_id == version.run_id), None)
    if found is None:
        raise ValueError(f"{subject}: its run {version.run_id} is no longer in MLflow")
    return _alive(found)


def _copy_tables(side: Side) -> None:
    """Copy this folder's tables of test images to an MLflow run, if runs here were scored on the same data."""
    from ganscribe.core.files import project_root

    root = project_root()
    own = {record.get("data_sha256") for record in side.records.values()} - {None}
    scores = (
        json.loads(path.read_text()) for path in root.glob(side.places.scores.format(run="[!.]*/*.json"))
    )
    if any(each.get("data_sha256") in own for each in scores):
        for name in (each for each in side.places.further if (root / each).is_file()):
            (side.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, side.root / name)


def _recorded(subject: str) -> Found:
    """Find a run in MLflow."""
    record = _run_of(subject)

    def open_side(family: str, folder: Path) -> Side:
        from ganscribe.records import store
        from ganscribe.records.lineage.copies import copy_run
        from ganscribe.report.sides import PLACES, Side

        run = record.name.removesuffix(f"-{record.tags.get('scale', '')}")
        places = PLACES[family]
        patterns = {"curve": places.curve, "scores": places.scores, "model": places.model}
        copy_run(
            store.open_existing(),
            record,
            folder,
            **{key: pattern.format(run=run) for key, pattern in patterns.items()},
        )
        commit = record.tags.get("git.commit", "unknown")[:7]
        origin = f"MLflow run {record.run_id} of {run}, commit {commit}"
        side = _scored(Side(subject, family, run, folder, origin), "in MLflow: `dvc repro` scores it")
        _copy_tables(side)
        return side

    return Found(subject, (record.family,), open_side)


def _inputs(lock: str, family: str, run: str) -> dict[str, str]:
    """Return the md5 of each input of a run's training, code among them, as a dvc.lock has it."""
    from ganscribe.records.lineage import dvc_lock

    stage = dvc_lock.read_stage(lock, f"train_{family}@{run}")
    return stage.deps if stage else {}


def _committed(text: str, families: tuple[str, ...], run: str, revision: Revision) -> Found:
    """Find a run in a commit or DVC experiment."""
    from ganscribe.records.lineage import restore
    from ganscribe.report.sides import MODEL_FILES, PLACES, Side

    has = [family for family in families if revision.has(PLACES[family].model.format(run=run))]
    if not has:
        raise ValueError(f"{text}: {revision.name} ({revision.commit[:7]}) has no run {run!r}")

    def open_side(family: str, folder: Path) -> Side:
        places = PLACES[family]
        revision.copy(places.model.format(run=run), folder, only=MODEL_FILES)
        for pattern in (places.curve, places.scores, *places.further):
            revision.copy(pattern.format(run=run), folder)
        inputs = _inputs(restore.lock_at(revision.commit), family, run)
        side = Side(text, family, run, folder, f"commit {revision.commit[:7]}", inputs)
        return _scored(side, f"in the commit {revision.commit[:7]}")

    return Found(text, tuple(has), open_side)


def _present(text: str, families: tuple[str, ...], run: str, *, is_zoo: bool) -> Found:
    """Find a run in the working folder, in the zoo or not."""
    from ganscribe.core.files import project_root
    from ganscribe.records.lineage import dvc_lock
    from ganscribe.report.sides import Side

    def open_side(family: str, folder: Path) -> Side:
        root = project_root()
        inputs = _inputs(dvc_lock.read_lock(root / "dvc.lock"), family, run)
        stage = f"{'zoo/dvc.yaml:' if is_zoo else ''}evaluate_{family}@{run}"
        return _scored(
            Side(text, family, run, root, "in this folder", inputs), f"yet: make it with `dvc repro {stage}`"
        )

    return Found(text, families, open_side)


def find(subject: str) -> Found:
    """Return what `subject` stands for. Raises ValueError or OSError, with what to do, if it stands for nothing."""
    from ganscribe import config
    from ganscribe.core.files import project_root

    if subject.startswith("models:"):
        return _recorded(subject)
    name, _, revision = subject.partition("@")
    family, _, run = name.rpartition("/")
    if family and family not in FAMILIES:
        raise ValueError(f"{subject}: there is no family {family!r}: choose one of {', '.join(FAMILIES)}")
    families = (family,) if family else FAMILIES
    if revision:
        from ganscribe.records.lineage.copies import Revision

        return _committed(subject, families, run, Revision(revision))
    params = config.read(project_root())[0]
    zoo = params.classifier.zoo
    runs = {each: [*getattr(params, each).runs, *(zoo if each == "classifier" else ())] for each in families}
    of_name = tuple(each for each in families if run in runs[each])
    if of_name:
        return _present(subject, of_name, run, is_zoo=of_name == ("classifier",) and run in zoo)
    if not family and ID.fullmatch(run):
        return _recorded(run)
    known = "; ".join(f"{each}: {', '.join(sorted(names))}" for each, names in runs.items())
    raise ValueError(f"there is no run {subject!r} ({known})")


def _shared_family(one: Found, other: Found) -> str:
    """Return the family that both runs belong to. Raises ValueError if there is none, or more than one."""
    shared = [family for family in one.families if family in other.families]
    if not shared:
        kinds = [f"{each.text} is a run of {' and '.join(each.families)}" for each in (one, other)]
        raise ValueError(f"{kinds[0]}, and {kinds[1]}: compare two runs of one family")
    if len(shared) > 1:
        wanted = " or ".join(f"{family}/{one.text}" for family in shared)
        raise ValueError(f"{one.text} and {other.text} are runs of {' and '.join(shared)}: write {wanted}")
    return shared[0]


def _image_folder(root: Path) -> Path:
    """Return the folder of the captioners' test images."""
    from ganscribe import config
    from ganscribe.datasets.captions import image_folder

    place = config.load("place", "coco", root)
    return root / image_folder(place.source, place.folder, archive=place.archive)


@click.command(epilog="Example: ganscribe compare dcgan gan/best --out page.html")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The page to write, such as page.html."
)
def compare(first: str, second: str, out: Path) -> None:
    """Show two runs of one family side by side on one page.

    A and B can each be a run of params.yaml (dcgan, or gan/best if several families have a best), such a run in a
    commit or DVC experiment (dcgan@HEAD~1, dcgan@longer), the id of an MLflow run, or a model in MLflow's registry
    (models:/ganscribe-gan-dcgan@champion, models:/ganscribe-gan-dcgan/1).
    """
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir():
        raise ValueError(f"--out {out}: give a file that ends in .html")

    from ganscribe.core.files import atomic_write, project_root
    from ganscribe.records.lineage.origin import describe_code

    one, other = find(first), find(second)
    family = _shared_family(one, other)
    with tempfile.TemporaryDirectory() as folder:
        sides = [each.open(family, Path(folder, str(index))) for index, each in enumerate((one, other))]
        from ganscribe.report.comparison import render

        page = render(*sides, images=_image_folder(project_root()), code=describe_code())
    with atomic_write(out) as handle:
        handle.write(page.encode())
    click.echo(f"{first} and {second}: {out}")
