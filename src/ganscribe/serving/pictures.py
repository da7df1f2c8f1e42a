"""The user's own pictures: read, or refused with a reason. They travel to and from served models as base64 text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from ganscribe.features import pictures
from ganscribe.features.pictures import BROKEN

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_FILE_BYTES = 25_000_000
MAX_PIXELS = 60_000_000  # 180 MB as RGB
HEIC = "HEIC, the format of many telephones, cannot be read here: save it as JPEG first"
UNKNOWN = "it is damaged, or not a picture of a format that can be read, such as JPEG, PNG, WebP or TIFF"
# Suffixes of pictures that Pillow cannot read. (It can read AVIF if it was built with that.)
_UNREADABLE = {".heic": HEIC, ".heif": HEIC, ".hif": HEIC} | {
    suffix: f"{suffix[1:].upper()} cannot be read here: save it as JPEG or PNG first"
    for suffix in (".avif", ".jxl", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2")
}
# The brands of HEIF's container whose content Pillow cannot decode.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

Read = TypeVar("Read")


def explained(read: Callable[..., Read], source: str | Path | bytes, **options: Any) -> Read:
    """Return `read(source, **options)`, a function of `features.pictures`.

    Raises ValueError for what it cannot read, with a reason that the person who gave the picture understands.
    """
    try:
        return read(source, **options)
    except ValueError as error:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            raise ValueError(_reason(file.read(12), str(error))) from None


def _reason(head: bytes, message: str) -> str:
    """Say what is wrong with a file, by its first bytes and the `message` of the reader."""
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return HEIC
    reason = message.removeprefix("corrupt: ")
    if reason == "no image":
        return UNKNOWN
    return reason if reason.startswith(("EPS", "Image size")) else message


def unreadable(path: Path) -> str:
    """Return why the picture `path`, by its name, cannot be read; empty for all other files."""
    suffix = path.suffix.lower()
    return "" if suffix in Image.registered_extensions() else _UNREADABLE.get(suffix, "")


def open_picture(source: str | Path | bytes) -> Picture:
    """Return an image file (or its bytes) as `open_image` does, upright and RGB.

    Raises ValueError, with a reason for a person, if it is not a complete picture, and OSError if the file cannot be
    read.
    """
    return explained(pictures.open_image, source)


def encode_png(image: np.ndarray) -> str:
    """Return uint8 pixels (C, H, W), C = 1 or 3, as base64 text of a PNG."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def read_file(text: Any, *, size: tuple[int, int] | None = None) -> bytes:
    """Return the bytes of an image file, not decoded yet, from its base64 text.

    Raises ValueError if it is not an image, is too large, or does not have the given `size` (width, height).
    """
    if not isinstance(text, str):
        is_missing = text is None or text != text  # JSON's null and NaN
        raise ValueError("the image is missing" if is_missing else "the image is not base64 text")
    if len(text) > MAX_FILE_BYTES * 4 // 3:
        raise ValueError(f"the image file is too large: send at most {MAX_FILE_BYTES:,} bytes")
    try:
        file = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the image is not base64 text: {error}") from error
    try:
        with Image.open(io.BytesIO(file)) as image:  # the header alone
            width, height = image.size
            kind = image.format
    except Image.UnidentifiedImageError:
        raise ValueError(f"the image cannot be read: {_reason(file, 'no image')}") from None
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"the image cannot be read: {error}") from error
    if kind == "EPS":
        raise ValueError("the image is EPS, a program, which is not run: send PNG")
    if size and {width, height} != set(size):
        raise ValueError(f"the image has {width} x {height} pixels: send {size[0]} x {size[1]}")
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"the image has {width} x {height} pixels: send at most {MAX_PIXELS:,}, since it is shrunk anyway"
        )
    return file


def decode_image(text: Any, num_channels: int, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return uint8 pixels (C, H, W) of base64 text of an image file, as `open_image` reads it.

    Raises ValueError for anything else, and if it does not have the given `size` (width, height).
    """
    image = open_picture(read_file(text, size=size))
    if size and image.size != size:  # turned by its EXIF
        raise ValueError(f"the image has {image.width} x {image.height} pixels: send {size[0]} x {size[1]}")
    pixels = np.asarray(image.convert("L" if num_channels == 1 else "RGB"))
    return pixels[None] if num_channels == 1 else pixels.transpose(2, 0, 1)
