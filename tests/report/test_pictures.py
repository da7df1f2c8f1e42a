"""pictures.py: what the page carries of a picture is what the file holds."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganscribe.report.pictures import picture


def decoded(shown: dict[str, object]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(str(shown["url"]).split(",")[1])))


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_digits_and_drawings_lose_nothing(tmp_path: Path, mode: str) -> None:
    pixels = np.zeros((60, 90), dtype=np.uint8)
    pixels[20:30, 20:50] = 200
    Image.fromarray(pixels).convert(mode).save(tmp_path / "grid.png")
    shown = picture(tmp_path / "grid.png", "A bar.")
    assert (shown["width"], shown["height"], shown["caption"], shown["alternative"]) == (
        90,
        60,
        "A bar.",
        "A bar.",
    )
    assert np.array_equal(np.asarray(decoded(shown).convert("L")), pixels)


def test_what_is_like_a_photograph_becomes_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
            (400, 400), Image.Resampling.BICUBIC
        )
    )
    noisy = (smooth.astype(int) + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "photo.png")
    shown = picture(tmp_path / "photo.png")
    assert len(str(shown["url"])) < (tmp_path / "photo.png").stat().st_size / 3
    assert np.abs(np.asarray(decoded(shown)).astype(int) - noisy).mean() < 4
    dots = rng.integers(0, 8, (300, 300, 3), dtype=np.uint8) * np.uint8(36)
    for pixels in (noisy[:100, :100], dots):  # a small one, and one that would become a fifth smaller
        Image.fromarray(pixels).save(tmp_path / "photo.png")
        assert np.array_equal(np.asarray(decoded(picture(tmp_path / "photo.png"))), pixels)


def test_an_animation_goes_on_moving(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (0, 128, 255)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert getattr(decoded(picture(tmp_path / "a.webp")), "n_frames", 1) == 3
