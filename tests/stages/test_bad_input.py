"""A user's mistakes, through the real stage scripts: one clear message, exit code 1, nothing half-written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.sources.images import MNIST_FOLDER
from parameters import TINY, copy_params, edit, use_local
from publications import small_mnist
from scripts import run


def refused(project: Path, folder: Path, *command: str, out: str) -> str:
    """Run the stage, check that it treats the mistake by the rules above, and return its message."""
    done = run(project, folder, *command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / out).exists()
    parent = (folder / out).parent
    assert not parent.exists() or [path.name for path in parent.iterdir() if path.name.startswith(".")] == []
    assert "Error: " in done.stderr
    return done.stderr


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    copy_params(project, tmp_path, TINY)
    return tmp_path


@pytest.fixture
def photographs(folder: Path) -> Path:
    """A small local COCO folder: eight pictures, five captions each."""
    coco = folder / "mine"
    (coco / "train2014").mkdir(parents=True)
    (coco / "annotations").mkdir()
    images, annotations = [], []
    for number in range(8):
        name = f"COCO_train2014_{number:012d}.jpg"
        Image.new("RGB", (64, 48), (number * 12, 80, 160)).save(coco / "train2014" / name)
        images.append({"id": number, "file_name": name, "height": 48, "width": 64})
        annotations += [
            {"id": number * 5 + k, "image_id": number, "caption": f"a plain colour number {k}"}
            for k in range(5)
        ]
    document = {"images": images, "annotations": annotations}
    (coco / "annotations" / "captions_train2014.json").write_text(json.dumps(document))
    use_local(folder, "coco", "mine")
    return coco


def done(project: Path, folder: Path, *commands: str) -> None:
    for command in commands:
        ended = run(project, folder, *command.split())
        assert ended.returncode == 0, ended.stderr


def test_a_missing_local_folder(project: Path, folder: Path) -> None:
    use_local(folder, "mnist", "nowhere/at/all")
    (message,) = refused(project, folder, "download.py", "mnist", out="data/raw/mnist").splitlines()
    assert message.startswith(f"Error: sources.mnist.folder: there is no folder {folder / 'nowhere/at/all'}")


def test_a_truncated_archive(project: Path, folder: Path) -> None:
    path = small_mnist(folder / "mine") / MNIST_FOLDER / "train-images-idx3-ubyte"
    raw = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_suffix(".gz").write_bytes(raw[: len(raw) // 2])
    use_local(folder, "mnist", "mine")
    message = refused(project, folder, "download.py", "mnist", out="data/raw/mnist")
    assert "train-images-idx3-ubyte.gz is truncated or damaged" in message


def test_a_data_set_that_is_not_downloaded_yet(project: Path, folder: Path) -> None:
    message = refused(project, folder, "prepare_images.py", "mnist", out="data/mnist")
    assert "manifest.json is missing: run `dvc repro download@mnist`" in message


def test_a_file_that_is_not_what_was_downloaded(project: Path, folder: Path) -> None:
    path = small_mnist(folder / "mine") / MNIST_FOLDER / "t10k-labels-idx1-ubyte"
    use_local(folder, "mnist", "mine")
    done(project, folder, "download.py mnist")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    message = refused(project, folder, "prepare_images.py", "mnist", out="data/mnist")
    assert path.name in message
    assert "download@mnist" in message


def test_an_empty_caption(project: Path, folder: Path, photographs: Path) -> None:
    path = photographs / "annotations" / "captions_train2014.json"
    path.write_text(path.read_text().replace('"a plain colour number 3"', '"  "', 1))
    message = refused(project, folder, "download.py", "coco", out="data/raw/coco")
    assert "caption 3 of image 0 (COCO_train2014_000000000000.jpg) is empty" in message


def test_a_corrupt_image(project: Path, folder: Path, photographs: Path) -> None:
    path = photographs / "train2014" / "COCO_train2014_000000000007.jpg"
    path.write_bytes(path.read_bytes()[:200])
    done(
        project, folder, "download.py coco", "download.py inception", "select_captions.py", "fetch_images.py"
    )
    message = refused(project, folder, "extract_features.py", out="data/features")
    assert path.name in message
    assert "max_bad_images" in message


def test_a_decoder_that_the_device_does_not_have(
    folder: Path, load_stage: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder / "params.yaml", "  decoder: cpu", "  decoder: gpu")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    ended = CliRunner().invoke(load_stage("extract_features")["main"])
    assert (
        ended.exit_code == 1
        and "gpu needs a CUDA device, and the device is cpu: set it to cpu" in ended.stderr
    )


def test_a_vocabulary_larger_than_the_text(project: Path, folder: Path) -> None:
    caption = SelectedCaption(1, 1, "1.jpg", "", "a plain colour", "train", True)
    write_captions(folder / "data/captions/captions.parquet", [caption])
    message = refused(project, folder, "tokenize_captions.py", out="data/tokens")
    assert "the vocabulary is larger than the text" in message


def wrong_type(folder: Path) -> None:
    edit(folder / "params.yaml", "batch_size: 32\n", "batch_size: many\n")


def unknown_key(folder: Path) -> None:
    edit(folder / "params.yaml", "  crop: none", "  crop: none\n  crops: 3")


@pytest.mark.parametrize("mistake", [wrong_type, unknown_key])
def test_a_mistyped_parameter(project: Path, folder: Path, mistake: Callable[[Path], None]) -> None:
    mistake(folder)
    message = refused(project, folder, "download.py", "coco", out="data/raw/coco")
    assert "params.yaml: features." in message
