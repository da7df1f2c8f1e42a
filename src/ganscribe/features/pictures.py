"""Picture files as Inception-v3 takes them in, and where in a picture each cell of its last block looks."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 299
CROP_FROM = 342  # torchvision's preset for these weights: shorter side to 342, then the centre
MAX_RESIZED = 100_000_000  # pixels, before the crop: 300 MB
# Cell i's centre lies at FIRST_CELL + CELL_STEP * i of the 299 (the middle of pixel 37 + 32 i), by the
# strides and paddings: the outer cells' centres are 37.5 from the edge, not half a cell.
FIRST_CELL, CELL_STEP = 37.5, 32.0
PREPROCESSING = {
    "none": "whole image to 299x299, bilinear, antialiased; ImageNet mean and std",
    "center": "shorter side to 342, bilinear, antialiased, centre 299x299; ImageNet mean and std",
}
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
# By the orientation in its EXIF, how an image is turned upright.
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# What Pillow raises for a file that is not a complete image; some of its readers stumble over what they do not check.
_REFUSED = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, zlib.error)
BROKEN = (*_REFUSED, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError)


def crop_of(preprocessing: str) -> str:
    """The `crop` whose description in `PREPROCESSING` a shard's metadata or a captioner has."""
    for crop, text in PREPROCESSING.items():
        if text == preprocessing:
            return crop
    raise ValueError(f"the preprocessing {preprocessing!r} is unknown: made by another version of ganscribe?")


def _white(image: Image) -> float | None:
    """The grey level that is white, as the file's depth of 12 or 16 bits has it; None where it says nothing."""
    if image.mode.startswith("I;16"):
        return float((1 << getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]) - 1)
    is_scaled = (image.mode, image.format) == ("I", "PPM")  # by Pillow, whatever the file's own maximum
    return 65535.0 if is_scaled else None


def _eight_bits(image: Image, white: float | None, *, is_negative: bool) -> Image:
    """Grey of 12 to 32 bits or of floating point as 8 bits, with alpha where a level is clear.

    Pillow's own conversion clips at 255. Where nothing says what is `white`, it is the first of 1, 255, 65535 that
    holds all values, or their largest.
    """
    import numpy as np
    from PIL import Image as pillow

    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    largest = float(values.max())
    end = white or next((end for end in (1.0, 255.0, 65535.0) if largest <= end), largest)
    grey = (values * (256 / (end + 1) if end > 1 else 255)).clip(0, 255).astype(np.uint8)
    shown = pillow.fromarray(255 - grey if is_negative else grey)
    if (clear := image.info.get("transparency")) is not None:
        shown.putalpha(pillow.fromarray(np.where(values == clear, np.uint8(0), np.uint8(255))))
    return shown


