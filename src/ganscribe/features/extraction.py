"""The extraction of Inception-v3 features: every image once, shard by shard, decoding overlapped."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from ganscribe.core.files import atomic_folder, link_or_copy, write_parquet
from ganscribe.datasets.image_files import ImageFile, check_budget
from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.progress import progress
from ganscribe.features.inception import FEATURE_SHAPE, NETWORK, Inception, read_inception, write_inception
from ganscribe.features.loading import Loaded, RejectedImage, decode_on_card, load_images
from ganscribe.features.pictures import PREPROCESSING
from ganscribe.features.pipeline import COMPILE_FROM, Pipeline, open_pipeline
from ganscribe.features.shards import ShardWriter, is_whole, shard_metadata, shard_name

REJECTED_FILE = "rejected.parquet"
WEIGHTS_FILE = "inception.safetensors"
WRITERS = 2  # shards at a time: one thread writes the features of some 2,000 to 4,000 images a second
SHARED_NETWORK = "network.safetensors"  # among the shards, for other processes that make them


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What is to be made: features of `files` (in `folder`), in shards that wait in `working`.

    Images go by id, and batches are fixed slices of a shard, so that the bytes of a shard depend neither on
    the order of `files`, nor on who makes it, nor on what was made before. `decoder`: `cpu`, or `gpu` for JPEGs.
    `metadata`: see `ShardWriter`.
    """

    files: list[ImageFile]
    folder: Path
    crop: str
    decoder: str
    batch_size: int
    images_per_shard: int
    working: Path
    metadata: dict[str, str]

    def writer(self) -> ShardWriter:
        """Of this extraction's shards."""
        return ShardWriter(folder=self.working, shape=FEATURE_SHAPE, metadata=self.metadata)

    def num_shards(self) -> int:
        """How many shards there will be."""
        return math.ceil(len(self.files) / self.images_per_shard)

    def images(self, number: int) -> list[ImageFile]:
        """The images of shard `number`."""
        return self.files[number * self.images_per_shard : (number + 1) * self.images_per_shard]

    def path(self, number: int) -> Path:
        """Where shard `number` is, or will be."""
        return self.working / shard_name(number)

    def missing(self) -> list[int]:
        """The shards that are still to be made; one that was damaged since is made again."""
        return [number for number in range(self.num_shards()) if not is_whole(self.path(number))]

    def open_pipeline(self, inception: Inception, device: torch.device) -> Pipeline:
        """Return what computes the features, one batch after another."""
        is_compiled = self.decoder == "gpu" and len(self.files) >= COMPILE_FROM
        return open_pipeline(inception, device, batch_size=self.batch_size, is_compiled=is_compiled)

    def make(
        self, numbers: Sequence[int], *, pipeline: Pipeline, num_workers: int
    ) -> Generator[tuple[int, list[RejectedImage]], None, None]:
        """Make the shards `numbers`. Yields after each batch: its images, and those rejected among them."""
        pending = [file for number in numbers for file in self.images(number)]
        ahead = 2 * self.batch_size
        loading = load_images(
            pending, self.folder, crop=self.crop, num_workers=num_workers, ahead=ahead, decoder=self.decoder
        )
        with contextlib.closing(loading) as loaded, _Writing(self.writer()) as writing:
            for number in numbers:
                shard = _Shard([], pipeline.buffer(len(self.images(number))), [])
                for size in _batch_sizes(len(self.images(number)), self.batch_size):
                    rejected = len(shard.rejected)
                    images = shard.add(self._decoded(itertools.islice(loaded, size), pipeline.device))
                    if images:
                        rows = slice(len(shard.files) - len(images), len(shard.files))
                        pipeline.compute(images, shard.features[rows])
                    yield size, shard.rejected[rejected:]
                writing.begin(number, shard, pipeline.mark())

    def _decoded(
        self, batch: Iterator[tuple[ImageFile, Loaded]], device: torch.device
    ) -> list[tuple[ImageFile, Loaded]]:
        if self.decoder == "gpu":
            return list(decode_on_card(list(batch), device, crop=self.crop))
        return list(batch)

    def for_workers(self, inception: Inception) -> Extraction:
        """Return the same for processes in other folders; `inception` is saved for their `open_saved`."""
        write_inception(self.working / SHARED_NETWORK, inception)
        return replace(self, folder=self.folder.absolute(), working=self.working.absolute())

    def open_saved(self, device: torch.device) -> Pipeline:
        """Return the pipeline of the network that `for_workers` has saved, on `device`."""
        return self.open_pipeline(read_inception(self.working / SHARED_NETWORK, device=device), device)

    def make_alone(self, number: int, *, pipeline: Pipeline, num_workers: int) -> str:
        """Make shard `number` unless it is there. Returns its images without features, for `parse_rejected`."""
        if not is_whole(self.path(number)):
            for _ in self.make([number], pipeline=pipeline, num_workers=num_workers):
                pass
        return self._rejected_text(number)

    def _rejected_text(self, number: int) -> str:
        return shard_metadata(self.path(number))["rejected"]

    def rejected_in(self, number: int) -> list[RejectedImage]:
        """Return the images that shard `number` lacks."""
        return self.parse_rejected(self._rejected_text(number))

    @staticmethod
    def parse_rejected(text: str) -> list[RejectedImage]:
        """Return the images in what `make_alone` returns."""
        return [RejectedImage(**entry) for entry in json.loads(text)]

    def check_rejected(self, rejected: Sequence[RejectedImage], *, max_bad_images: float) -> None:
        """Raise ValueError where more than the share `max_bad_images` of all images is without features."""
        problems = [(image.file_name, image.reason) for image in rejected]
        check_budget(problems, folder=self.folder, num_images=len(self.files), max_bad_images=max_bad_images)


