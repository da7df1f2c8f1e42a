"""Pictures that would fill the memory or run a program, at every place where a picture is opened."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import EpsImagePlugin, Image

from ganscribe import convnets
from ganscribe.cli.photographs import Unread, read_photograph
from ganscribe.core.weights import save_weights
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.loading import RejectedImage, load_images
from ganscribe.features.pictures import load_image
from ganscribe.serving import models as serving_models
from ganscribe.serving.demo import Models, build_page
from ganscribe.serving.pictures import decode_image

SIDE = 100_000


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(SIDE))) + chunk(b"IEND", b"")


def huge_tiff() -> bytes:
    tags = [(256, 4, SIDE), (257, 4, SIDE), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, SIDE), (279, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def huge_bmp() -> bytes:
    return b"BM" + struct.pack("<IHHI", 200, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0
    )  # fmt: skip


HUGE = {"a.png": huge_png(), "a.tiff": huge_tiff(), "a.bmp": huge_bmp()}


def extract(path: Path) -> str:
    content = path.read_bytes()
    file = ImageFile(1, path.name, len(content), hashlib.sha256(content).hexdigest())
    ((_, loaded),) = load_images([file], path.parent, crop="none", num_workers=1)
    assert isinstance(loaded, RejectedImage)
    return loaded.reason


def caption(path: Path) -> str:
    unread = read_photograph(path, "none")
    assert isinstance(unread, Unread) and unread.path == path
    return unread.reason


def at_once(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        load_image(path)
    return str(error.value)


def classify(path: Path) -> str:
    with pytest.raises(ValueError) as error:
        decode_image(base64.b64encode(path.read_bytes()).decode(), 3)
    return str(error.value)


PLACES: dict[str, Callable[[Path], str]] = {
    "extraction": extract,
    "caption": caption,
    "library": at_once,
    "served classifier": classify,
}


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize("name", sorted(HUGE))
def test_a_huge_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    (tmp_path / name).write_bytes(HUGE[name])
    reason = PLACES[place](tmp_path / name)
    assert "10000000000 pixels" in reason and "exceeds limit" in reason


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give Pillow a Ghostscript that is a trap: if it is run, it makes the folder that is returned."""
    flag = tmp_path / "ran"
    program = tmp_path / "gs"
    program.write_text(f"#!{sys.executable}\nimport os\nos.mkdir({str(flag)!r})\n")
    program.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(program))
    return flag


def eps(path: Path) -> Path:
    Image.new("RGB", (40, 30), "red").save(path, "EPS")
    return path


@pytest.mark.parametrize("place", sorted(PLACES))
def test_no_program_is_run_for_a_picture(tmp_path: Path, ghostscript: Path, place: str) -> None:
    path = eps(tmp_path / "a.jpg")  # the name says nothing
    assert "EPS" in PLACES[place](path)
    assert not ghostscript.exists()
    with pytest.raises(OSError), Image.open(path) as image:
        image.load()
    assert ghostscript.exists(), "Pillow itself would have run it"


@pytest.fixture
def models(captioner_files: Path) -> Models:
    return Models(
        {"tiny": captioner_files / "model.safetensors"}, {}, inception=captioner_files / "inception.safetensors"
    )  # fmt: skip


def test_the_page_refuses_too(models: Models, tmp_path: Path, ghostscript: Path) -> None:
    """An upload passes gradio's component, then the page's own function."""
    import gradio
    from gradio.data_classes import ImageData

    page = build_page(models)
    component = next(
        each for each in page.blocks.values() if isinstance(each, gradio.Image) and each.label == "photograph"
    )
    step = next(each.fn for each in page.fns.values() if component in each.inputs)
    path = eps(tmp_path / "a.eps")
    taken = component.preprocess(ImageData(path=str(path), orig_name="a.eps"))
    assert "EPS, a program" in step("tiny", taken)[2]
    assert not ghostscript.exists()
    path.write_bytes(HUGE["a.png"])
    taken = component.preprocess(ImageData(path=str(path), orig_name="a.png"))
    assert "exceeds limit" in step("tiny", taken)[2]


def ask(folder: Path, rows: list[dict[str, Any]]) -> Any:
    return serving_models.Served(folder).predict(pd.DataFrame(rows))


def test_the_served_captioner_refuses(captioner_files: Path, tmp_path: Path, ghostscript: Path) -> None:
    for content, reason in ((HUGE["a.png"], "exceeds limit"), (eps(tmp_path / "a").read_bytes(), "EPS")):
        with pytest.raises(MlflowException, match=reason) as error:
            ask(captioner_files, [{"image": base64.b64encode(content).decode()}])
        assert error.value.get_http_status_code() == 400
    assert not ghostscript.exists()


def test_pictures_of_another_size_are_not_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank picture of 59 million pixels is a small file: what it says of its size is enough."""
    network = convnets.build("lenet5", num_classes=3, image_shape=(3, 32, 32))
    facts = {"network": "lenet5", "options": {}, "num_classes": 3, "classes": ["a", "b", "c"]}
    facts |= {"image_shape": [3, 32, 32]}
    save_weights(tmp_path / "model.safetensors", network.state_dict(), facts)
    monkeypatch.setattr("ganscribe.features.pictures.open_image", lambda *_: pytest.fail("decoded"))
    buffer = io.BytesIO()
    Image.new("RGB", (200, 200)).save(buffer, "png")
    with pytest.raises(MlflowException, match="200 x 200 pixels: send 32 x 32"):
        ask(tmp_path, [{"image": base64.b64encode(buffer.getvalue()).decode()}] * 100)
