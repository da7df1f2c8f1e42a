"""Decoding in background threads: the order stays, and what calibrates a network without weights."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision.io
from PIL import Image

import apart
from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features import loading, pictures
from ganscribe.features.loading import (
    RejectedImage,
    Undecoded,
    calibration_images,
    decode_on_card,
    load_images,
)
from ganscribe.features.pictures import load_image

DECODE_JPEG = torchvision.io.decode_jpeg


def one_by_one(contents: list[torch.Tensor], *, mode: Any, device: torch.device) -> list[torch.Tensor]:
    """What a card's decoder gives, by the CPU's."""
    return [DECODE_JPEG(content, mode=mode).to(device) for content in contents]


def test_load_images_keeps_the_order(folder: Path, files: list[ImageFile]) -> None:
    for num_workers in (1, 4):
        loaded = list(load_images(files, folder, crop="center", num_workers=num_workers, ahead=3))
        assert [file for file, _ in loaded] == files
        assert all(torch.equal(image, load_image(folder / f.file_name, crop="center")) for f, image in loaded)


def test_no_more_images_are_in_memory_than_asked_for(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []

    class Noting(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
            begun.append(arguments)
            return super().submit(*arguments, **options)

    monkeypatch.setattr("ganscribe.features.loading.ThreadPoolExecutor", Noting)
    loading = load_images(files, folder, crop="none", num_workers=2, ahead=3)
    for taken in range(1, 4):
        next(loading)
        assert len(begun) == taken + 3
    loading.close()


def test_calibration_images(folder: Path, files: list[ImageFile]) -> None:
    files[1] = ImageFile(10, "1.jpg", None, None, "HTTP 404")
    found = calibration_images(files, folder, crop="center", count=5)
    whole = [load_image(folder / files[number].file_name, crop="center") for number in (0, 2, 3, 4, 5)]
    assert torch.equal(found, torch.stack(whole))
    with pytest.raises(ValueError, match="none of the first"):
        calibration_images([], folder, crop="none")


@pytest.fixture
def mixed(folder: Path, files: list[ImageFile]) -> list[ImageFile]:
    """JPEGs, and what is not for a card: grey, CMYK, turned, PNG, cut off, none at all."""
    whole = Image.open(folder / "0.jpg").copy()
    turned = Image.Exif()
    turned[0x0112] = 6
    whole.convert("L").save(folder / "1.jpg")
    whole.convert("CMYK").save(folder / "2.jpg")
    whole.save(folder / "3.jpg", exif=turned)
    whole.save(folder / "4.jpg", format="PNG")
    (folder / "5.jpg").write_bytes((folder / "0.jpg").read_bytes()[:-400])
    files[6] = ImageFile(60, "6.jpg", None, None, "HTTP 404")
    for number in range(1, 6):
        name = f"{number}.jpg"
        files[number] = ImageFile(10 * number, name, 1, file_sha256(folder / name))
    return files


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_card_cannot_decode_the_cpu_does(
    folder: Path, mixed: list[ImageFile], monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    asked = []

    def decode_jpeg(contents: list[torch.Tensor], **options: Any) -> list[torch.Tensor]:
        asked.append(len(contents))
        if fails:
            monkeypatch.undo()  # the CPU's decoder goes by the same name
            raise RuntimeError(
                "Error while decoding JPEG images: Failed to decode batch: 3\nException raised"
            )
        return one_by_one(contents, **options)

    expected = list(load_images(mixed, folder, crop="none", num_workers=1))
    loaded = list(load_images(mixed, folder, crop="none", num_workers=1, decoder="gpu"))
    kept = [file.image_id for file, image in loaded if isinstance(image, Undecoded)]
    monkeypatch.setattr(torchvision.io, "decode_jpeg", decode_jpeg)
    found = decode_on_card(loaded, torch.device("cpu"), crop="none")
    assert kept == [0, 70, 80, 90, 100] and asked == [5]
    for (file, image), (same, other) in zip(found, expected, strict=True):
        assert file == same and type(image) is type(other)
        assert torch.equal(image, other) if isinstance(image, torch.Tensor) else image == other
    rejected = [image for _, image in found if isinstance(image, RejectedImage)]
    assert [image.image_id for image in rejected] == [50, 60] and "truncated" in rejected[0].reason


@pytest.mark.parametrize(
    "said",
    [
        "decode_jpegs_cuda: torchvision not compiled with nvJPEG support",
        "Failed to initialize nvjpeg with hardware backend: 7",
        "Error while decoding JPEG images: CUDA out of memory. Tried to allocate 2.00 GiB.\nException raised",
        "Error while decoding JPEG images: Failed to decode batch: 5\nException raised",
        "Error while decoding JPEG images: Failed to synchronize CUDA stream: 700",
    ],
)
def test_a_card_that_cannot_decode_says_so(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """In torchvision's words, which are a plain RuntimeError's even where the card is out of memory."""

    def decode_jpeg(contents: list[torch.Tensor], *, mode: object, device: torch.device) -> None:
        raise RuntimeError(said)

    loaded = list(load_images(files, folder, crop="none", num_workers=1, decoder="gpu"))
    monkeypatch.setattr(torchvision.io, "decode_jpeg", decode_jpeg)
    with pytest.raises(RuntimeError, match=re.escape(said)) as caught:
        decode_on_card(loaded, torch.device("cpu"), crop="none")
    assert "features.decoder: cpu" in caught.value.__notes__[0]


def test_what_is_too_narrow_to_be_cropped_is_rejected(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shorter side at 342 pixels, a line of 1 x 60,000 would be 20 million pixels long and fill the memory."""
    Image.new("RGB", (1, 60_000)).save(folder / "1.jpg")
    files[1] = ImageFile(10, "1.jpg", 1, file_sha256(folder / "1.jpg"))
    for decoder in ("cpu", "gpu"):
        loaded = list(load_images(files, folder, crop="center", num_workers=1, decoder=decoder))
        with monkeypatch.context() as patch:
            patch.setattr(torchvision.io, "decode_jpeg", one_by_one)
            found = [image for _, image in decode_on_card(loaded, torch.device("cpu"), crop="center")]
        assert isinstance(found[1], RejectedImage) and found[1].reason.startswith(
            "1 x 60000 pixels, which is too"
        )
        assert all(isinstance(image, torch.Tensor) for image in found[2:])


