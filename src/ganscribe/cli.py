"""The command line `ganscribe`: what a person asks of the trained models.

A command imports what it needs when it runs, so that `ganscribe --help` answers at once.
"""

from __future__ import annotations

import functools
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganscribe import __version__

if TYPE_CHECKING:
    from torch import Tensor


# How Pillow writes a grid, by the suffix of its name; all are deterministic.
PICTURES: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "optimize": True},
    ".webp": {"format": "WEBP", "lossless": True},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
}
MAX_GRID = 4096  # images in one picture: 64 x 64; more would exceed what the formats and viewers take


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganscribe")
def main() -> None:
    """Use what the pipeline has trained. Run it in the project's top folder."""


def _tells(function: Callable[..., None]) -> Callable[..., None]:
    """A user's mistake ends in one message and exit code 1, never a traceback."""

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        try:
            function(**arguments)
        except (ValueError, OSError) as error:
            if os.environ.get("GANSCRIBE_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error

    return run


def _fetch_registered(uri: str, scratch: Path) -> Path:
    """The generator's file of a `models:/` URI, downloaded into `scratch`."""
    from ganscribe import tracking

    store = tracking.tracking_uri()
    if store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file():
        raise FileNotFoundError(f"{uri} cannot be had: there is no MLflow store yet at {store}")
    tracking.open_client()
    from ganscribe.serving import fetch_model

    with tracking.global_uri():
        return fetch_model("generator", uri, scratch)


def _find_generator(run: str, scratch: Path) -> Path:
    """The generator's file of a run's name, a path or a `models:/` URI."""
    from ganscribe import config
    from ganscribe.runtime import project_root

    if run.startswith("models:"):
        return _fetch_registered(run, scratch)
    path = Path(run)
    if path.suffix == ".pt" or len(path.parts) > 1:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {run}: give a run's name or a generator.pt")
        return path
    path = project_root() / "models" / "gan" / run / "generator.pt"
    if path.is_file():
        return path
    runs = config.read(project_root())[0].gan.runs
    if run not in runs:
        raise ValueError(f"there is no GAN run {run!r}: choose one of {', '.join(sorted(runs))}")
    raise FileNotFoundError(f"the run {run} has no model yet: make it with `dvc repro train_gan@{run}`")


def _is_picture(out: Path) -> bool:
    """Whether `out` is to be one picture, not a folder of them. Raises ValueError for the wrong kind."""
    suffix, known = out.suffix.lower(), ", ".join(PICTURES)
    if suffix in PICTURES and out.is_dir():
        raise ValueError(f"--out {out} is a folder: a name that ends in {suffix} stands for a picture")
    if suffix in PICTURES or out.is_dir():
        return suffix in PICTURES
    if out.exists():
        raise ValueError(f"--out {out} is a file: give a folder, or a picture that ends in one of {known}")
    if suffix:
        raise ValueError(
            f"--out {out}: unknown suffix {suffix}: a picture ends in one of {known}; a folder has none"
        )
    return False


def _check_folder(folder: Path, count: int) -> None:
    """Refuse a folder in which the images of another draw would pass for this one's."""
    others = [path for path in folder.glob("*.png") if path.stem.isdecimal() and int(path.stem) >= count]
    if others:
        raise ValueError(
            f"--out {folder} holds images of a larger draw ({min(others).name}): remove them first"
        )


def _save_grid(images: Tensor, out: Path, scratch: Path) -> None:
    from PIL import Image

    from ganscribe.plots import save_grid
    from ganscribe.runtime import atomic_write

    save_grid(images, scratch / "grid.png", columns=math.ceil(math.sqrt(len(images))))
    with Image.open(scratch / "grid.png") as grid, atomic_write(out) as handle:
        grid.save(handle, **PICTURES[out.suffix.lower()])


def _save_singles(images: Tensor, folder: Path) -> None:
    """Write 0000.png ... into `folder`, all or none of them; what else lies there stays."""
    from PIL import Image

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder if folder.is_dir() else folder.parent) as name:
        staged = Path(name, "images")
        staged.mkdir()
        for index, image in enumerate(images.numpy()):
            pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # (H, W) or (H, W, 3)
            Image.fromarray(pixels).save(staged / f"{index:04d}.png")
        if folder.is_dir():
            for path in sorted(staged.iterdir()):
                path.replace(folder / path.name)
        else:
            staged.replace(folder)


