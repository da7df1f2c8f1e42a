"""Pictures as base64 text, as they travel to and from a served model."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ganscribe.features.pictures import BROKEN, open_image

MAX_FILE_BYTES = 25_000_000
MAX_PIXELS = 60_000_000  # 180 MB as RGB


def encode_png(image: np.ndarray) -> str:
    """uint8 pixels (C, H, W), C = 1 or 3 -> base64 text of a PNG."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def read_file(text: str) -> bytes:
    """Base64 text of an image file -> its bytes, not decoded yet. Raises ValueError for what is too large."""
    if len(text) > MAX_FILE_BYTES * 4 // 3:
        raise ValueError(f"the image file is too large: send at most {MAX_FILE_BYTES:,} bytes")
    try:
        file = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the input is not base64 text: {error}") from error
    try:
        with Image.open(io.BytesIO(file)) as image:  # the header alone
            width, height = image.size
            kind = image.format
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"the input is not an image file: {error}") from error
    if kind == "EPS":
        raise ValueError("the image is EPS, a program, which is not run: send PNG")
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"the image has {width} x {height} pixels: send at most {MAX_PIXELS:,}, it is shrunk anyway"
        )
    return file


def decode_image(text: str, num_channels: int) -> np.ndarray:
    """Base64 text of an image file -> uint8 pixels (C, H, W), as `open_image` reads it.

    Raises ValueError for anything else.
    """
    pixels = np.asarray(open_image(read_file(text)).convert("L" if num_channels == 1 else "RGB"))
    return pixels[None] if num_channels == 1 else pixels.transpose(2, 0, 1)
