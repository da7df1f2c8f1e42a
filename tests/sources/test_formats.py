"""IDX and CIFAR files, against torchvision's parser and hand-made bytes; hostile pickles."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganscribe.sources.formats import (
    read_cifar_batch,
    read_cifar_classes,
    read_idx,
    read_plain_pickle,
    write_idx,
    write_plain_pickle,
)

ARRAY = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(7,), (4, 6), (5, 4, 3)])
@pytest.mark.parametrize("compress", [False, True])
def test_idx_round_trip_and_torchvision(tmp_path: Path, shape: tuple[int, ...], compress: bool) -> None:
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "x-ubyte"
    write_idx(path, array)
    np.testing.assert_array_equal(read_sn3_pascalvincent_tensor(str(path)).numpy(), array)
    if compress:
        path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"<html>", "not an IDX file of bytes: it begins with 3c68746d"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\0\0\0\0", "not an IDX file of bytes"),
        (b"\1\0\x08\x01" + struct.pack(">I", 1) + b"1", "not an IDX file of bytes: it begins with 01000801"),
        (b"\0\0\x08\x03" + struct.pack(">I", 1), "ends within its header"),
        (b"\0\0\x08\x01" + struct.pack(">I", 9) + b"123", r"truncated: its header says \(9,\), 9 bytes"),
        (b"\0\0\x08\x01" + struct.pack(">I", 2) + b"123", "longer than its header says"),
        (b"\0\0\x08\x03" + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1), "claims the shape"),
        (b"\0\0\x08\x03" + struct.pack(">III", 0, 2**32 - 1, 2**32 - 1), "claims the shape"),
    ],
)
def test_bad_idx(tmp_path: Path, content: bytes, message: str, compress: bool) -> None:
    path = tmp_path / "x-ubyte"
    path.write_bytes(gzip.compress(content) if compress else content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_cut_or_damaged_gzip(tmp_path: Path) -> None:
    write_idx(tmp_path / "x", ARRAY)
    whole = gzip.compress((tmp_path / "x").read_bytes())
    no_block = whole[:10] + b"\xff" + whole[11:]  # deflate has no blocks of this type
    for damaged in (whole[:-4], whole[:30], whole[:-8] + bytes(8), no_block):
        (tmp_path / "x.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match="truncated or damaged"):
            read_idx(tmp_path / "x.gz")


def batch(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
    return {"batch_label": b"one", "labels": [0, 9, 3, 7, 7, 1], "data": data} | changes


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("as_bytes", [True, False])
def test_cifar_batch_of_every_protocol(tmp_path: Path, protocol: int, as_bytes: bool) -> None:
    values = {(key.encode() if as_bytes else key): value for key, value in batch().items()}
    (tmp_path / "x").write_bytes(pickle.dumps(values, protocol=protocol))
    images, labels = read_cifar_batch(tmp_path / "x")
    np.testing.assert_array_equal(images.reshape(6, -1), batch()["data"])
    assert labels.tolist() == batch()["labels"]


def test_cifar_batch_of_python_2_and_old_numpy(tmp_path: Path) -> None:
    # What cPickle of Python 2 wrote: byte strings as BINSTRING, numpy.core (without underscore).
    data = batch()["data"]
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ" + 2 * b"\xff\xff\xff\xffJ"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01K\x06M\x00\x0c\x86" + dtype[:-1] + b"K\x00tb\x89"
    array += b"T" + struct.pack("<I", data.size) + data.tobytes() + b"tb"
    written = b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + b"K\x01" * 6 + b"eu."
    (tmp_path / "x").write_bytes(written)
    images, labels = read_cifar_batch(tmp_path / "x")
    np.testing.assert_array_equal(images.reshape(6, -1), data)
    assert labels.tolist() == [1] * 6
    old = b"\x80\x02}q\x01U\x0blabel_namesq\x02]q\x03(" + b"".join(
        b"U\x01" + bytes([97 + n]) for n in range(10)
    )
    (tmp_path / "meta").write_bytes(old + b"es.")
    assert read_cifar_classes(tmp_path / "meta") == list("abcdefghij")


@pytest.mark.parametrize("protocol", range(6))
def test_a_function_is_refused(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps(batch(data=os.system), protocol=protocol))
    with pytest.raises(ValueError, match=r"holds (posix|nt)\.system: only arrays, lists and bytes"):
        read_cifar_batch(tmp_path / "x")


@pytest.mark.parametrize(
    "source",
    [
        b"cnumpy\nndarray\n(I1000000000000\ntR.",  # a huge array, made by calling the class
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",  # another codec
        b"cnumpy\ndtype\n(S'O8'\ntR.",  # objects
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nndarray.__class__\n.",
        b"ccopyreg\n_reconstructor\n.",
        b"(S'x'\nP7\n.",  # a persistent id
        b"\x82\x01.",  # the extension registry
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # an entry of the memo: 34 GB
        b"Np2000000000\n.",  # the same, spelt out
        b"})" + b"\x85" * 200_000 + b"Ns.",  # a key of nested tuples: its hash ends the process
        b"}N" + b"2\x86" * 60 + b"Ns.",  # a key of tuples of the tuple before, twice: 2^60 hashes
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",  # bytes that are not there
    ],
)
def test_other_pickle_tricks_are_refused(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "x").write_bytes(source)
    with pytest.raises(ValueError):
        read_plain_pickle(tmp_path / "x")


def test_big_endian_arrays_are_refused(tmp_path: Path) -> None:
    """Their bytes would be read as other numbers."""
    (tmp_path / "x").write_bytes(pickle.dumps({"data": np.array([1, 2], ">i8")}, protocol=2))
    with pytest.raises(ValueError, match="an array of no plain numbers"):
        read_plain_pickle(tmp_path / "x")


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"data": np.array([{}, []], object)}, protocol=2))
    with pytest.raises(ValueError, match="an array of 'O8'"):
        read_plain_pickle(tmp_path / "x")


@pytest.mark.parametrize("flags", [1, 2, 63])
def test_numpy_s_flags_are_not_taken_from_the_file(tmp_path: Path, flags: int) -> None:
    """A dtype of numbers that says it holds objects: numpy would take the numbers for addresses."""
    plain = pickle.dumps(batch(), protocol=2)
    end = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"  # of the dtype's state: its flags
    assert plain.count(end) == 1
    (tmp_path / "x").write_bytes(plain.replace(end, end.replace(b"K\x00", b"K" + bytes([flags]))))
    with pytest.raises(ValueError, match="an array of no plain numbers"):
        read_cifar_batch(tmp_path / "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "holds a list, not CIFAR's dict"),
        ({"labels": [1]}, "no entry 'data'"),
        (batch(data=np.zeros((6, 100), np.uint8)), "not a uint8 array of N rows of 3072"),
        (batch(data=np.zeros((6, 2, 3072), np.uint8)), "not a uint8 array of N rows of 3072"),
        (batch(data=np.zeros((6, 3072), np.int64)), "not a uint8 array"),
        (batch(data=[0] * 3072), "not a uint8 array"),
        (batch(labels=[1, 2]), "not a list of 6 numbers"),
        (batch(labels=3), "not a list of 6 numbers"),
        (batch(labels=[1, 2, 3, 4, 5, 10]), "not a number from 0 to 9"),
        (batch(labels=[1, 2, 3, 4, 5, -1]), "not a number from 0 to 9"),
        (batch(labels=[1, 2, 3, 4, 5, "6"]), "not a number from 0 to 9"),
    ],
)
def test_bad_cifar_batch(tmp_path: Path, values: Any, message: str) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps(values, protocol=2))
    with pytest.raises(ValueError, match=message):
        read_cifar_batch(tmp_path / "x")


@pytest.mark.parametrize("name", [b"\xff", 3, None, ["a"]])
def test_bad_cifar_names(tmp_path: Path, name: object) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"label_names": ["a"] * 9 + [name]}, protocol=2))
    with pytest.raises(ValueError, match="/x: a name in `label_names` is not text"):
        read_cifar_classes(tmp_path / "x")


@pytest.mark.parametrize("names", [["a"] * 9, ["a"] * 11, "ten names."])
def test_there_are_ten_cifar_names(tmp_path: Path, names: object) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    with pytest.raises(ValueError, match="/x: `label_names` is not a list of ten names"):
        read_cifar_classes(tmp_path / "x")


def test_truncated_cifar_batch(tmp_path: Path) -> None:
    write_plain_pickle(tmp_path / "x", batch())
    assert read_cifar_batch(tmp_path / "x")[1].tolist() == batch()["labels"]
    whole = (tmp_path / "x").read_bytes()
    for cut in range(0, len(whole), 997):
        (tmp_path / "x").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"truncated|damaged|no pickle"):
            read_cifar_batch(tmp_path / "x")
