"""The list of images that captions belong to: which are there, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganscribe.core.files import write_parquet


@dataclass(frozen=True, order=True)
class ImageFile:
    """One image of the chosen captions. `num_bytes` and `sha256` are None if its file is missing."""

    image_id: int
    file_name: str
    num_bytes: int | None
    sha256: str | None
    problem: str | None = None


def bad_image_budget(num_images: int, max_bad_images: float) -> int:
    """How many of `num_images` may be missing or broken, `max_bad_images` being their share."""
    return int(num_images * max_bad_images + 1e-9)  # 0.29 * 100 is 28.999...


def check_budget(
    problems: Sequence[tuple[str, str]], *, folder: Path, num_images: int, max_bad_images: float
) -> None:
    """Raise ValueError if there are more (file name, reason) pairs of `folder` than the budget allows."""
    allowed = bad_image_budget(num_images, max_bad_images)
    if len(problems) > allowed:
        first = "; ".join(f"{name}: {reason}" for name, reason in problems[:3])
        raise ValueError(
            f"{folder}: {len(problems)} of {num_images} images are missing or broken, {allowed} are allowed"
            f" ({first}). Put them right, or raise features.max_bad_images in params.yaml"
        )


def write_image_files(path: str | Path, files: Sequence[ImageFile]) -> None:
    """Write images.parquet: image_id, file_name, bytes, sha256, problem, one row per image."""
    import pyarrow as pa

    columns = {
        "image_id": pa.array([file.image_id for file in files], pa.int64()),
        "file_name": pa.array([file.file_name for file in files], pa.string()),
        "bytes": pa.array([file.num_bytes for file in files], pa.int64()),
        "sha256": pa.array([file.sha256 for file in files], pa.string()),
        "problem": pa.array([file.problem for file in files], pa.string()),
    }
    write_parquet(path, pa.table(columns))


def read_image_files(path: str | Path) -> list[ImageFile]:
    """Read what `write_image_files` wrote."""
    import pyarrow.parquet as pq

    names = ["image_id", "file_name", "bytes", "sha256", "problem"]
    columns = pq.read_table(path, columns=names).to_pydict()
    return [ImageFile(*row) for row in zip(*columns.values(), strict=True)]
