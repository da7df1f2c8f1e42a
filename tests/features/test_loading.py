"""Decoding in background threads: the order stays, and what calibrates a network without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.loading import calibration_images, load_images
from ganscribe.features.pictures import load_image


def test_load_images_keeps_the_order(folder: Path, files: list[ImageFile]) -> None:
    for num_workers in (1, 4):
        loaded = list(load_images(files, folder, crop="center", num_workers=num_workers, ahead=3))
        assert [file for file, _ in loaded] == files
        assert all(torch.equal(image, load_image(folder / f.file_name, crop="center")) for f, image in loaded)


def test_calibration_images(folder: Path, files: list[ImageFile]) -> None:
    assert calibration_images(files, folder, crop="none", count=5).shape == (5, 3, 299, 299)
    with pytest.raises(ValueError, match="none of the first"):
        calibration_images([], folder, crop="none")
