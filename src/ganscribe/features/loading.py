"""The images of a list, decoded in background threads, and why one cannot be."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.pictures import load_image


@dataclass(frozen=True)
class RejectedImage:
    """An image without features, and why."""

    image_id: int
    file_name: str
    reason: str


def _load(file: ImageFile, folder: Path, crop: str) -> torch.Tensor | RejectedImage:
    """The image as (3, 299, 299) uint8, or why there is none. Raises OSError for a file that has changed
    since it was fetched."""
    if file.problem is not None:
        return RejectedImage(file.image_id, file.file_name, file.problem)
    try:
        content = (folder / file.file_name).read_bytes()
    except FileNotFoundError:
        return RejectedImage(file.image_id, file.file_name, "missing")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise OSError(f"{file.file_name} has changed since it was fetched: run `dvc repro -f fetch_images`")
    try:
        return load_image(content, crop=crop)
    except ValueError as error:
        return RejectedImage(file.image_id, file.file_name, str(error))


def load_images(
    files: Sequence[ImageFile], folder: Path, *, crop: str, num_workers: int, ahead: int = 64
) -> Generator[tuple[ImageFile, torch.Tensor | RejectedImage], None, None]:
    """Decode `files` in order in `num_workers` background threads, at most `ahead` images ahead."""
    pool = ThreadPoolExecutor(num_workers)
    pending: deque[tuple[ImageFile, Future[torch.Tensor | RejectedImage]]] = deque()
    try:
        for file in files:
            pending.append((file, pool.submit(_load, file, folder, crop)))
            if len(pending) > ahead:
                first, result = pending.popleft()
                yield first, result.result()
        while pending:
            first, result = pending.popleft()
            yield first, result.result()
    finally:
        pool.shutdown(cancel_futures=True)


def calibration_images(
    files: Sequence[ImageFile], folder: Path, *, crop: str, count: int = 32
) -> torch.Tensor:
    """The first `count` whole images, (N, 3, 299, 299) uint8."""
    whole: list[torch.Tensor] = []
    for _, loaded in load_images(files[: 2 * count], folder, crop=crop, num_workers=1):
        if isinstance(loaded, torch.Tensor) and len(whole) < count:
            whole.append(loaded)
    if not whole:
        raise ValueError(f"none of the first {2 * count} images in {folder} can be read")
    return torch.stack(whole)
