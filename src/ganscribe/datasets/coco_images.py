"""Getting the chosen COCO images: from their own URLs, out of the archive, or in place."""

from __future__ import annotations

import contextlib
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath

import filelock
from PIL import Image

from ganscribe.core.files import atomic_folder, atomic_write, file_sha256, link_or_copy, project_root
from ganscribe.datasets.captions import SelectedCaption
from ganscribe.datasets.image_files import ImageFile, bad_image_budget, check_budget, write_image_files
from ganscribe.execution.progress import progress
from ganscribe.sources.annotations import IMAGES_URL, Caption
from ganscribe.sources.archives import DAMAGE, what_is_damaged
from ganscribe.sources.fetch import Download, fetch_many

MAX_IMAGE_BYTES = 32 << 20  # COCO's largest is under 1 MB
IMAGES_FILE = "images.parquet"


def chosen_images(captions: Iterable[Caption | SelectedCaption]) -> list[tuple[int, str, str]]:
    """Image id, file name and URL of every image that a caption belongs to, by id."""
    return sorted({(caption.image_id, caption.file_name, caption.url) for caption in captions})


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
    alone = contextlib.nullcontext() if fetched == "in place" else _only_fetch(working)
    with alone, atomic_folder(out) as temporary:
        problems: dict[str, str] = {}
        if fetched == "urls":
            problems = _from_urls(images, working, bad_image_budget(len(images), max_bad_images))
        elif fetched == "archive":
            problems = _from_archive(images, source_folder.with_suffix(".zip"), working)
        folder = source_folder if fetched == "in place" else working
        files = _describe(images, folder, problems)
        bad = [(file.file_name, file.problem) for file in files if file.problem is not None]
        check_budget(bad, folder=folder, num_images=len(files), max_bad_images=max_bad_images)
        if fetched == "in place":
            _check_unchanged(files, listed)
        else:
            _link_all(files, working, temporary / "images")
        write_image_files(temporary / IMAGES_FILE, files)
        if fetched == "archive":  # which has them still
            shutil.rmtree(working)
    return files


@contextlib.contextmanager
def _only_fetch(working: Path) -> Iterator[None]:
    """Make the folder `working`, and let only one process at a time run the block."""
    working.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(working.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError("another process is fetching images: wait for it or stop it first") from None
    with lock:
        yield


def _not_an_image(path: Path) -> str | None:
    """Return what is wrong with the file `path` if it does not begin as an image does; the pixels are not read."""
    try:
        with Image.open(path):
            return None
    except Image.UnidentifiedImageError:
        return f"not an image, {path.stat().st_size:,} bytes"


def _from_urls(images: Sequence[tuple[int, str, str]], folder: Path, max_failures: int) -> dict[str, str]:
    items = [
        Download(tuple(dict.fromkeys((url, IMAGES_URL + name))), folder / name, inspect=_not_an_image)
        for _, name, url in images
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
    except DAMAGE as error:
        why = what_is_damaged(error)
        raise ValueError(f"{path} is not a complete zip archive ({why}): download it again") from None
    with archive, progress(len(images), f"images from {path.name}", "image") as bar:
        members = {PureWindowsPath(info.filename).name: info for info in archive.infolist()}
        members |= {info.filename: info for info in archive.infolist()}  # as published, which goes first
        for _, name, _ in images:
            bar.update()
            info = members.get(f"{path.stem}/{name}", members.get(name))
            if info is not None and _is_unpacked(folder / name, info):
                continue
            if info is None or info.file_size > MAX_IMAGE_BYTES:
                problems[name] = f"not in {path.name}" if info is None else f"{info.file_size:,} bytes long"
                continue
            try:
                content = archive.read(info)
            except DAMAGE as error:
                problems[name] = f"broken in {path.name}: {what_is_damaged(error)}"
                continue
            with atomic_write(folder / name) as handle:
                handle.write(content)
    return problems


def _is_unpacked(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether `path` has the content of the archive's member: an earlier call may have had another archive."""
    return path.is_file() and zlib.crc32(path.read_bytes()) == info.CRC


def _describe(
    images: Sequence[tuple[int, str, str]], folder: Path, problems: dict[str, str]
) -> list[ImageFile]:
    files = []
    with progress(len(images), "check images", "image") as bar:
        for image_id, name, _ in images:
            path = folder / name
            if path.is_file() and name not in problems:
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
            link_or_copy(working / file.file_name, folder / file.file_name)
