"""The pictures, read back with Pillow and compared with the pixels that went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from ganscribe.drawing.plots import (
    GAP_PIXELS,
    MILLISECONDS_A_FRAME,
    save_agreement,
    save_animation,
    save_confusion,
    save_grid,
    save_image_rows,
    save_labelled,
)


def pictures(count: int, channels: int = 1, side: int = 28) -> torch.Tensor:
    rng = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, channels, side, side), generator=rng, dtype=torch.uint8)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_grid_is_where_it_belongs(tmp_path: Path, channels: int) -> None:
    images = pictures(5, channels)
    save_grid(images, tmp_path / "grid.png", columns=3)
    grid = read(tmp_path / "grid.png")
    step = 3 * 28 + GAP_PIXELS  # 28 pixels are shown three times as large
    assert grid.shape == (2 * step - GAP_PIXELS, 3 * step - GAP_PIXELS, 3)
    for index, image in enumerate(images):
        top, left = index // 3 * step, index % 3 * step
        cell = grid[top : top + 84 : 3, left : left + 84 : 3]
        assert np.array_equal(cell, np.broadcast_to(image.permute(1, 2, 0).numpy(), (28, 28, 3)))
    assert (grid[step:, 2 * step :] == 255).all()  # the sixth place is empty


def test_labelled_images_stand_in_rows_with_their_labels_above(tmp_path: Path) -> None:
    images = torch.full((3, 1, 28, 28), 90, dtype=torch.uint8)
    for name, labels in (
        ("one", ["4, taken for 9"] * 3),
        ("two", ["4, taken for 9"] * 3),
        ("bare", [""] * 3),
    ):
        save_labelled(images, labels, tmp_path / f"{name}.png", columns=2)
    labelled, bare = read(tmp_path / "one.png"), read(tmp_path / "bare.png")
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes() and b"matplotlib" not in content.lower()
    for drawn in (labelled, bare):
        half = drawn.shape[0] // 2, drawn.shape[1] // 2
        quarters = [drawn[: half[0], : half[1]], drawn[: half[0], half[1] :], drawn[half[0] :, : half[1]]]
        assert all((quarter == 89).mean() > 0.3 for quarter in quarters)  # matplotlib's grey of 90
        assert (drawn[half[0] :, half[1] :] == 255).all()  # the fourth place is empty
    assert (labelled < 60).any() and not (bare < 60).any()


def test_a_title_stands_above_the_pictures_and_changes_no_pixel_of_them(tmp_path: Path) -> None:
    first, others = pictures(2), pictures(6).unflatten(0, (2, 3))
    for title in ("", "wgan_gp: only exercised, 8 of 3,000 steps"):
        save_grid(pictures(4), tmp_path / f"grid{len(title)}.png", columns=2, title=title)
        save_image_rows(first, others, tmp_path / f"rows{len(title)}.png", title=title)
    for name in ("grid", "rows"):
        plain, titled = read(tmp_path / f"{name}0.png"), read(tmp_path / f"{name}41.png")
        height, width, _ = plain.shape
        assert np.array_equal(titled[-height:, :width], plain)
        above = titled[:-height]
        assert (above < 128).any() and (above[:, -GAP_PIXELS:] == 255).all(), "the whole text is there"
        assert titled.shape[1] >= width


def test_large_images_are_not_enlarged(tmp_path: Path) -> None:
    save_grid(pictures(1, 3, 100), tmp_path / "grid.png", columns=1)
    assert np.array_equal(read(tmp_path / "grid.png"), pictures(1, 3, 100)[0].permute(1, 2, 0).numpy())


def test_an_animation_holds_every_frame_without_loss(tmp_path: Path) -> None:
    frames = [pictures(4 + index)[:4] for index in range(3)]
    save_animation(frames, tmp_path / "animation.webp", columns=2)
    with Image.open(tmp_path / "animation.webp") as animation:
        assert animation.n_frames == 3 and animation.info["loop"] == 0, "for ever"
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]
        times = []
        for index in range(3):
            animation.seek(index)
            animation.load()
            times.append(animation.info["duration"])
    assert times == [MILLISECONDS_A_FRAME, MILLISECONDS_A_FRAME, 4 * MILLISECONDS_A_FRAME]
    for index, frame in enumerate(frames):
        save_grid(frame, tmp_path / "grid.png", columns=2)
        assert np.array_equal(shown[index], read(tmp_path / "grid.png"))


def test_an_animation_that_is_too_high_for_its_format_has_more_columns(tmp_path: Path) -> None:
    images = pictures(190)  # 16,716 pixels in one column
    save_animation([images, images.flip(0)], tmp_path / "animation.webp", columns=1)
    save_grid(images, tmp_path / "grid.png", columns=2)
    assert np.array_equal(read(tmp_path / "animation.webp"), read(tmp_path / "grid.png"))


def test_rows_pair_an_image_with_its_others(tmp_path: Path) -> None:
    first, others = pictures(2), pictures(6).unflatten(0, (2, 3))
    save_image_rows(first, others, tmp_path / "rows.png")
    rows = read(tmp_path / "rows.png")
    step = 84 + GAP_PIXELS
    assert np.array_equal(rows[step : step + 84 : 3, :84:3, 0], first[1, 0].numpy())
    right = rows[:, 84 + 5 * GAP_PIXELS :]
    assert np.array_equal(
        right[step : step + 84 : 3, 2 * step : 2 * step + 84 : 3, 0], others[1, 2, 0].numpy()
    )


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        save_grid(pictures(4), folder / "grid.png", columns=2)
        save_animation([pictures(4), pictures(5)[:4]], folder / "animation.webp", columns=2)
    for name in ("grid.png", "animation.webp"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_is_no_batch_of_images_is_refused(tmp_path: Path) -> None:
    for images in (torch.zeros(28, 28), torch.zeros(2, 2, 28, 28), torch.zeros(0, 1, 28, 28)):
        with pytest.raises(ValueError, match="need images"):
            save_grid(images, tmp_path / "grid.png", columns=1)
    assert not list(tmp_path.iterdir())


def test_confusion_has_a_cell_a_pair_and_the_same_bytes_again(tmp_path: Path) -> None:
    counts = torch.tensor([[9, 1, 0], [0, 5, 0], [0, 0, 0]])  # a class without an image is no error
    for name in ("first.png", "second.png"):
        save_confusion(counts, tmp_path / name, ["cat", "dog", "horse"])
    content = (tmp_path / "first.png").read_bytes()
    assert content == (tmp_path / "second.png").read_bytes() and b"matplotlib" not in content.lower()
    pixels = read(tmp_path / "first.png").reshape(-1, 3).astype(int)
    for share in (0.9, 0.1, 1.0):
        shade = np.array(colormaps["Blues"](share)[:3]) * 255
        assert (np.abs(pixels - shade).max(1) <= 1).sum() > 1000


def test_a_confusion_has_the_actual_classes_in_its_rows(tmp_path: Path, figures: list[Figure]) -> None:
    save_confusion(torch.tensor([[9, 1], [0, 5]]), tmp_path / "confusion.png", ["cat", "dog"])
    (axes,) = figures[0].axes
    at = {each.get_position(): each.get_text() for each in axes.texts}  # (column, row)
    assert at == {(0, 0): "9", (1, 0): "1", (1, 1): "5"}
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(np.array([[0.9, 0.1], [0, 1]]))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["cat", "dog"]


def test_a_run_stands_at_its_two_fids(tmp_path: Path, figures: list[Figure]) -> None:
    fids = {"one": {"x": 1.0, "y": 2.0}, "two": {"y": 20.0, "x": 30.0}}
    save_agreement(fids, tmp_path / "judges.png", labels={"x": "X: 15 of 3,905 steps", "y": "y"})
    (axes,) = figures[0].axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[1, 30], [2, 20]]
    assert {each.get_text(): each.xy for each in axes.texts} == {  # type: ignore[attr-defined]
        "X: 15 of 3,905 steps": (1, 30),
        "y": (2, 20),
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FID by one", "FID by two")
    assert b"matplotlib" not in (tmp_path / "judges.png").read_bytes().lower()
