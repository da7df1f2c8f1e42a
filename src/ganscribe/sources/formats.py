"""The publishers' file formats: MNIST's IDX, CIFAR-10's pickled batches; read with suspicion, and written."""

from __future__ import annotations

import gzip
import io
import pickle
import pickletools
import reprlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ganscribe.core.files import atomic_write

Bytes = npt.NDArray[np.uint8]

IDX_UINT8 = 0x08
MAX_IDX_BYTES = 1 << 30
MAX_TUPLES = 16  # loose ones in a pickle; an array has two


def read_idx(path: str | Path) -> Bytes:
    """The uint8 array of an IDX file, gzipped or plain, of the shape that its header says.

    Raises ValueError if the header is not an IDX header or the data are shorter or longer than it says.
    """
    path = Path(path)
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if is_gzip else raw as handle:
                return _parse_idx(handle, path)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is truncated or damaged ({error}): get it again") from error


def _parse_idx(handle: IO[bytes] | gzip.GzipFile, path: Path) -> Bytes:
    magic = handle.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != IDX_UINT8 or magic[3] not in (1, 2, 3):
        raise ValueError(f"{path} is not an IDX file of bytes: it begins with {magic.hex()}")
    header = handle.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError(f"{path} is truncated: it ends within its header")
    shape = struct.unpack(f">{magic[3]}I", header)
    num_bytes = int(np.prod(shape, dtype=object))
    if max(num_bytes, *shape) > MAX_IDX_BYTES:
        raise ValueError(f"{path} claims the shape {shape}: more than {MAX_IDX_BYTES:,} bytes")
    data = handle.read(num_bytes + 1)
    if len(data) < num_bytes:
        raise ValueError(
            f"{path} is truncated: its header says {shape}, {num_bytes:,} bytes, but it has {len(data):,}"
        )
    if len(data) > num_bytes:
        raise ValueError(f"{path} is longer than its header says: {shape}, {num_bytes:,} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def write_idx(path: str | Path, array: Bytes) -> None:
    """Write a uint8 array as a plain IDX file."""
    header = bytes([0, 0, IDX_UINT8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with atomic_write(path) as handle:
        handle.write(header + np.ascontiguousarray(array, dtype=np.uint8).tobytes())


class _Kind:
    """Stands for a dtype while a pickle is read: numpy's own would take in any flags that the file gives."""

    def __init__(self, code: str | bytes, *flags: object) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if text not in ("u1", "|u1", "i8", "<i8", "i4", "<i4"):
            raise pickle.UnpicklingError(f"an array of {reprlib.repr(text)}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|", b"<", b"|") or state[2:] != (None, None, None, -1, -1, 0):
            raise pickle.UnpicklingError("an array of no plain numbers")


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array while a pickle is read."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, is_fortran, content = state
        super().__setstate__((version, shape, kind.dtype, is_fortran, content))


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if (kind, shape) != ("ndarray", (0,)):
        raise pickle.UnpicklingError("an array of another class or size")
    return _Array((0,), np.uint8)  # pickle fills it with __setstate__


def _dtype(code: str | bytes, *flags: object) -> _Kind:
    return _Kind(code)


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Callable[..., object] | str] = {
    ("numpy", "ndarray"): "ndarray",  # only ever named, as _reconstruct's first argument
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _latin1,  # how Python 3 writes bytes at protocol 2
}


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays, dicts, lists, bytes, strings and numbers; calls nothing that the file names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _ADMITTED[module, name]


def read_plain_pickle(path: str | Path) -> Any:
    """Unpickle arrays of numbers and plain containers, byte strings as bytes (a file of Python 2 or 3).

    Raises ValueError for a damaged file, and for one that holds anything else: pickles can run code.
    """
    content = Path(path).read_bytes()
    try:
        _check_opcodes(content)
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds {str(error)[:200]}: only arrays, lists and bytes are admitted (pickles can run"
            " code): take the publisher's own file"
        ) from error
    except (EOFError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{path} is truncated or no pickle of arrays ({str(error)[:200]}): get it again"
        ) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({str(error)[:200]}): get it again") from error


def _check_opcodes(content: bytes) -> None:
    """Refuse what takes pickle's own machine down: it makes room for as many entries as the largest number of
    one, and hashes tuples within tuples until the stack or the day is over."""
    loose, was_tuple = 0, False  # tuples that are neither arguments nor a state: the shapes of arrays
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT"):
            if not 0 <= int(argument or 0) <= len(content):
                raise ValueError(f"the entry {argument} of its memo")
        elif opcode.name != "MEMOIZE":
            loose += was_tuple and opcode.name not in ("REDUCE", "BUILD")
            was_tuple = "TUPLE" in opcode.name
            if loose > MAX_TUPLES:
                raise ValueError("more tuples than arrays have shapes")


def _entry(values: object, name: str, path: str | Path) -> Any:
    """`name` of a dict whose keys are str or bytes."""
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, not CIFAR's dict")
    found = values.get(name.encode(), values.get(name))
    if found is None:
        raise ValueError(f"{path} has no entry {name!r}: it is not a file of CIFAR-10's Python version")
    return found


def read_cifar_batch(path: str | Path) -> tuple[Bytes, Bytes]:
    """Images (N, 3, 32, 32) and labels (N,) of one batch of CIFAR-10's python version."""
    values = read_plain_pickle(path)
    images, labels = _entry(values, "data", path), _entry(values, "labels", path)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3072,):
        raise ValueError(f"{path}: `data` is not a uint8 array of N rows of 3072")
    if not isinstance(labels, list) or len(labels) != len(images):
        raise ValueError(f"{path}: `labels` is not a list of {len(images)} numbers")
    if any(type(label) is not int or not 0 <= label <= 9 for label in labels):
        raise ValueError(f"{path}: a label is not a number from 0 to 9")
    return np.asarray(images).reshape(-1, 3, 32, 32), np.array(labels, np.uint8)


def read_cifar_classes(path: str | Path) -> list[str]:
    """The ten class names of `batches.meta`."""
    names = _entry(read_plain_pickle(path), "label_names", path)
    if not isinstance(names, list) or len(names) != 10:
        raise ValueError(f"{path}: `label_names` is not a list of ten names")
    try:
        return [name if isinstance(name, str) else bytes.decode(name) for name in names]
    except (TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: a name in `label_names` is not text") from error


def write_plain_pickle(path: str | Path, values: dict[str, Any]) -> None:
    """Write a dict with byte-string keys, at protocol 2 like CIFAR-10's own files."""
    with atomic_write(path) as handle:
        pickle.dump({name.encode(): value for name, value in values.items()}, handle, protocol=2)
