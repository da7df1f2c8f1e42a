"""`ganscribe sample`: images drawn from a trained generator."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganscribe.cli.models import find_model

if TYPE_CHECKING:
    from torch import Tensor


# How Pillow writes a grid, by the suffix of its name; all are deterministic.
PICTURES: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
}
MAX_GRID = 4096  # images in one picture: 64 x 64; more would exceed what the formats and viewers take


def _is_picture(out: Path) -> bool:
    """Return whether `out` is one picture, not a folder of them. Raises ValueError if it can be neither."""
    suffix, known = out.suffix.lower(), ", ".join(PICTURES)
    if suffix in PICTURES and out.is_dir():
        raise ValueError(
            f"--out {out} is a folder, but {suffix} is the ending of a picture: give another name"
        )
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

    from ganscribe.core.files import atomic_write
    from ganscribe.drawing.plots import save_grid

    save_grid(images, scratch / "grid.png", columns=math.ceil(math.sqrt(len(images))))
    with Image.open(scratch / "grid.png") as grid, atomic_write(out) as handle:
        grid.save(handle, **PICTURES[out.suffix.lower()])


def _save_singles(images: Tensor, folder: Path) -> None:
    """Write 0000.png ... into `folder`, all or none of them; other files there are left alone."""
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


@click.command(epilog="Example: ganscribe sample dcgan --count 64 --seed 1 --out grid.png")
@click.argument("run")
@click.option("--count", default=64, show_default=True, help="How many images to draw.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help=f"A picture ({', '.join(PICTURES)}) for one grid, or a folder for single PNGs.",
)
def sample(run: str, count: int, seed: int, out: Path) -> None:
    """Draw images from a trained generator.

    RUN is a run of params.yaml (such as dcgan), a path to a generator.safetensors or to its folder, or a model in
    MLflow's registry (models:/ganscribe-gan-dcgan@candidate, models:/ganscribe-gan-dcgan/1).
    """
    if count < 1:
        raise ValueError(f"--count {count}: ask for at least one image")
    is_picture = _is_picture(out)
    if is_picture and count > MAX_GRID:
        raise ValueError(f"--count {count}: a picture holds at most {MAX_GRID} images, a folder any number")
    if not is_picture:
        _check_folder(out, count)

    from ganscribe.core.devices import choose_device
    from ganscribe.gan.common.sampling import load_generator

    with tempfile.TemporaryDirectory() as scratch:
        saved = load_generator(find_model("gan", run, Path(scratch)))
        images = saved.sample(count, seed=seed, device=choose_device())
        if is_picture:
            _save_grid(images, out, Path(scratch))
        else:
            _save_singles(images, out)
    click.echo(f"{count} images of {run}, seed {seed}: {out}")
