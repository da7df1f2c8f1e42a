"""What two runs made from the same input: the same noise, the same test image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image

from ganscribe.core.files import file_sha256
from ganscribe.drawing.plots import save_grid
from ganscribe.gan.common.sampling import load_generator
from ganscribe.report.pictures import picture
from ganscribe.report.sides import CAPTIONS, IMAGES, Side

DRAWN, COLUMNS, SEED = 36, 6, 0
CHOSEN = 6  # the number of test images for each run on which its captions are better by most
THUMBNAIL = 299  # the most pixels of the longer side


def sample_grids(one: Side, other: Side) -> dict[str, Any]:
    """Return a grid of images by each GAN, drawn from the same noise if both use the same kind, and a note on that."""
    missing = [side.title for side in (one, other) if side.generator is None]
    if missing:
        return {"pictures": [], "note": f"There are no samples: the model of {missing[0]} is not available."}
    saved = [load_generator(path) for path in (one.generator, other.generator) if path]
    noises = [f"{each.noise_dim} {each.noise} numbers" for each in saved]
    is_same = noises[0] == noises[1]
    note = (
        f"Images at the same place were drawn from the same noise: {noises[0]}, seed {SEED}."
        if is_same
        else f"The noise is not the same: {one.title} draws from {noises[0]}, {other.title} from {noises[1]}."
    )
    shown = []
    for side, each in zip((one, other), saved, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "grid.png")
            save_grid(each.sample(DRAWN, seed=SEED, device=torch.device("cpu")), path, columns=COLUMNS)
            words = f"{DRAWN} images that {side.title} drew from the noise of seed {SEED}."
            shown.append(picture(path, side.title, alternative=words))
    return {"pictures": shown, "note": note}


def choose_images(one: pd.DataFrame, other: pd.DataFrame) -> list[int]:
    """Return the images on which the first run is better by most in CIDEr, then those on which the second is."""
    gain = (one["CIDEr"] - other["CIDEr"]).sort_values(ascending=False, kind="stable")
    chosen = [*gain[gain > 0].index[:CHOSEN], *gain[gain < 0].index[-CHOSEN:]]
    return [int(each) for each in chosen]


def _table(sides: tuple[Side, Side], name: str, columns: list[str]) -> pd.DataFrame | None:
    """Return a table of the data that the runs were scored on, from the first side that has it."""
    path = next((path for side in sides if (path := side.root / name).is_file()), None)
    return None if path is None else pd.read_parquet(path, columns=columns)


def _thumbnail(path: Path, sha256: str | None, alternative: str) -> dict[str, Any] | None:
    """Return a small copy of a test image; None unless the file is known to be the one that was captioned."""
    if not path.is_file() or file_sha256(path) != sha256:
        return None
    with tempfile.TemporaryDirectory() as folder, Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(Path(folder, "small.png"))
        return picture(Path(folder, "small.png"), alternative=alternative)


def caption_figures(sides: tuple[Side, Side], decoding: str, images: Path) -> list[dict[str, Any]]:
    """Return some test images from the folder `images`, with what both runs and a person wrote about each."""
    one, other = (side.captions(decoding) for side in sides)
    if one is None or other is None or set(one.index) != set(other.index):
        return []
    written = _table(sides, CAPTIONS, ["image_id", "caption"])
    listed = _table(sides, IMAGES, ["image_id", "sha256"])
    people = {} if written is None else dict(written.groupby("image_id")["caption"].first())
    sums = {} if listed is None else dict(zip(listed["image_id"], listed["sha256"], strict=True))
    return [
        {
            "picture": _thumbnail(
                images / str(one["file_name"][key]), sums.get(key), f"Test image {key}, captioned below."
            ),
            "image": key,
            "captions": [
                {"by": side.title, "text": table["caption"][key], "score": f"{table['CIDEr'][key]:.2f}"}
                for side, table in zip(sides, (one, other), strict=True)
            ],
            "person": people.get(key, ""),
        }
        for key in choose_images(one, other)
    ]
