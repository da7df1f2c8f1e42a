import io
from pathlib import Path

import numpy as np
from PIL import Image

from ganscribe.captioning.evaluation import as_seen
from ganscribe.captioning.figures import attention_figure, save_figure, upsample


def test_the_map_peaks_where_the_attention_is() -> None:
    attention = np.zeros(64, dtype=np.float32)
    attention[2 * 8 + 6] = 1.0  # third row, seventh column
    smooth = upsample(attention, 160, 80)
    assert smooth.shape == (80, 160) and smooth.min() == 0 and smooth.max() == 1
    row, column = np.unravel_index(smooth.argmax(), smooth.shape)
    assert abs(row - 2.5 * 10) <= 1 and abs(column - 6.5 * 20) <= 1
    assert np.allclose(upsample(np.full(64, 1 / 64), 20, 30), 1)


def test_a_figure_has_the_image_and_a_panel_a_word_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    maps = np.random.default_rng(1).random((7, 64), dtype=np.float32)
    words = ["a", "red", "bus", "on", "the", "wet", "street"]
    for name in ("one.png", "two.png"):
        figure = attention_figure(Image.fromarray(pixels), words, maps, title="a red bus")
        save_figure(figure, tmp_path / name)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == 8 and [axis.get_title() for axis in drawn[1:]] == words
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes() and b"matplotlib" not in content.lower()
    assert Image.open(io.BytesIO(content)).size[0] > 500


def test_an_empty_caption_can_be_drawn(tmp_path: Path) -> None:
    figure = attention_figure(Image.new("L", (20, 30)), [], np.zeros((0, 64)), title="(no words)")
    save_figure(figure, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0


def test_an_image_is_shown_in_the_extent_and_direction_that_the_network_saw(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    pixels[:, 150:] = 255
    Image.fromarray(pixels).save(path)
    whole, center = as_seen(path, crop="none"), as_seen(path, crop="center")
    assert abs(whole.width - 2 * whole.height) <= 2 and center.width == center.height
    assert np.asarray(whole).mean() > 60 and np.asarray(center)[:, :200].mean() < 10
