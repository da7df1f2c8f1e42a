import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganscribe.drawing.attention import (
    as_seen,
    attention_figure,
    draw_attention,
    save_figure,
    upsample,
)
from ganscribe.features.pictures import as_input, peak, seen_box


@pytest.mark.parametrize("size", [(299, 299), (160, 80), (70, 600)])
def test_a_cell_lies_where_the_network_has_it(size: tuple[int, int]) -> None:
    """Attention on one cell, row 2 and column 6, whose centre is at (229.5, 101.5) of the network's 299."""
    width, height = size
    attention = np.zeros(64, dtype=np.float32)
    attention[2 * 8 + 6] = 1.0
    smooth = upsample(attention, width, height)
    assert (
        smooth.shape == (height, width) and smooth.min() == 0 and smooth.max() == pytest.approx(1, abs=0.02)
    )
    rows, columns = (smooth > 0.99 * smooth.max()).nonzero()
    assert rows.mean() + 0.5 == pytest.approx(101.5 / 299 * height, abs=0.6)
    assert columns.mean() + 0.5 == pytest.approx(229.5 / 299 * width, abs=0.6)
    x, y = peak(attention.tolist(), (0, 0, width, height))
    assert (x, y) == pytest.approx((229.5 / 299 * width, 101.5 / 299 * height))


def test_maps_keep_slopes_and_go_on_to_the_edge() -> None:
    # Cells that hold their own centre's place: the map is that place.
    centres = (37.5 + 32 * np.arange(8)).astype(np.float32)
    smooth = upsample(np.tile(centres, (8, 1)), 299, 299)
    inner = np.arange(75, 224)
    assert np.allclose(smooth[:, inner], inner + 0.5, rtol=1e-3)
    assert np.ptp(smooth[:, :6]) < 3 and np.ptp(smooth[:, -6:]) < 3
    corner = np.zeros((8, 8), dtype=np.float32)
    corner[0, 0] = 1
    found = upsample(corner, 299, 299)
    assert found[:38, :38].min() > 0.8 and found[70:, :].max() < 0.01
    assert np.allclose(upsample(np.full(64, 1 / 64), 20, 30), 1 / 64)


def test_what_the_network_sees_is_what_the_map_marks() -> None:
    """A synthetic case from end to end: the cell that answers most to a spot has its centre nearest to it."""
    for crop in ("none", "center"):
        for x, y in ((310, 90), (200, 150), (333, 222)):
            image = Image.new("L", (500, 300))
            image.paste(255, (x - 4, y - 4, x + 4, y + 4))
            pixels = as_input(image.convert("RGB"), crop=crop)[0].float().numpy()
            # A cell's answer: what a window of 97 pixels around its centre holds, weighted by nearness.
            place = np.arange(299) + 0.5
            near = np.clip(1 - np.abs(place - (37.5 + 32 * np.arange(8))[:, None]) / 48, 0, None)
            attention = (near @ pixels @ near.T).astype(np.float32)
            box = seen_box(500, 300, crop=crop)
            cell = 32 / 299 * np.array([box[2] - box[0], box[3] - box[1]])
            found = np.array(peak((attention / attention.sum()).flatten().tolist(), box))
            assert (np.abs(found - [x, y]) <= cell / 2 + 1).all(), (crop, found)
            seen = as_seen(image.convert("RGB"), crop=crop)
            lit = np.asarray(seen.convert("L")).astype(float)
            smooth = upsample(attention, *seen.size)
            row, column = np.unravel_index(smooth.argmax(), smooth.shape)
            at_row, at_column = ((lit > 0.8 * lit.max()).nonzero()[axis].mean() for axis in (0, 1))
            assert abs(column - at_column) <= 16 / 299 * seen.width + 2
            assert abs(row - at_row) <= 16 / 299 * seen.height + 2


def test_a_figure_has_the_image_and_a_panel_a_word_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    maps = np.random.default_rng(1).random((6, 64), dtype=np.float32)
    words = ["a", "red", "bus", "on", "the", "street"]  # and the image: one more than stand in a row
    for name in ("one.png", "two.png"):
        figure = attention_figure(Image.fromarray(pixels), words, maps, title="a red bus")
        save_figure(figure, tmp_path / name)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 7 and [axis.get_title() for axis in drawn[1:]] == words
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes() and b"matplotlib" not in content.lower()
    assert Image.open(io.BytesIO(content)).size[0] > 500


def test_all_panels_have_one_scale_and_an_even_spread_is_not_bright() -> None:
    maps = np.full((3, 64), 1 / 64, dtype=np.float32)
    maps[1, 5], maps[2, 9] = 0.03, 0.5
    drawn = attention_figure(Image.new("RGB", (64, 64)), ["a", "b", "c"], maps).axes[1:4]
    scales = {axis.images[1].get_clim() for axis in drawn}
    assert scales == {(0, 0.5)}
    assert all(0 < axis.images[1].get_alpha() < 1 for axis in drawn), "the picture is seen through the map"
    weak = attention_figure(Image.new("RGB", (64, 64)), ["a", "b"], maps[:2]).axes[1]
    assert weak.images[1].get_clim() == (0, 8 / 64)
    assert weak.images[1].get_array().max() < 0.25 * 8 / 64


def test_an_empty_caption_can_be_drawn(tmp_path: Path) -> None:
    figure = attention_figure(Image.new("L", (20, 30)), [], np.zeros((0, 64)), title="(no words)")
    save_figure(figure, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("size", "heights"),
    [((1, 1), range(500, 800)), ((2000, 20), range(200, 500)), ((20, 2000), range(800, 1200))],
)
def test_pictures_of_any_shape_and_long_captions_fit(
    tmp_path: Path, size: tuple[int, int], heights: range
) -> None:
    words = ["$\\frac$", "ninety", *["word"] * 12]
    image = as_seen(Image.new("RGB", size, "red"), crop="none")
    draw_attention(tmp_path / "figure.png", image, words, np.ones((14, 64)), note="features: $x$")
    width, height = Image.open(tmp_path / "figure.png").size
    assert 500 < width < 2000 and height in heights


def test_an_image_is_shown_in_the_extent_that_the_network_saw() -> None:
    pixels = np.zeros((400, 800, 3), dtype=np.uint8)
    pixels[:, 600:] = 255
    image = Image.fromarray(pixels)
    whole, center = as_seen(image, crop="none"), as_seen(image, crop="center")
    assert whole.size == (320, 160) and center.size == (320, 320)
    assert np.asarray(whole).mean() > 60 and np.asarray(center)[:, :200].mean() < 10
    small = as_seen(image.resize((80, 40)), crop="none")
    assert small.size == (80, 40)  # never blown up
