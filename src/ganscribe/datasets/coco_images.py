"""Getting the chosen COCO images: from their own URLs, out of the archive, or in place."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock

from ganscribe.core.files import atomic_folder, atomic_write, file_sha256, project_root, write_parquet
from ganscribe.datasets.captions import SelectedCaption
from ganscribe.execution.progress import progress
from ganscribe.sources.annotations import IMAGES_URL, Caption
from ganscribe.sources.fetch import Download, fetch_many
from ganscribe.sources.publishers import link

MAX_IMAGE_BYTES = 32 << 20  # COCO's largest is under 1 MB
IMAGES_FILE = "images.parquet"


@dataclass(frozen=True, order=True)
class ImageFile:
    """An image of the chosen captions; `num_bytes` and `sha256` are None where it could not be had."""

    image_id: int
    file_name: str
    num_bytes: int | None
    sha256: str | None
    problem: str | None = None


def chosen_images(captions: Iterable[Caption | SelectedCaption]) -> list[tuple[int, str, str]]:
    """Image id, file name and URL of every image that a caption belongs to, by id."""
    return sorted({(caption.image_id, caption.file_name, caption.url) for caption in captions})


def bad_image_budget(num_images: int, max_bad_images: float) -> int:
    """How many of `num_images` may be missing or broken, `max_bad_images` being their share."""
    return int(num_images * max_bad_images + 1e-9)  # 0.29 * 100 is 28.999...


def check_budget(problems: Sequence[tuple[str, str]], *, num_images: int, max_bad_images: float) -> None:
    """Raise ValueError if there are more (file name, reason) pairs than the budget allows."""
    allowed = bad_image_budget(num_images, max_bad_images)
    if len(problems) > allowed:
        first = "; ".join(f"{name}: {reason}" for name, reason in problems[:3])
        raise ValueError(
            f"{len(problems)} of {num_images} images are missing or broken, {allowed} are allowed ({first})."
            " Get them again, or raise features.max_bad_images in params.yaml"
        )


def fetch_images(
    images: Sequence[tuple[int, str, str]],
    *,
    source_folder: Path,
    fetched: str,
    out: Path,
    listed: Mapping[str, str],
    max_bad_images: float,
) -> list[ImageFile]:
    """Bring the images (id, file name, URL) to hand and write the folder `out` with its images.parquet.

    `fetched`: `urls` (each from its own URL, into `out`/images), `archive` (out of `source_folder`.zip, into
    `out`/images) or `in place` (in `source_folder`, held against `listed`, the SHA-256 by file name that
    the manifest gives). A missing image is listed, up to the share `max_bad_images`; beyond it, or for a file
    that has changed since the download, ValueError. A fetch that was cut off goes on at the next call, and
    what came from URLs stays in the project's .checkpoints/downloads for another choice of images.
    """
    downloads = project_root() / ".checkpoints" / "downloads"
    working = downloads / ("coco-images" if fetched == "urls" else "coco-unpacked")
    working.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(working.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError("another process is fetching images: wait for it or stop it first") from None
    with lock, atomic_folder(out) as temporary:
        problems: dict[str, str] = {}
        if fetched == "urls":
            problems = _from_urls(images, working, bad_image_budget(len(images), max_bad_images))
        elif fetched == "archive":
            problems = _from_archive(images, source_folder.with_suffix(".zip"), working)
        folder = source_folder if fetched == "in place" else working
        files = _describe(images, folder, problems)
        bad = [(file.file_name, file.problem) for file in files if file.problem is not None]
        check_budget(bad, num_images=len(files), max_bad_images=max_bad_images)
        if fetched == "in place":
            _check_unchanged(files, listed)
        else:
            _link_all(files, working, temporary / "images")
        write_image_files(temporary / IMAGES_FILE, files)
    if fetched != "urls":  # the archive has them still
        shutil.rmtree(working)
    return files


def _from_urls(images: Sequence[tuple[int, str, str]], folder: Path, max_failures: int) -> dict[str, str]:
    items = [
        Download(tuple(dict.fromkeys((url, IMAGES_URL + name))), folder / name) for _, name, url in images
    ]
    failures = fetch_many(
        items, max_bytes=MAX_IMAGE_BYTES, max_failures=max_failures, description="COCO images"
    )
    return {failure.path.name: failure.reason for failure in failures}


def _from_archive(images: Sequence[tuple[int, str, str]], path: Path, folder: Path) -> dict[str, str]:
    """Copy the images out of the zip file `path`, the rest of it unread; returns reason by file name."""
    problems = {}
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `dvc repro -f download@coco`") from None
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no whole zip archive ({error}): get it again") from None
    with archive, progress(len(images), f"images from {path.name}", "image") as bar:
        members = {info.filename: info for info in archive.infolist()}
        for _, name, _ in images:
            bar.update()
            info = members.get(f"{path.stem}/{name}")
            if (folder / name).exists():
                continue
            if info is None or info.file_size > MAX_IMAGE_BYTES:
                problems[name] = f"not in {path.name}" if info is None else f"{info.file_size:,} bytes long"
                continue
            try:
                with atomic_write(folder / name) as handle:
                    handle.write(archive.read(info))
            except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, RuntimeError) as error:
                problems[name] = f"broken in {path.name}: {error}"
    return problems


def _describe(
    images: Sequence[tuple[int, str, str]], folder: Path, problems: dict[str, str]
) -> list[ImageFile]:
    files = []
    with progress(len(images), "check images", "image") as bar:
        for image_id, name, _ in images:
            path = folder / name
            if path.is_file():
                files.append(ImageFile(image_id, name, path.stat().st_size, file_sha256(path)))
            else:
                files.append(ImageFile(image_id, name, None, None, problems.get(name, "missing")))
            bar.update()
    return sorted(files, key=lambda file: file.image_id)


def _check_unchanged(files: Sequence[ImageFile], listed: Mapping[str, str]) -> None:
    for file in files:
        if file.sha256 is not None and listed.get(file.file_name, file.sha256) != file.sha256:
            raise ValueError(f"{file.file_name} has changed since download: run `dvc repro -f download@coco`")


def _link_all(files: Sequence[ImageFile], working: Path, folder: Path) -> None:
    folder.mkdir()
    for file in files:
        if file.sha256 is not None:
            link(working / file.file_name, folder / file.file_name)


def write_image_files(path: str | Path, files: Sequence[ImageFile]) -> None:
    """Write images.parquet: image_id, file_name, bytes, sha256, problem, one row an image."""
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