def plan_extraction(
    files: Sequence[ImageFile],
    *,
    folder: Path,
    inception: Inception,
    precision: str,
    crop: str,
    decoder: str = "cpu",
    batch_size: int,
    images_per_shard: int,
    working: Path,
) -> Extraction:
    """The extraction of `files`, whatever their order. ValueError: there are none."""
    if not files:
        raise ValueError("no images were fetched, so no features can be extracted")
    metadata = {
        "decoder": decoder,
        "network": NETWORK,
        "weights": inception.label,
        "weights_sha256": inception.sha256,
        "preprocessing": PREPROCESSING[crop],
        "precision": precision,
    }
    return Extraction(
        files=sorted(files, key=lambda file: file.image_id),
        folder=folder,
        crop=crop,
        decoder=decoder,
        batch_size=batch_size,
        images_per_shard=images_per_shard,
        working=working,
        metadata=metadata,
    )


def extract_features(
    extraction: Extraction,
    *,
    inception: Inception,
    device: torch.device,
    max_bad_images: float,
    out: Path,
    is_stopping: Callable[[], bool] = lambda: False,
    num_workers: int | None = None,
) -> list[RejectedImage]:
    """Write Mixed_7c features, (64, 2048) float16 for each image, to `out`; return the images that have none.

    `inception` comes from `prepare`. Finished shards stay in `extraction.working`, which is the caller's to delete; a
    later call with the same folder (same images, code and parameters: the caller's key) makes the missing
    ones. The bytes depend neither on workers nor on interruptions; another `batch_size` changes them by no
    more than rounding may (0.1% of the largest value in fp32, 2% in bf16). Missing and broken images go to
    rejected.parquet; raises ValueError when they are more than the share `max_bad_images`, OSError for an
    image that has changed since it was fetched, Interrupted where `is_stopping()`.
    """
    missing, every = extraction.missing(), range(extraction.num_shards())
    rejected = [
        image for number in every if number not in missing for image in extraction.rejected_in(number)
    ]
    # Other processes may have made all shards, and then no batch comes below.
    extraction.check_rejected(rejected, max_bad_images=max_bad_images)
    workers = num_workers or max(1, (os.cpu_count() or 2) - 1)
    num_images, todo = len(extraction.files), sum(len(extraction.images(number)) for number in missing)
    description = f"features ({inception.label}, {extraction.metadata['precision']})"
    pipeline = extraction.open_pipeline(inception, device)
    made = extraction.make(missing, pipeline=pipeline, num_workers=workers)
    with (
        contextlib.closing(made),
        progress(num_images, description, "image", initial=num_images - todo) as bar,
    ):
        for size, without in made:
            rejected += without
            extraction.check_rejected(rejected, max_bad_images=max_bad_images)
            bar.update(size)
            if is_stopping():
                raise Interrupted("feature extraction was stopped; the finished shards are kept")
    rejected.sort(key=lambda image: image.image_id)
    _publish(extraction.writer(), len(every), inception, rejected, out)
    return rejected


def _batch_sizes(num_images: int, batch_size: int) -> list[int]:
    return [min(batch_size, num_images - start) for start in range(0, num_images, batch_size)]


class _Shard(NamedTuple):
    """A shard in the making: its images, room for their features, and those without."""

    files: list[ImageFile]
    features: torch.Tensor
    rejected: list[RejectedImage]

    def add(self, batch: Sequence[tuple[ImageFile, Loaded]]) -> list[torch.Tensor]:
        """Note the images of a batch, and return those that there is something to compute of."""
        images = []
        for file, loaded in batch:
            if isinstance(loaded, RejectedImage):
                self.rejected.append(loaded)
            elif isinstance(loaded, torch.Tensor):
                self.files.append(file)
                images.append(loaded)
        return images


class _Writing:
    """Writes shards in threads of its own, two at a time. Its end waits for them."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer = writer
        self.pool = ThreadPoolExecutor(WRITERS)
        self.under_way: deque[Future[None]] = deque()

    def __enter__(self) -> _Writing:
        return self

    def begin(self, number: int, shard: _Shard, wait: Callable[[], None]) -> None:
        """Write a shard once its features are there (`wait`). Raises what an earlier writing has raised."""
        if len(self.under_way) == WRITERS:
            self.under_way.popleft().result()
        self.under_way.append(self.pool.submit(self._write, number, shard, wait))

    def __exit__(self, *exception: object) -> None:
        self.pool.shutdown()
        for written in self.under_way:
            written.result()

    def _write(self, number: int, shard: _Shard, wait: Callable[[], None]) -> None:
        wait()
        self.writer.write(
            number,
            image_ids=[file.image_id for file in shard.files],
            file_names=[file.file_name for file in shard.files],
            features=shard.features[: len(shard.files)],
            notes={"rejected": json.dumps([asdict(image) for image in shard.rejected])},
        )


def _publish(
    writer: ShardWriter, num_shards: int, inception: Inception, rejected: Sequence[RejectedImage], out: Path
) -> None:
    """Put the shards into `out`, with the index, the rejected images and the network that made them.

    They stay where they were made as well: where this fails, or is killed, nothing has to be computed again.
    """
    import pyarrow as pa

    writer.write_index(num_shards)
    with atomic_folder(out) as temporary:
        for name in [*(shard_name(shard) for shard in range(num_shards)), "index.parquet"]:
            link_or_copy(writer.folder / name, temporary / name)
        columns = {
            "image_id": pa.array([image.image_id for image in rejected], pa.int64()),
            "file_name": pa.array([image.file_name for image in rejected], pa.string()),
            "reason": pa.array([image.reason for image in rejected], pa.string()),
        }
        write_parquet(temporary / REJECTED_FILE, pa.table(columns))
        write_inception(temporary / WEIGHTS_FILE, inception)
