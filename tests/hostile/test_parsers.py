"""Parsers under made-up files: a valid value, or ValueError that names the file; in bounded time and memory.

The examples are the same at every run (`derandomize`).
"""

from __future__ import annotations

import gzip
import json
import math
import pickle
import resource
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganscribe import config
from ganscribe.config import files
from ganscribe.features.shards import Shards, ShardWriter, open_shards, shard_name
from ganscribe.sources.annotations import Caption, read_annotations
from ganscribe.sources.formats import read_cifar_batch, read_cifar_classes, read_idx, read_plain_pickle

SECONDS, MEGABYTES, CHARACTERS = 60, 300, 6000  # of one test, but for its own files


def examples(count: int) -> settings:
    """So many examples, the same ones at every run, with the test's own folder shared by all."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Fail a test that hangs, or that makes the process larger."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {SECONDS} seconds of computing")

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before, handler = peak(), signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    assert peak() - before < MEGABYTES


def held(read: Callable[[Path], Any], path: Path, named: str | None = None) -> Any:
    """Return what `read` makes of a file, or None if it refuses it with a short ValueError that names the file."""
    try:
        return read(path)
    except ValueError as error:
        assert (named or path.name) in str(error), repr(error)
        assert len(str(error)) < CHARACTERS
        return None


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, start: int = 0) -> bytes:
    """Return `whole` with a few bytes after `start` changed, removed or added, and perhaps cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(start, max(start, len(content) - 1)))
        taken = draw(st.sampled_from([0, 1, 1, 1, 4]))
        content[place : place + taken] = draw(st.binary(min_size=taken == 0, max_size=max(1, taken)))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


# COCO's captions -----------------------------------------------------------------------------------------

IMAGES = [{"id": 1, "file_name": "a.jpg", "coco_url": "http://x/a.jpg"}, {"id": 2, "file_name": "b.jpg"}]
ANNOTATIONS = [{"id": 10, "image_id": 1, "caption": "one"}, {"id": 11, "image_id": 2, "caption": "two"}]
DOCUMENT = {"images": IMAGES, "annotations": ANNOTATIONS}

odd_text = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(
    ["", " ", "..", "../a", "a/b", "c:\\a", "\0", "\ud800", "a" * 300, "a " * 6000]
)
odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 12)
    | st.sampled_from([1 << 62, 1 << 63, -(1 << 70), 10**4000])
    | st.floats()
    | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=5,
)


def entries(keys: list[str], good: list[dict[str, object]]) -> st.SearchStrategy[Any]:
    """Lists of good entries, good ones with a value changed or a key left out, and of anything at all."""
    changed = st.builds(
        lambda entry, key, value, is_out: (
            {each: entry[each] for each in entry if each != key} if is_out else entry | {key: value}
        ),
        st.sampled_from(good),
        st.sampled_from(keys),
        odd_values,
        st.booleans(),
    )
    return st.lists(st.sampled_from(good) | changed | odd_values, max_size=4) | odd_values


documents = st.fixed_dictionaries(
    {},
    optional={
        "images": entries(["id", "file_name", "coco_url"], IMAGES) | st.just(IMAGES),
        "annotations": entries(["id", "image_id", "caption"], ANNOTATIONS) | st.just(ANNOTATIONS),
    },
)


def check_captions(captions: list[Caption]) -> None:
    assert captions and len({each.caption_id for each in captions}) == len(captions)
    for each in captions:
        assert Path(each.file_name).name == each.file_name and "\0" not in each.file_name
        assert each.caption.strip() and len(each.caption) <= 10_000
        assert 0 <= each.image_id < 1 << 63 and 0 <= each.caption_id < 1 << 63
        for text in (each.file_name, each.url, each.caption):
            text.encode()


