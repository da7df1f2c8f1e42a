"""Folders of pictures as tensors: which files, which shape, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganscribe.features.folders import read_folder


def pixels(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two RGB pictures of 6 x 4, one in a subfolder, beside files that are none."""
    (tmp_path / "pictures/more").mkdir(parents=True)
    Image.fromarray(pixels(4, 6, 0)).save(tmp_path / "pictures/b.png")
    Image.fromarray(pixels(4, 6, 1)).save(tmp_path / "pictures/more/a.bmp")
    (tmp_path / "pictures/.hidden.png").write_bytes(b"no picture")
    (tmp_path / "pictures/notes.txt").write_text("no picture")
    (tmp_path / "pictures/album.png").mkdir()
    return tmp_path / "pictures"


def test_pictures_come_by_name_as_they_are(folder: Path) -> None:
    (folder / "b.png").rename(folder / "b.PNG")
    images = read_folder(folder)
    assert images.dtype == torch.uint8 and images.is_contiguous()
    expected = np.stack([pixels(4, 6, 0), pixels(4, 6, 1)]).transpose(0, 3, 1, 2)
    assert np.array_equal(images.numpy(), expected)


def test_grey_pictures_have_one_channel_unless_one_is_not_grey(folder: Path) -> None:
    grey = pixels(4, 6, 2)[..., 0]
    for path in (folder / "b.png", folder / "more/a.bmp"):
        Image.fromarray(grey).save(path)
    assert np.array_equal(read_folder(folder).numpy(), np.stack([grey, grey])[:, None])
    assert read_folder(folder, (3, 4, 6)).shape == (2, 3, 4, 6)
    Image.fromarray(pixels(4, 6, 3)).save(folder / "c.png")
    assert read_folder(folder).shape == (3, 3, 4, 6)


def test_a_shape_covers_and_cuts_to_the_middle(folder: Path) -> None:
    """A picture of three vertical bars, twice as wide as high: of a square, half a bar at each side is cut off."""
    bars = np.zeros((40, 80, 3), np.uint8)
    bars[:, 20:60] = (0, 255, 0)
    Image.fromarray(bars).save(folder / "z.png")
    images = read_folder(folder, (3, 8, 8))
    assert images.shape == (3, 3, 8, 8)
    middle = images[2, :, :, 1:-1]  # the filter reaches over the cut by half a pixel
    assert (middle[1] == 255).all() and (middle[0] == 0).all(), "only the middle bar is left"
    (grey,) = read_folder(folder, (1, 8, 8))[2]
    assert (grey[:, 1:-1] == 150).all(), "the luma of pure green: 0.587 of 255"


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8\): need \(1, H, W\)"):
        read_folder(folder, (2, 8, 8))
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no pictures"):
        read_folder(tmp_path / "empty")
    Image.fromarray(pixels(5, 6, 0)).save(folder / "c.png")
    with pytest.raises(ValueError, match=r"c\.png has 6 x 5 pixels, those before it 6 x 4: give a shape"):
        read_folder(folder)
    (folder / "c.png").write_bytes((folder / "b.png").read_bytes()[:60])
    with pytest.raises(
        ValueError, match=r"c\.png: corrupt: .*: repair the file or take it out of the folder"
    ):
        read_folder(folder, (3, 4, 6))
