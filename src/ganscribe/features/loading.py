"""The images of a list, decoded in background threads or on a card, and why one cannot be."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.pictures import as_tensor, load_image, plain_jpeg, resize

END_OF_IMAGE = b"\xff\xd9"  # a JPEG's last marker
LARGEST_ON_CARD = 28_000  # pixels a side: torch's antialiased kernel for CUDA makes nothing 95 times smaller


@dataclass(frozen=True)
class RejectedImage:
    """An image without features, and why."""

    image_id: int
    file_name: str
    reason: str


@dataclass(frozen=True)
class Undecoded:
    """A JPEG that a card can decode."""

    content: bytes


Loaded = torch.Tensor | Undecoded | RejectedImage


def _load(file: ImageFile, folder: Path, crop: str, decoder: str) -> Loaded:
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
    # A card fills up what is missing at the end of a file that was cut off; the CPU says so.
    if decoder == "gpu" and content.endswith(END_OF_IMAGE) and plain_jpeg(content) == "RGB":
        return Undecoded(content)
    return _decoded(file, content, crop)


def _decoded(file: ImageFile, content: bytes, crop: str) -> torch.Tensor | RejectedImage:
    return _unless_refused(file, load_image, content, crop=crop)


def _unless_refused(
    file: ImageFile, read: Callable[..., torch.Tensor], *arguments: Any, **options: Any
) -> torch.Tensor | RejectedImage:
    try:
        return read(*arguments, **options)
    except ValueError as error:
        return RejectedImage(file.image_id, file.file_name, str(error))


def _is_over_a_picture(error: RuntimeError) -> bool:
    """Return whether torchvision's decoder for cards failed over a picture.

    It says so in words and nvJPEG's number, and wraps what it meets on the way: a card that is out of memory (nvJPEG
    calls that 5), or any other error of CUDA's. What it says before it begins, as where it was built without nvJPEG,
    has other words.
    """
    found = re.match("Error while decoding JPEG images: (.*)", str(error))
    return found is not None and re.search("CUDA|out of memory|: 5$", found[1]) is None


def decode_on_card(
    batch: Sequence[tuple[ImageFile, Loaded]], device: torch.device, *, crop: str
) -> list[tuple[ImageFile, torch.Tensor | RejectedImage]]:
    """The same with every image on `device`, and none undecoded.

    The card's decoder names no image that it fails on: then the CPU decodes the whole batch. Raises its RuntimeError
    where no image is why it fails.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    waiting = [(file, loaded.content) for file, loaded in batch if isinstance(loaded, Undecoded)]
    found: dict[ImageFile, torch.Tensor | RejectedImage] = {
        file: loaded for file, loaded in batch if not isinstance(loaded, Undecoded)
    }
    if waiting:
        contents = [as_tensor(content) for _, content in waiting]
        if device.type == "cuda":
            # The decoder waits for no stream: it would write over pictures that the last batch has yet to read.
            torch.cuda.current_stream(device).synchronize()
        try:
            pictures = decode_jpeg(contents, mode=ImageReadMode.RGB, device=device)
        except RuntimeError as error:
            if not _is_over_a_picture(error):
                error.add_note(
                    "The card did not fail over a picture: with features.decoder: cpu the CPU decodes."
                )
                raise
            found |= {file: _decoded(file, content, crop) for file, content in waiting}
        else:
            for (file, _), picture in zip(waiting, pictures, strict=True):
                is_large = max(picture.shape[1:]) > LARGEST_ON_CARD
                found[file] = _unless_refused(file, resize, picture.cpu() if is_large else picture, crop=crop)
    images = [(file, found[file]) for file, _ in batch]
    return [(file, image.to(device) if isinstance(image, torch.Tensor) else image) for file, image in images]


def load_images(
    files: Sequence[ImageFile],
    folder: Path,
    *,
    crop: str,
    num_workers: int,
    ahead: int = 64,
    decoder: str = "cpu",
) -> Generator[tuple[ImageFile, Loaded], None, None]:
    """Load `files` in order in `num_workers` background threads, at most `ahead` images ahead.

    With the decoder `gpu`, JPEGs that a card can decode come as they are, for `decode_on_card`.
    """
    pool = ThreadPoolExecutor(num_workers)
    pending: deque[tuple[ImageFile, Future[Loaded]]] = deque()
    try:
        for file in files:
            pending.append((file, pool.submit(_load, file, folder, crop, decoder)))
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
