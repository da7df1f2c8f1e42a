"""Unpacking tar and zip files that nobody vouches for."""

from __future__ import annotations

import errno
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from ganscribe.core.files import atomic_write
from ganscribe.execution.progress import progress

CHUNK_BYTES = 1 << 20

# What a damaged archive makes tarfile, zipfile and the decompressors raise.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # zipfile's, for a password or an unknown way of packing
    OverflowError,
    struct.error,
    UnicodeDecodeError,
    OSError,  # bad gzip and bzip2 data, and zipfile's seek to before the beginning
)

Info = TypeVar("Info", zipfile.ZipInfo, tarfile.TarInfo)


def unpack(
    archive: str | Path, folder: str | Path, *, max_bytes: int, members: Collection[str] | None = None
) -> list[Path]:
    """Unpack the files of a .zip or .tar(.gz, .bz2, .xz) under `folder`, or only the named `members`.

    Raises ValueError if a name leads out of `folder`, for a link or device, for more than `max_bytes` in
    all, for a member that is not there and for a damaged archive. Returns the files, in the archive's order.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise FileNotFoundError(f"archive {archive} is missing")
    try:
        if zipfile.is_zipfile(archive):
            return _unpack_zip(archive, folder, max_bytes, members)
        return _unpack_tar(archive, folder, max_bytes, members)
    except DAMAGE as error:
        raise ValueError(
            f"{archive} is truncated or damaged ({what_is_damaged(error)}): get it again"
        ) from error


def what_is_damaged(error: BaseException) -> str:
    """Return what one of the errors `DAMAGE` says in one line, or raise it again if it is the disk's."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error
    return " ".join(str(error).split()) or type(error).__name__


def _unpack_zip(archive: Path, folder: Path, max_bytes: int, members: Collection[str] | None) -> list[Path]:
    with zipfile.ZipFile(archive) as opened:
        files = [each for each in opened.infolist() if not each.is_dir()]
        for each in files:
            kind = stat.S_IFMT(each.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"{archive}: {each.filename!r} is a link or device: refused")
        chosen = _choose(archive, {each.filename: each for each in files}, members)
        _check_total(archive, sum(each.file_size for each in chosen.values()), max_bytes)
        with progress(len(chosen), f"unpack {archive.name}", "file") as bar:
            for name, each in chosen.items():
                with opened.open(each) as source:
                    _copy(source, folder / name, each.file_size, archive)
                bar.update()
    return [folder / name for name in chosen]


def _unpack_tar(archive: Path, folder: Path, max_bytes: int, members: Collection[str] | None) -> list[Path]:
    with tarfile.open(archive, "r:*") as opened:
        files = {}
        for each in opened:
            if not each.isfile() and not each.isdir():
                raise ValueError(f"{archive}: {each.name!r} is a link or device: refused")
            if each.isfile():
                files[each.name] = each
        chosen = _choose(archive, files, members)
        _check_total(archive, sum(each.size for each in chosen.values()), max_bytes)
        with progress(len(chosen), f"unpack {archive.name}", "file") as bar:
            for name, each in chosen.items():
                source = opened.extractfile(each)
                assert source is not None  # a regular file
                with source:
                    _copy(source, folder / name, each.size, archive)
                bar.update()
    return [folder / name for name in chosen]


def _choose(archive: Path, files: dict[str, Info], members: Collection[str] | None) -> dict[str, Info]:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
            raise ValueError(f"{archive}: the name {name!r} leads out of the folder: refused")
    if members is None:
        return files
    missing = sorted(set(members) - set(files))
    if missing:
        raise ValueError(f"{archive} lacks {len(missing)} of {len(members)} files, {missing[0]} among them")
    wanted = set(members)
    return {name: info for name, info in files.items() if name in wanted}


def _check_total(archive: Path, num_bytes: int, max_bytes: int) -> None:
    if num_bytes > max_bytes:
        raise ValueError(f"{archive} unpacks to {num_bytes:,} bytes, more than the {max_bytes:,} expected")


def _copy(source: IO[bytes], path: Path, num_bytes: int, archive: Path) -> None:
    left = num_bytes
    with atomic_write(path) as handle:
        while left:
            chunk = source.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise ValueError(f"{archive} is truncated or damaged ({path.name} ends early): get it again")
            handle.write(chunk)
            left -= len(chunk)
        if source.read(1):
            raise ValueError(f"{archive} is damaged ({path.name} is longer than announced): get it again")