def _on_ground(image: Image) -> Image:
    """A transparent image on white, or on black where what can be seen of it is light and would be lost on white."""
    import numpy as np
    from PIL import Image as pillow

    image = image.convert("RGBA")
    small = image.reduce(1 + max(image.size) // 256)
    ink, alpha = np.asarray(small.convert("RGB").convert("L")), np.asarray(small.getchannel("A"))
    is_light = alpha.any() and np.average(ink, weights=alpha) > 127.5
    return pillow.alpha_composite(pillow.new("RGBA", image.size, "black" if is_light else "white"), image)


def _upright(image: Image) -> Image:
    """An image turned as its EXIF says, or as it is where that cannot be read.

    Pillow's `exif_transpose` does the same, but then writes all of the EXIF again, which fails on what is odd in it.
    """
    from PIL import ExifTags
    from PIL import Image as pillow

    image.load()
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return image
    turn = TURNS.get(orientation)
    return image.transpose(pillow.Transpose[turn]) if turn else image


def _as_rgb(image: Image) -> Image:
    """Upright, and RGB whatever the mode: grey of any depth, palette, CMYK, transparent ..."""
    upright = _upright(image)
    if image.mode[0] in "IF":
        is_negative = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0  # Pillow sees to it up to 8 bits
        upright = _eight_bits(upright, _white(image), is_negative=is_negative)
    if upright.has_transparency_data:
        upright = _on_ground(upright)
    return upright.convert("RGB")


def open_image(source: str | Path | bytes) -> Image:
    """An image file (or its bytes) of any format and mode that Pillow reads, upright and RGB.

    Of several frames, the first. Every picture that a user gives is read here, whichever door it comes in by. Raises
    ValueError for what is not a complete image, OSError for a file that cannot be read.
    """
    from PIL import Image as pillow

    try:
        with pillow.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.format == "EPS":
                raise ValueError("EPS, a program, which is not run: save it as PNG")
            return _as_rgb(image)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (*BROKEN, pillow.DecompressionBombError) as error:
        is_none = isinstance(error, pillow.UnidentifiedImageError)
        raise ValueError(f"corrupt: {'no image' if is_none else str(error) or 'damaged'}") from None


def load_image(source: str | Path | bytes, *, crop: str = "none") -> torch.Tensor:
    """An image file (or its bytes) as (3, 299, 299) uint8; `crop` is none (the whole image) or center.

    Raises as `open_image`.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    return resize(_decode(content), crop=crop)


def _decode(content: bytes) -> torch.Tensor:
    """The bytes of an image file as (3, H, W) uint8, upright and RGB; raises as `open_image`.

    Plain JPEGs go to torchvision: both use libjpeg-turbo, but Pillow is in Python's way, and threads that decode wait
    for each other. What torchvision refuses is Pillow's to read, or to say what is wrong with.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    if plain_jpeg(content) is not None:
        try:
            return decode_jpeg(as_tensor(content), mode=ImageReadMode.RGB)
        except RuntimeError:
            pass
    return _as_tensor(open_image(content))


def plain_jpeg(content: bytes) -> str | None:
    """Pillow's mode, `RGB` or `L`, of a JPEG in which nothing has to be turned or converted; None for other files."""
    from PIL import ExifTags
    from PIL import Image as pillow

    try:
        with pillow.open(io.BytesIO(content), formats=("JPEG",)) as image:
            is_plain = image.format == "JPEG" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return image.mode if is_plain and image.mode in ("RGB", "L") else None
    except (*BROKEN, pillow.DecompressionBombError):
        return None


def as_tensor(content: bytes) -> torch.Tensor:
    """The bytes of a file, uint8, as torchvision's decoders take them."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _as_tensor(image: Image) -> torch.Tensor:
    import numpy as np

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def as_input(image: Image, *, crop: str) -> torch.Tensor:
    """An RGB image as the network takes it, (3, 299, 299) uint8."""
    return resize(_as_tensor(image), crop=crop)


def seen_box(width: int, height: int, *, crop: str) -> tuple[float, float, float, float]:
    """The part of an image that the network sees, (left, top, right, bottom) in the image's pixels."""
    if crop != "center":
        return 0.0, 0.0, float(width), float(height)
    side = min(width, height) * SIZE / CROP_FROM
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def peak(cells: Sequence[float], box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Return where a map of the 64 cells, row by row, is highest: (x, y) in the pixels of an image whose part `box`
    (`seen_box`) the network saw. It is the centre of a cell, of equals the first one's."""
    row, column = divmod(max(range(len(cells)), key=cells.__getitem__), math.isqrt(len(cells)))
    left, top, right, bottom = box
    x, y = ((FIRST_CELL + CELL_STEP * cell) / SIZE for cell in (column, row))
    return left + x * (right - left), top + y * (bottom - top)


def resize(image: torch.Tensor, *, crop: str) -> torch.Tensor:
    """(3, H, W) uint8 to (3, 299, 299), as `PREPROCESSING` says. Raises ValueError for one too narrow to be cropped."""
    if crop not in PREPROCESSING:
        raise ValueError(f"crop {crop!r} is unknown: use none or center")
    height, width = image.shape[1:]
    size = (SIZE, SIZE)
    if crop == "center":
        scale = CROP_FROM / min(height, width)
        size = (round(height * scale), round(width * scale))
        if size[0] * size[1] > MAX_RESIZED:
            raise ValueError(f"{width} x {height} pixels, which is too narrow to be cropped to a square")
    if image.device.type == "cuda":  # which has no such kernel for bytes
        wide = nn.functional.interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)[0]
        resized = wide.round_().clamp_(0, 255).to(torch.uint8)
    else:
        resized = nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    return resized[:, top : top + SIZE, left : left + SIZE]
