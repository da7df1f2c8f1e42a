"""What the demo page computes, without the page: `tests/cli/test_demo.py` has that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import apart
import gans
from ganscribe.drawing.plots import save_grid
from ganscribe.gan.common.sampling import load_generator
from ganscribe.serving.demo import Models


def test_a_walk_shows_the_images_between_two_seeds(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    gans.save_generator(path)
    models, saved = Models({}, {"mine": path}, inception=path), load_generator(path)
    for seed, position in ((3, 0.25), (4, 0.0)):
        save_grid(saved.between(36, seed=seed, position=position), tmp_path / "grid.png", columns=6)
        with Image.open(tmp_path / "grid.png") as expected:
            assert np.array_equal(models.walk("mine", seed, position), expected.convert("RGB"))


def test_a_walk_is_computed_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "generator.safetensors"
    gans.save_generator(path)
    expected = Models({}, {"mine": path}, inception=path).walk("mine", 3, 0.25)
    with apart.available() as device:
        monkeypatch.setattr("ganscribe.serving.demo.choose_device", lambda: device)
        found = Models({}, {"mine": path}, inception=path).walk("mine", 3, 0.25)
        assert apart.waits.total() == 1
    assert np.array_equal(found, expected)
