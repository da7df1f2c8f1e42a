"""Folders of pictures: which files are some, and all of them as one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """Return the files with the suffix of a format that Pillow opens, sorted; hidden files are left out."""
    from PIL import Image

    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in readable and not path.name.startswith(".") and path.is_file()
    )


def read_folder(folder: str | Path, shape: tuple[int, int, int] | None = None) -> Tensor:
    """Return the pictures of `folder`, those of its subfolders among them, as (N, C, H, W) uint8, by name.

    With `shape`, (C, H, W) with C = 1 for grey or 3 for RGB, each is resized (bilinear, antialiased) until it covers
    H x W, and cut to its middle. Without one all must be of one size, and C is 1 where every picture is grey. All are
    in memory at once. Raises FileNotFoundError without a folder, and ValueError for a folder without pictures, a file
    that is not a complete picture, and pictures of several sizes.
    """
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    from ganscribe.features.pictures import open_image

    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    if shape is not None and shape[0] not in (1, 3):
        raise ValueError(f"shape {shape}: need (1, H, W) for grey pictures or (3, H, W) for RGB")
    arrays: list[np.ndarray] = []
    for path in find_pictures(Path(folder).rglob("*")):
        try:
            image = open_image(path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}: repair the file or take it out of the folder") from None
        if shape is not None:
            image = ImageOps.fit(image, (shape[2], shape[1]), method=Image.Resampling.BILINEAR)
        pixels = np.asarray(image.convert("L") if shape and shape[0] == 1 else image)
        if arrays and pixels.shape != arrays[0].shape:
            (height, width), (first_height, first_width) = pixels.shape[:2], arrays[0].shape[:2]
            raise ValueError(
                f"{path} has {width} x {height} pixels, those before it {first_width} x {first_height}: "
                "give a shape to bring all to one size"
            )
        arrays.append(pixels)
    if not arrays:
        raise ValueError(f"{folder} has no pictures")
    stacked = torch.from_numpy(np.stack(arrays))
    images = stacked[:, None] if stacked.ndim == 3 else stacked.permute(0, 3, 1, 2)
    is_grey = shape is None and torch.equal(images, images[:, :1].expand_as(images))
    return images[:, :1].contiguous() if is_grey else images.contiguous()
