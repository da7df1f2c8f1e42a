"""Picture files of every kind, and where in a picture a cell of the last block looks."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganscribe.features import inception, pictures
from ganscribe.features.pictures import (
    CELL_STEP,
    FIRST_CELL,
    as_input,
    crop_of,
    load_image,
    open_image,
    plain_jpeg,
    seen_box,
)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_whole_image_is_resized_as_pillow_does() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (427, 640, 3), dtype=np.uint8))
    found = load_image(encoded(image, "PNG")).permute(1, 2, 0).int()
    expected = torch.from_numpy(np.array(image.resize((299, 299), Image.Resampling.BILINEAR))).int()
    assert (found - expected).abs().max() <= 1
    cropped = load_image(encoded(image, "PNG"), crop="center").permute(1, 2, 0).int()
    resized = np.array(image.resize((round(640 * 342 / 427), 342), Image.Resampling.BILINEAR))
    top, left = (resized.shape[0] - 299) // 2, (resized.shape[1] - 299) // 2
    window = torch.from_numpy(resized[top : top + 299, left : left + 299]).int()
    assert (cropped - window).abs().max() <= 1
    with pytest.raises(ValueError, match="crop 'middle' is unknown"):
        load_image(encoded(image, "PNG"), crop="middle")


def smooth_noise(mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (21, 33, 3), dtype=np.uint8))
    return small.resize((333, 217), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_plain_jpeg_has_the_pixels_that_pillow_reads(
    mode: str, subsampling: int, progressive: bool
) -> None:
    for quality in (30, 75, 98):
        content = encoded(
            smooth_noise(mode), "JPEG", quality=quality, subsampling=subsampling, progressive=progressive
        )
        assert plain_jpeg(content) == mode
        assert torch.equal(load_image(content), as_input(open_image(content), crop="none"))


def test_photographs_have_the_pixels_that_pillow_reads(test_data: Path) -> None:
    photographs = sorted((test_data / "coco/train2014").iterdir())[::40]
    assert len(photographs) > 20 and sum(bool(plain_jpeg(path.read_bytes())) for path in photographs) > 20
    for path in photographs:
        assert torch.equal(load_image(path), as_input(open_image(path), crop="none")), path.name


def test_what_is_not_plain_is_left_to_pillow() -> None:
    turned = Image.Exif()
    turned[0x0112] = 3
    assert plain_jpeg(encoded(smooth_noise(), "JPEG", exif=turned)) is None
    assert plain_jpeg(encoded(smooth_noise("CMYK"), "JPEG")) is None
    assert plain_jpeg(encoded(smooth_noise(), "PNG")) is None
    assert plain_jpeg(b"") is None


def test_damaged_jpegs_end_as_pillow_ends_them() -> None:
    """Files that are cut off, changed at random or too long give the same pixels, or the same message."""
    rng = np.random.default_rng(0)
    whole = encoded(smooth_noise(), "JPEG")
    ends = set()
    for number in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, 700 if number % 2 else len(whole), number % 4):
            content[place] = rng.integers(256)
        if number % 3:
            content = content[: rng.integers(20, len(content))] + bytes(number % 3 - 1)
        found: list[torch.Tensor | str] = []
        for read in (load_image, lambda content: as_input(open_image(content), crop="none")):
            try:
                found.append(read(bytes(content)))
            except ValueError as error:
                found.append(str(error))
        one, other = found
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
        ends.add(type(one))
    assert len(ends) == 2


def test_what_is_no_whole_image_is_said_without_the_path(tmp_path: Path) -> None:
    whole = [encoded(scene(), kind) for kind in ("JPEG", "PNG", "GIF")]
    for bad in (b"", b"text", *(content[: len(content) // 2] for content in whole)):
        (tmp_path / "bad.jpg").write_bytes(bad)
        with pytest.raises(ValueError, match=r"^corrupt: ") as caught:
            load_image(tmp_path / "bad.jpg")
        assert str(tmp_path) not in str(caught.value)


def scene() -> Image.Image:
    """Light red above dark blue."""
    image = Image.new("RGB", (40, 30), (250, 40, 40))
    image.paste((20, 20, 90), (0, 15, 40, 30))
    return image


def halves(content: bytes) -> np.ndarray:
    image = open_image(content)
    assert image.size == (40, 30) and image.mode == "RGB"
    return np.asarray(image).astype(int)[[4, 26], 20]


def test_every_format_that_pillow_writes_and_reads() -> None:
    Image.init()
    read = []
    odd = {"EPS", "ICNS", "ICO", "SPIDER"}  # needs Ghostscript; have sizes of their own; is grey
    for kind in sorted(Image.SAVE.keys() & Image.OPEN.keys() - odd):
        try:
            content = encoded(scene(), kind)
        except (OSError, ValueError):
            continue  # of one mode only
        assert np.abs(halves(content) - [[250, 40, 40], [20, 20, 90]]).max() < 30, kind
        read.append(kind)
    assert {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"} <= set(read)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "PA", "CMYK", "LAB", "YCbCr", "RGBX"])
def test_every_mode_with_colour(mode: str) -> None:
    kind = "PNG" if mode == "P" else "TIFF"
    if mode == "LAB":
        pytest.importorskip("PIL.ImageCms")
    image = scene().convert(mode)
    if mode in ("PA", "YCbCr"):  # no file format brings it; Pillow before 13 cannot read its own TIFF of it
        found = np.asarray(pictures._as_rgb(image)).astype(int)[[4, 26], 20]
    else:
        found = halves(encoded(image, kind))
    assert np.abs(found - [[250, 40, 40], [20, 20, 90]]).max() < 35


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("<u2", 256), (">u2", 256), ("<i4", 1), ("<i4", 256), ("<i4", 1 << 20), ("<f4", 1 / 255), ("<f4", 1)],
)
def test_grey_of_every_depth(dtype: str, scale: float) -> None:
    grey = np.asarray(scene().convert("L"))
    deep = (grey * np.float64(scale)).astype(dtype)
    deep[0, 0] = deep[0, 1] = 255 * scale  # of 32 bits and floats nothing else says what is white
    if dtype == "<f4":
        deep[0, 2] = np.nan
    found = np.asarray(open_image(encoded(Image.fromarray(deep), "TIFF"))).astype(int)
    assert np.abs(found[1:] - grey[1:, :, None]).max() <= 1


def test_sixteen_bits_of_a_dark_picture_stay_dark() -> None:
    """In PGM the header says what is white; nothing in the picture is brighter than 200 of 65,535."""
    assert not np.asarray(open_image(b"P5 2 1 65535\n" + struct.pack(">2H", 0, 200))).any()


def test_black_and_white_clear_and_moving_pictures() -> None:
    assert halves(encoded(scene().convert("L").point(lambda v: 255 * (v > 60)).convert("1"), "PNG"))[
        :, 0
    ].tolist() == [255, 0]
    clear = scene().convert("L").convert("LA")
    clear.putalpha(0)
    assert halves(encoded(clear, "PNG")).tolist() == [[255] * 3] * 2
    frames: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (40, 30), "green")]}
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        assert np.abs(halves(encoded(scene(), kind, **frames)) - [[250, 40, 40], [20, 20, 90]]).max() < 30


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_turn_that_a_camera_notes(turn: int) -> None:
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, which the viewer undoes
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = scene() if turn == 1 else scene().transpose(Image.Transpose(undone[turn]))
    assert (
        np.abs(halves(encoded(stored, "JPEG", exif=exif, quality=95)) - [[250, 40, 40], [20, 20, 90]]).max()
        < 9
    )


def with_exif(kind: str, *entries: tuple[int, int, bytes], head: bytes = b"MM\0*") -> bytes:
    """A scene whose EXIF has such entries (tag, type, four bytes), of one value each."""
    listed = b"".join(struct.pack(">HHI", tag, of_type, 1) + value for tag, of_type, value in entries)
    exif = b"Exif\0\0" + head + struct.pack(">IH", 8, len(entries)) + listed + bytes(4)
    return encoded(scene(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_whose_exif_is_damaged_is_read(kind: str) -> None:
    """It is turned all the same, unless nothing of the EXIF can be read."""
    turn, resolution = (0x0112, 3, b"\0\6\0\0"), (0x011A, 2, b"a\0\0\0")  # a number that is text
    turned = load_image(with_exif(kind, turn))
    assert torch.equal(load_image(with_exif(kind, turn, resolution)), turned)
    plain = load_image(encoded(scene(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert torch.equal(load_image(with_exif(kind, turn, head=b"what")), plain) and not torch.equal(
        plain, turned
    )


def test_a_picture_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # refused at twice as many; 89 million as shipped
    with pytest.raises(ValueError, match=r"corrupt: .*1200 pixels.* exceeds limit"):
        open_image(encoded(scene(), "PNG"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_files_are_one_kind_of_error() -> None:
    """Bytes changed at random: read, or refused with ValueError, never anything else."""
    rng = np.random.default_rng(0)
    for kind in (
        "PNG",
        "JPEG",
        "GIF",
        "WEBP",
        "TIFF",
        "BMP",
        "PPM",
        "ICO",
        "AVIF",
        "TGA",
        "BLP",
        "QOI",
        "ICNS",
    ):
        try:
            whole = encoded(scene().convert("P" if kind == "BLP" else "RGB"), kind)
        except (OSError, KeyError):
            continue  # Pillow is built without it
        for _ in range(25):
            content = bytearray(whole)
            for place in rng.integers(0, min(len(content), 300), 4):
                content[place] = rng.integers(256)
            try:
                open_image(bytes(content[: rng.integers(20, len(content) + 1)]))
            except ValueError as error:
                assert re.match("corrupt: .", str(error))


def test_pictures_of_every_size_are_taken_in() -> None:
    for size in ((1, 1), (1, 700), (900, 2), (299, 299), (3, 5)):
        for crop in ("none", "center"):
            assert load_image(encoded(Image.new("RGB", size), "PNG"), crop=crop).shape == (3, 299, 299)


def test_a_file_that_cannot_be_read_is_not_called_corrupt(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "none.jpg")
    with pytest.raises(IsADirectoryError):
        open_image(tmp_path)


def test_the_preprocessing_is_named() -> None:
    assert [crop_of(text) for text in pictures.PREPROCESSING.values()] == ["none", "center"]
    with pytest.raises(ValueError, match="'stretched' is unknown"):
        crop_of("stretched")


def test_the_part_of_a_picture_that_the_network_sees() -> None:
    """A mark just inside the part is seen, one just outside is not."""
    assert seen_box(700, 400, crop="none") == (0, 0, 700, 400)
    left, top, right, bottom = seen_box(700, 400, crop="center")
    assert right - left == bottom - top == pytest.approx(400 * 299 / 342)
    for column, is_seen in ((left - 4, False), (left + 4, True), (right - 4, True), (right + 4, False)):
        image = Image.new("L", (700, 400))
        image.paste(255, (round(column) - 2, 190, round(column) + 2, 210))
        assert bool(load_image(encoded(image, "PNG"), crop="center").max() > 60) == is_seen


def test_cells_look_where_the_strides_and_paddings_put_them() -> None:
    """The layers on the way (Szegedy et al. 2015, table 1) as (kernel, stride, padding); what keeps size and
    centre is left out."""
    layers = [(3, 2, 0), (3, 1, 0), (3, 2, 0), (3, 1, 0), (3, 2, 0), (3, 2, 0), (3, 2, 0)]
    size, centre, step = 299, 0.0, 1
    for kernel, stride, padding in layers:
        centre += ((kernel - 1) / 2 - padding) * step
        size, step = (size + 2 * padding - kernel) // stride + 1, step * stride
    assert (size, centre + 0.5, step) == (8, FIRST_CELL, CELL_STEP)
    assert centre + 7 * step == 298 - centre  # as the mirror image of the network must have it


def test_cells_look_where_the_gradient_is_greatest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of torchvision's own network with every weight alike and means instead of maxima: there the
    gradient falls off evenly from a cell's centre. (Beyond cells 2 to 5 the padding of the image's edges
    pulls it inwards.)"""
    network = inception._build().inception
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    network.maxpool1, network.maxpool2 = torch.nn.AvgPool2d(3, 2), torch.nn.AvgPool2d(3, 2)
    monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)
    image = torch.ones(1, 3, 299, 299, requires_grad=True)
    maps = image
    for name, layer in network.named_children():
        maps = maps if name in ("avgpool", "dropout", "fc") else layer(maps)
    (gradient,) = torch.autograd.grad(maps[0, :, 2, 5].sum(), image)
    for axis, cell in ((1, 2), (0, 5)):
        profile = gradient[0].sum(0).sum(axis)
        top = (profile >= 0.98 * profile.max()).nonzero().float()
        assert float(top.mean()) + 0.5 == pytest.approx(FIRST_CELL + CELL_STEP * cell, abs=1)