def test_a_card_decodes_once_it_has_read_the_pictures_before(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's decoder writes at once, into memory that work which is only queued may still have to read."""
    done: list[str] = []
    stream = SimpleNamespace(synchronize=lambda: done.append("waited"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)

    def decode_jpeg(contents: list[torch.Tensor], *, mode: object, device: torch.device) -> None:
        done.append("decoded")
        raise KeyError("there is no card")

    monkeypatch.setattr(torchvision.io, "decode_jpeg", decode_jpeg)
    loaded = list(load_images(files[:1], folder, crop="none", num_workers=1, decoder="gpu"))
    with pytest.raises(KeyError):
        decode_on_card(loaded, torch.device("cuda"), crop="none")
    assert done == ["waited", "decoded"]


def test_a_picture_that_is_too_large_for_the_card_s_kernel_is_scaled_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = []

    def resize(picture: torch.Tensor, *, crop: str) -> torch.Tensor:
        scaled.append((picture.shape[2], picture.device))
        return pictures.resize(picture, crop=crop)

    monkeypatch.setattr(loading, "resize", resize)
    files = []
    for number, width in enumerate((300, 30_000)):
        path = tmp_path / f"{number}.jpg"
        Image.new("RGB", (width, 10)).save(path)
        files.append(ImageFile(number, path.name, 1, file_sha256(path)))
    loaded = list(load_images(files, tmp_path, crop="none", num_workers=1, decoder="gpu"))
    with apart.available() as device:
        monkeypatch.setattr(torchvision.io, "decode_jpeg", one_by_one)
        found = [image for _, image in decode_on_card(loaded, device, crop="none")]
        assert all(isinstance(image, torch.Tensor) and image.device == device for image in found)
    assert scaled == [(300, device), (30_000, torch.device("cpu"))]