@main.command()
@click.argument("run")
@click.option("--count", default=64, show_default=True, help="How many images.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help=f"A picture ({', '.join(PICTURES)}) for one grid, or a folder for single PNGs.",
)
@_tells
def sample(run: str, count: int, seed: int, out: Path) -> None:
    """Draw images from a trained generator.

    RUN is a run of params.yaml (such as dcgan), a path to a generator.pt, or a model of MLflow's registry
    (models:/ganscribe-gan-dcgan@candidate, models:/ganscribe-gan-dcgan/1).
    """
    if count < 1:
        raise ValueError(f"--count {count}: ask for at least one image")
    is_picture = _is_picture(out)
    if is_picture and count > MAX_GRID:
        raise ValueError(f"--count {count}: a picture holds at most {MAX_GRID} images, a folder any number")
    if not is_picture:
        _check_folder(out, count)

    from ganscribe.gan.sampling import load_generator, sample_images
    from ganscribe.runtime import choose_device

    with tempfile.TemporaryDirectory() as scratch:
        saved = load_generator(_find_generator(run, Path(scratch)))
        images = sample_images(
            saved.network,
            count,
            noise_dim=saved.noise_dim,
            noise=saved.noise,
            seed=seed,
            device=choose_device(),
        )
        if is_picture:
            _save_grid(images, out, Path(scratch))
        else:
            _save_singles(images, out)
    click.echo(f"{count} images of {run}, seed {seed}: {out}")


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise ValueError(f"--tag {word}: give it as KEY=VALUE, such as --tag dvc.exp_name=longer")
    return dict(word.split("=", 1) for word in words)


@main.command()
@click.argument("family", required=False, type=click.Choice(["gan", "classifier", "captioner"]))
@click.option("--baseline", help="Hold against this id, name, pipeline or commit. [each name's oldest run]")
@click.option("--pipeline", help="Only this invocation: a DVC experiment's name or repro-<commit>.")
@click.option("--commit", help="Only runs of this commit, or of a branch or tag.")
@click.option("--scale", help="Only runs of this scale.")
@click.option("--tag", "words", multiple=True, metavar="KEY=VALUE", help="Only runs with this MLflow tag.")
@click.option("--json", "is_json", is_flag=True, help="As JSON, with whole ids and checksums.")
@_tells
def runs(
    family: str | None,
    baseline: str | None,
    pipeline: str | None,
    commit: str | None,
    scale: str | None,
    words: tuple[str, ...],
    is_json: bool,
) -> None:
    """Show the scored runs of a family (default: of all), best first.

    Scores of different judges or sample counts stand in tables of their own. A commit with a plus sign had
    uncommitted changes, which the run keeps as git.diff.
    """
    from ganscribe import leaderboard, origin, store

    client, tags = store.open_existing(), _pairs(words)
    named = origin.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") if commit else None
    resolved = (named or commit or "").strip()
    tables = []
    for each in [family] if family else list(leaderboard.FAMILIES):
        found = leaderboard.build_tables(
            [record for record in store.read_runs(client, each) if not record.is_deleted],
            each,
            baseline=baseline,
            shown=lambda record: leaderboard.matches(
                record, pipeline=pipeline, commit=resolved, scale=scale, tags=tags
            ),
        )
        tables += [(each, table) for table in found]
    if baseline and tables and not any(row.baseline for _, table in tables for row in table.rows):
        raise ValueError(f"--baseline {baseline}: no scored run has this id, name, pipeline or commit")
    if is_json:
        click.echo(json.dumps([leaderboard.as_json(table, each) for each, table in tables], indent=2))
    elif not tables:
        click.echo("no run with scores is of these: train and evaluate with `dvc repro`, or ask for less")
    else:
        click.echo("\n\n".join(leaderboard.as_text(table, each) for each, table in tables))


@main.command()
@click.argument("subject")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@_tells
def lineage(subject: str, is_json: bool) -> None:
    """Say where SUBJECT comes from, and which commands bring it back.

    SUBJECT is an MLflow run's id, a file or folder that the pipeline made, or a registered model
    (models:/ganscribe-gan-dcgan@champion, models:/ganscribe-gan-dcgan/1).
    """
    from ganscribe import lineage

    found = lineage.trace(subject)
    click.echo(json.dumps(lineage.as_json(found), indent=2) if is_json else lineage.as_text(found))


@main.command()
@click.argument("model")
@click.argument("version", default="candidate")
@click.option("--force", is_flag=True, help="Also where it is worse, or cannot be compared.")
@_tells
def promote(model: str, version: str, force: bool) -> None:
    """Make VERSION (a number or an alias) of the registered MODEL the champion.

    Refused where it scores worse than the present champion, or was scored by another judge.
    """
    from ganscribe import registry, store

    click.echo(registry.promote(store.open_existing(), model, version, is_forced=force))


@main.command()
@click.option("--online", is_flag=True, help="Also ask the publishers of the data whether they answer.")
@_tells
def doctor(online: bool) -> None:
    """Check the set-up; exit code 1 where something is at fault."""
    from ganscribe.doctor import examine

    faults = 0
    for finding in examine(is_online=online):
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        click.echo(f"{'ok   ' if finding.is_ok else 'FAULT'} {finding.topic}: {finding.text}{remedy}")
        faults += not finding.is_ok
    if faults:
        raise click.exceptions.Exit(1)
