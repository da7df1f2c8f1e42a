"""Features on a card: the plain network's numbers, the same bytes twice, JPEGs that the card decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features import extraction, loading
from ganscribe.features.extraction import extract_features, plan_extraction
from ganscribe.features.inception import Inception, compute_features, load_inception, prepare
from ganscribe.features.loading import RejectedImage, decode_on_card, load_images
from ganscribe.features.pictures import load_image
from ganscribe.features.shards import open_shards

CUDA = torch.device("cuda")
BATCH_SIZE, A_SHARD = 4, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-three JPEGs: the sixth is cut off, the seventh grey, the eighth CMYK, the ninth turned."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(23):
        small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        picture = small.resize((400 + 9 * number, 300), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if number == 8:
            exif[0x0112] = 6
        picture = picture.convert({6: "L", 7: "CMYK"}.get(number, "RGB"))
        picture.save(folder / f"{number}.jpg", quality=90, exif=exif)
    (folder / "5.jpg").write_bytes((folder / "5.jpg").read_bytes()[:-2000])
    return folder


@pytest.fixture(scope="module")
def files(folder: Path) -> list[ImageFile]:
    names = [f"{number}.jpg" for number in range(23)]
    return [ImageFile(number, name, 1, file_sha256(folder / name)) for number, name in enumerate(names)]


def network(folder: Path, precision: str) -> Inception:
    images = torch.stack([load_image(folder / f"{number}.jpg") for number in range(4)])
    return prepare(load_inception(None, calibration_images=images), precision=precision, device=CUDA)


def extract(
    folder: Path, files: list[ImageFile], out: Path, *, decoder: str = "cpu", precision: str = "bf16"
) -> Path:
    inception, working = network(folder, precision), out.parent / f"{out.name}-working"
    working.mkdir()
    plan: dict[str, Any] = {
        "folder": folder, "inception": inception, "precision": precision, "crop": "none", "decoder": decoder,
        "batch_size": BATCH_SIZE, "images_per_shard": A_SHARD, "working": working,
    }  # fmt: skip
    extract_features(
        plan_extraction(files, **plan), inception=inception, device=CUDA, max_bad_images=0.1, out=out
    )
    return out


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_features_are_those_of_the_plain_network(
    folder: Path, files: list[ImageFile], tmp_path: Path, precision: str
) -> None:
    shards = open_shards(extract(folder, files, tmp_path / "out", precision=precision))
    assert shards.image_ids == [number for number in range(23) if number != 5]
    images = torch.stack([load_image(folder / name) for name in shards.file_names])
    found, expected = (
        shards.gather(range(22)).float(),
        compute_features(network(folder, precision), images.to(CUDA)).float(),
    )
    assert (found - expected).abs().max() <= (2e-2 if precision == "bf16" else 2e-3) * expected.abs().max()


@pytest.mark.parametrize("decoder", ["cpu", "gpu"])
def test_the_bytes_are_the_same_twice(
    folder: Path, files: list[ImageFile], tmp_path: Path, decoder: str
) -> None:
    outs = [extract(folder, files, tmp_path / name, decoder=decoder) for name in ("one", "two")]
    names = sorted(path.name for path in outs[0].iterdir())
    assert "shard-00002.parquet" in names and "rejected.parquet" in names
    assert all((outs[0] / name).read_bytes() == (outs[1] / name).read_bytes() for name in names)


def test_a_card_decodes_what_the_cpu_does(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma is scaled up in another way: levels differ at edges, on average by less than one and a half."""
    by_cpu = list(load_images(files, folder, crop="none", num_workers=2))
    loaded = list(load_images(files, folder, crop="none", num_workers=2, decoder="gpu"))
    monkeypatch.setattr(loading, "_decoded", None)  # the CPU, which would take the card's place
    by_card = decode_on_card(loaded, CUDA, crop="none")
    for (file, expected), (same, found) in zip(by_cpu, by_card, strict=True):
        assert file == same
        if isinstance(expected, RejectedImage):
            assert found == expected and file.image_id == 5
        else:
            assert isinstance(found, torch.Tensor) and found.device.type == "cuda"
            difference = (found.cpu().float() - expected.float()).abs()
            assert difference.mean() < 1.5, file.file_name
            assert file.image_id not in (6, 7, 8) or difference.max() == 0


def test_a_card_decodes_once_it_has_read_the_pictures_before(folder: Path, files: list[ImageFile]) -> None:
    """Pictures that are only queued to be read, and are then let go, keep their values until they have been."""
    loaded = list(load_images(files[:4], folder, crop="none", num_workers=1, decoder="gpu"))
    decode_on_card(loaded, CUDA, crop="none")  # the first decoding takes long
    before = [
        torch.full((3, 300, 400 + 9 * number), 7, device=CUDA, dtype=torch.uint8) for number in range(4)
    ]
    expected = [7 * picture.numel() for picture in before]
    torch.cuda._sleep(1_000_000_000)  # half a second
    sums = [picture.sum() for picture in before]
    del before
    decode_on_card(loaded, CUDA, crop="none")
    assert [int(each) for each in sums] == expected


def test_a_compiled_network_says_the_same(
    folder: Path, files: list[ImageFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_shards(extract(folder, files, tmp_path / "plain", decoder="gpu", precision="fp32"))
    monkeypatch.setattr(extraction, "COMPILE_FROM", 1)
    compiled = open_shards(extract(folder, files, tmp_path / "compiled", decoder="gpu", precision="fp32"))
    found, expected = compiled.gather(range(22)).float(), plain.gather(range(22)).float()
    assert (found - expected).abs().max() <= 2e-3 * expected.abs().max()
