"""A picture has the same pixels wherever it is read, and those of its plain 8-bit PNG."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from ganscribe.cli.photographs import Photograph, read_photograph
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.loading import load_images
from ganscribe.features.pictures import load_image
from ganscribe.serving import demo
from ganscribe.serving.pictures import decode_image

SIDE = 299  # what a captioner takes in as it is
RNG = np.random.default_rng(0)
# White strokes with grey edges on black, as MNIST's digits have.
INK = (RNG.random((SIDE, SIDE)) < 0.2) * RNG.choice([255, 255, 255, 180, 90, 1], (SIDE, SIDE))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(levels: np.ndarray, colour_type: int, clear: bytes = b"") -> bytes:
    """A PNG of 16 bits, written after its specification: Pillow writes none with colour or with a clear level."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 16, colour_type, 0, 0, 0)
    transparent = chunk(b"tRNS", clear) if clear else b""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), transparent, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    )


def tiff(levels: np.ndarray, bits: int, photometric: int) -> bytes:
    """A TIFF of one strip of grey after its specification, 12 or 16 bits."""
    if bits == 12:  # two levels in three bytes
        first, second = levels.reshape(-1, 2).astype(np.uint32).T
        packed = first << 12 | second
        strip = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8).tobytes()
    else:
        strip = levels.astype("<u2").tobytes()
    height, width = levels.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1)]
    tags += [(278, height), (279, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(strip))
    return head + strip + struct.pack("<H", len(tags)) + entries + bytes(4)


def transparent(mode: str, ink: int | np.ndarray, alpha: np.ndarray) -> bytes:
    grey = Image.fromarray(np.broadcast_to(np.uint8(ink), alpha.shape).copy())
    image = grey.convert(mode)
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return saved(image, "PNG")


PICTURES: dict[str, bytes] = {
    "8 bits": saved(Image.fromarray(INK.astype(np.uint8)), "PNG"),
    "16 bits": saved(Image.fromarray((INK * 257).astype(np.uint16)), "PNG"),
    "16 bits, black at 200": saved(Image.fromarray((INK * 256 + 200).astype(np.uint16)), "PNG"),
    "16 bits, colour": png(np.repeat(INK[..., None] * 257, 3, 2), 2),
    "16 bits, black is clear": png(INK * 257, 0, struct.pack(">H", 0)),
    "16 bits, colour, black is clear": png(np.repeat(INK[..., None] * 257, 3, 2), 2, bytes(6)),
    "16 bits, colour, white is clear": png(np.repeat(INK[..., None] * 257, 3, 2), 2, b"\xff" * 6),
    "16 bits, alpha": png(np.stack([np.full_like(INK, 65535), INK * 257], 2), 4),
    "TIFF, 16 bits": tiff(INK * 257, 16, 1),
    "TIFF, 16 bits, 0 is white": tiff(65535 - INK * 257, 16, 0),
    "TIFF, floats to 1": saved(Image.fromarray((INK / 255).astype(np.float32)), "TIFF"),
    "TIFF, floats to 255": saved(Image.fromarray(INK.astype(np.float32)), "TIFF"),
    "TIFF, 32 bits": saved(Image.fromarray((INK * 257).astype(np.int32)), "TIFF"),
    "PGM, 16 bits": b"P5 299 299 65535 " + (INK * 257).astype(">u2").tobytes(),
    "PGM, 16 bits, dark": b"P5 299 299 65535 " + (INK // 2).astype(">u2").tobytes(),
    "RGBA, white on clear": transparent("RGB", 255, INK),
    "LA, white on clear": transparent("L", 255, INK),
    "RGBA, grey on clear black": transparent("RGB", INK.astype(np.uint8), 255 * (INK > 0)),
}
EXPECTED = dict.fromkeys(PICTURES, INK) | {"PGM, 16 bits, dark": np.zeros_like(INK)}


def served(content: bytes, folder: Path) -> np.ndarray:
    text = base64.b64encode(content).decode()
    colour, (grey,) = decode_image(text, 3), decode_image(text, 1)
    assert (colour == grey).all()
    return grey


def extracted(content: bytes, folder: Path) -> np.ndarray:
    (folder / "a.png").write_bytes(content)
    file = ImageFile(1, "a.png", len(content), hashlib.sha256(content).hexdigest())
    ((_, loaded),) = load_images([file], folder, crop="none", num_workers=1)
    return np.asarray(loaded)[0]


def on_command_line(content: bytes, folder: Path) -> np.ndarray:
    (folder / "a.png").write_bytes(content)
    read = read_photograph(folder / "a.png", "none")
    assert isinstance(read, Photograph)
    assert (np.asarray(read.shown) == read.pixels.permute(1, 2, 0).numpy()).all()
    return read.pixels[0].numpy()


DOORS: dict[str, Callable[[bytes, Path], np.ndarray]] = {
    "served classifier": served,
    "served captioner": lambda content, folder: load_image(content)[0].numpy(),
    "data set": extracted,
    "command line": on_command_line,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_alike_at_every_door(name: str, door: str, tmp_path: Path) -> None:
    found = DOORS[door](PICTURES[name], tmp_path)
    assert np.abs(found.astype(int) - EXPECTED[name]).max() <= 1


def test_twelve_bits_are_the_whole_range(tmp_path: Path) -> None:
    levels = INK[:, :298] * 16
    found = served(tiff(levels, 12, 1), tmp_path)
    assert np.abs(found.astype(int) - INK[:, :298]).max() <= 1


def test_dark_ink_on_clear_is_on_white(tmp_path: Path) -> None:
    for ink in (0, 60):
        found = served(transparent("RGB", ink, INK), tmp_path)
        expected = (255 * (255 - INK) + ink * INK) / 255  # the equation of compositing
        assert np.abs(found - expected).max() <= 1


class Seen(Exception):
    """Raised with the pixels that the captioner of the demo would get."""


def test_the_demo_reads_a_file_as_the_command_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captioner_files: Path
) -> None:
    def look(captioner: object, pixels: torch.Tensor) -> NoReturn:
        raise Seen(pixels)

    monkeypatch.setattr(demo, "caption_photographs", look)
    expected = on_command_line(PICTURES["16 bits, black at 200"], tmp_path)
    models = demo.Models(
        {"best": captioner_files / "model.safetensors"},
        {},
        inception=captioner_files / "inception.safetensors",
    )
    with pytest.raises(Seen) as seen:
        models.caption("best", tmp_path / "a.png")
    assert (seen.value.args[0][0, 0].numpy() == expected).all()