@examples(250)
@given(documents)
def test_captions_of_any_shape(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    captions = held(read_annotations, path)
    if captions is not None:
        check_captions(captions)


@examples(200)
@given(damaged(json.dumps(DOCUMENT).encode()))
def test_damaged_captions(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    captions = held(read_annotations, path)
    if captions is not None:
        check_captions(captions)


# Parameters ----------------------------------------------------------------------------------------------

LINES = [
    "scale: tiny", "scale: [", "scale: &a [x, *a]", "a: &a {b: *a}", "b: *a", "<<: *a",
    "<<: [{a: 1}, {b: 2}]", "a: !!python/object/apply:os.system [x]", "a: !!binary =", "a: !!timestamp x",
    "a: !!int x", "a: !!bool x", "a: !!float x", "a: !!omap [a]", "a: !!pairs [a: 1]", "a: !!set {b, c}",
    "!!set {a}", "? [a, b]", ": 3", "2001-01-01: x", "a: 2001-99-99", "a: 12:99:99", "a: .nan", "a: -.inf",
    "a: 0x" + "f" * 5000, "a: 1e999", 'a: "\\ud800"', 'a: "\\x00"', "a: |", "  text", "  - x", "- x", "---",
    "...", "%YAML 9.9", "%TAG ! x", "\t", "a: 'x", "? ", "{a, b: [c, {d}]}", "\ufeff", "a: \u2028b", "# c",
    "[" * 300, "{a: " * 200, "*x", "&x", "!", "data: {seed: 0}", "judge: lenet5", "judges: [a, b]",
    "captions: 3", "gan: {runs: {a: {steps: -1}}}", "? {a: b}", "~: 1", "true: 1", "1: 2", "1.5: x",
    '"a": b', "sources: {mnist: {source: 3}}", "@a", "`",
]  # fmt: skip


def copy_scales(project: Path, folder: Path) -> None:
    if not (folder / "params").exists():
        shutil.copytree(project / "params", folder / "params")


def read_parameters(path: Path) -> Any:
    return config.read(path.parent)


@examples(200)
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=6).map("\n".join))
def test_parameters_of_any_lines(project: Path, tmp_path: Path, text: str) -> None:
    copy_scales(project, tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert held(read_parameters, path) is None, "no such file is whole"


WHOLE = (Path(__file__).parents[2] / "params.yaml").read_bytes()


@examples(25)
@given(damaged(WHOLE))
def test_damaged_parameters(project: Path, tmp_path: Path, content: bytes) -> None:
    copy_scales(project, tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    found = held(read_parameters, path, named="params")  # of a scale's file, that one is named
    if found is not None:
        assert isinstance(found[0], files.Params) and isinstance(found[1], files.Scale)


# MNIST's IDX ---------------------------------------------------------------------------------------------

sizes = st.integers(0, 5) | st.sampled_from([1 << 20, 1 << 31, (1 << 32) - 1])
headers = st.builds(
    lambda magic, shape: bytes(magic) + struct.pack(f">{len(shape)}I", *shape),
    st.tuples(st.just(0), st.just(0), st.sampled_from([8, 8, 8, 13]), st.integers(0, 4)),
    st.lists(sizes, max_size=4),
)


@examples(300)
@given(headers, st.binary(max_size=60), st.booleans(), st.data())
def test_idx_of_any_header(
    tmp_path: Path, header: bytes, body: bytes, is_gzip: bool, data: st.DataObject
) -> None:
    plain = header + body
    content = gzip.compress(plain, mtime=0) if is_gzip else plain
    is_whole = data.draw(st.booleans())
    written = content if is_whole else data.draw(damaged(content))
    path = tmp_path / "x-ubyte"
    path.write_bytes(written)
    array = held(read_idx, path)
    if is_whole:
        dimensions = plain[3] if len(plain) > 3 else 0
        shape = struct.unpack_from(f">{dimensions}I", plain, 4) if len(plain) >= 4 + 4 * dimensions else ()
        fits = (
            max(shape, default=0) <= 1 << 30
            and plain[:3] == b"\0\0\x08"
            and 1 <= dimensions <= 3
            and bool(shape)
        )
        fits = fits and len(plain) == 4 + 4 * dimensions + math.prod(shape)
        assert (array is not None) == fits
        if array is not None:
            assert array.shape == shape and array.tobytes() == plain[4 + 4 * dimensions :]
    elif array is not None:
        assert array.dtype == np.uint8


# CIFAR-10's pickles --------------------------------------------------------------------------------------

BATCH: dict[str, Any] = {
    "labels": [1, 9],
    "data": np.arange(6144, dtype=np.uint64).astype(np.uint8).reshape(2, 3072),
}
OPCODES = [
    b"N", b"}", b"]", b")", b"(", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"R",
    b"b", b"0", b"1", b"2", b"\x81", b"\x92", b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94", b"Q", b"K\x01",
    b"M\xff\xff", b"J\xff\xff\xff\xff", b"I5\n", b"L5L\n", b"I" + b"9" * 5000 + b"\n", b"F1\n",
    b"G\0\0\0\0\0\0\0\0", b"U\x02u1", b"X\x02\0\0\0u1", b"C\x02u1", b"X\x06\0\0\0latin1",
    b"X\x02\0\0\0\xff\xff", b"q\0", b"h\0", b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f",
    b"p99999999999\n", b"p-1\n", b"g0\n", b"P0\n", b"\x82\x01", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x95\xff\xff\xff\xff\0\0\0\0", b"\x8a\xff", b"\x8b\xff\xff\xff\x7f", b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n",
    b"cbuiltins\neval\n", b"cos\nsystem\n", b"ios\nsystem\n", b"\x80\x02", b"\x80\xff", b".",
    pickle.dumps(np.dtype("u1"), 2)[2:-1], pickle.dumps(np.zeros(2, np.uint8), 2)[2:-1],
]  # fmt: skip


@examples(400)
@given(st.lists(st.sampled_from(OPCODES), max_size=14).map(b"".join))
def test_pickles_of_any_opcodes(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(program + b".")
    for read in (read_plain_pickle, read_cifar_batch, read_cifar_classes):
        held(read, path)


@examples(250)
@given(st.integers(0, 4).flatmap(lambda protocol: damaged(pickle.dumps(BATCH, protocol))))
def test_damaged_pickles(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    found = held(read_cifar_batch, path)
    if found is not None:
        images, labels = found
        assert type(images) is np.ndarray and images.dtype == labels.dtype == np.uint8
        assert images.shape == (len(labels), 3, 32, 32) and not images.dtype.hasobject


def test_after_all_that_a_whole_pickle_is_read(tmp_path: Path) -> None:
    for protocol in range(5):
        (tmp_path / "x").write_bytes(pickle.dumps(BATCH, protocol))
        images, labels = read_cifar_batch(tmp_path / "x")
        assert images.tobytes() == BATCH["data"].tobytes() and labels.tolist() == BATCH["labels"]


# Feature shards ------------------------------------------------------------------------------------------

SHAPE = (2, 3)
FEATURES = torch.arange(30).reshape(5, *SHAPE).half()
METADATA = {"network": "n", "weights": "w", "weights_sha256": "0" * 64, "preprocessing": "p"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a shard and its index, by file name."""
    folder = tmp_path_factory.mktemp("shards")
    writer = ShardWriter(folder=folder, shape=SHAPE, metadata=METADATA)
    writer.write(0, image_ids=range(5), file_names=[f"{n}.jpg" for n in range(5)], features=FEATURES)
    writer.write_index(1)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_shards(folder: Path) -> None:
    try:
        found: Shards = open_shards(folder)
    except FileNotFoundError as error:  # of a shard that the index names
        assert "shard-" in str(error)
    except ValueError as error:
        assert str(folder) in str(error) and len(str(error)) < CHARACTERS
    else:
        assert len(found) == len(found.image_ids) == len(found.file_names)
        assert all(found[row].shape == found.shape for row in range(len(found)))
        assert found.gather(range(len(found))).shape == (len(found), *found.shape)


@examples(300)
@given(st.data())
def test_damaged_shards(tmp_path: Path, shards: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(shards)))
    for each, whole in shards.items():
        (tmp_path / each).write_bytes(whole)
    whole = shards[name]
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    (tmp_path / name).write_bytes(data.draw(damaged(whole, start=footer)))
    check_shards(tmp_path)


VALUES = [
    b"[2, 3]", b"[6]", b"[]", b"[0, 3]", b"[-2, -3]", b"[2.0, 3]", b"[true, 6]", b"[1e9]", b"6", b"{}", b"x",
    b"\xff", b"[" * 5000, b"[1000000000000]", b"float16", b"float32", b"",
]  # fmt: skip
changes_of_metadata = st.dictionaries(
    st.sampled_from([b"shape", b"dtype", b"network", b"\xff"]),
    st.sampled_from(VALUES) | st.binary(max_size=8),
)


@examples(150)
@given(changes_of_metadata)
def test_shards_with_any_metadata(
    tmp_path: Path, shards: dict[str, bytes], changes: dict[bytes, bytes]
) -> None:
    import pyarrow.parquet as pq

    for name, whole in shards.items():
        (tmp_path / name).write_bytes(whole)
    path = tmp_path / shard_name(0)
    table = pq.read_table(path)
    table = table.replace_schema_metadata((table.schema.metadata or {}) | changes)
    options: dict[str, Any] = {
        "compression": "none",
        "use_dictionary": False,
        "write_statistics": ["image_id"],
    }
    pq.write_table(table, path, **options)
    check_shards(tmp_path)
