"""Files that are whole or absent, their digests, and tensors on disk."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

# What torch raises for a file that is none of its own, beside UnpicklingError.
_UNREADABLE: tuple[type[Exception], ...] = (RuntimeError, ValueError, EOFError, TypeError, LookupError)
_UNREADABLE += (AttributeError, AssertionError, struct.error, ArithmeticError, MemoryError)


def project_root() -> Path:
    """The main repository's folder: DVC's own notion inside a stage, the working folder outside one.

    In `dvc exp run --temp` this is the repository, not the temporary copy.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary handle whose content appears at `path` only when the block has ended without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as JSON, keys in the order given, one final newline, atomically."""
    with atomic_write(path) as handle:
        handle.write((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read a JSON file that somebody else has made: in UTF-8, 16 or 32, with or without a byte-order mark.

    Raises ValueError for anything else; it says whether the file was cut off, or is whole and wrong.
    """
    content = Path(path).read_bytes()
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data"
        remedy = "it was perhaps cut off: get it again" if is_cut else "save it in the encoding UTF-8"
        raise ValueError(f"{path} is not valid JSON: it is not Unicode text ({error}): {remedy}") from None
    except json.JSONDecodeError as error:
        text = error.doc.rstrip()
        is_cut = error.pos >= len(text) or not text.endswith(("}", "]"))
        remedy = "it ends early and was perhaps cut off: get it again" if is_cut else "correct it there"
        raise ValueError(f"{path} is not valid JSON ({error}): {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): correct it") from None


def write_csv(path: str | Path, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Write `rows` (all with the same keys) as CSV, floats at full precision, None and NaN as nothing, atomically."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    # Not by pandas, whose import takes longer than the whole rest of some stages.
    writer.writerows({key: None if value != value else value for key, value in row.items()} for row in rows)
    with atomic_write(path) as handle:
        handle.write(table.getvalue().encode())


def write_parquet(path: str | Path, table: Any, **options: Any) -> None:
    """Write a pyarrow table atomically; `options` are those of `pyarrow.parquet.write_table`."""
    import pyarrow.parquet as pq

    with atomic_write(path) as handle:
        pq.write_table(table, handle, **options)


def save_torch(path: str | Path, value: object) -> None:
    """`torch.save` atomically, to a handle: saved to a path, the bytes would hold the file's name."""
    import torch

    with atomic_write(path) as handle:
        torch.save(value, handle)


def load_torch(path: str | Path) -> Any:
    """Load what `save_torch` wrote, on the CPU; tensors and plain containers only, never code.

    Raises ValueError for any other file, one that unpacks to more than it is long among them.
    """
    import torch

    problem = f"{path} is damaged, or not a PyTorch file of tensors and plain values"
    try:
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > Path(path).stat().st_size:
                raise ValueError("it unpacks to more than it is long, which torch.save never writes")
        with Path(path).open("rb") as handle:  # by its content, whatever its name ends in
            return torch.load(handle, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{problem} (code in it is never run): save its state dict alone, or get it again"
        ) from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{problem} ({reason}): get it or make it again") from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_md5(path: str | Path) -> str:
    """MD5 of a file, by which DVC knows it."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()


def link_or_copy(path: str | Path, target: str | Path) -> None:
    """Give the file `path` a second name `target`, without a copy where the file system can."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `path` only when the block has ended without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
