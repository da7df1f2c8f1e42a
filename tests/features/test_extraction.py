"""The extraction loop with a small network in Inception's place: what it writes, however interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile
from ganscribe.execution.checkpoint import Interrupted
from ganscribe.features.extraction import extract_features, plan_extraction
from ganscribe.features.inception import Inception, compute_features, load_inception, prepare
from ganscribe.features.loading import calibration_images
from ganscribe.features.pictures import PREPROCESSING, load_image
from ganscribe.features.shards import ShardWriter, open_shards


class SmallNetwork(nn.Module):
    """Mean brightness of 8 x 8 cells times a row of weights, minus the batch's own size (so that a batch of
    another size would show)."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(2048, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight)
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        cells = nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 8) / 255
        return cells.flatten(1)[:, :, None] * self.weight - len(images)


def extract(folder: Path, name: str, files: list[ImageFile], **options: Any) -> Path:
    working, out = folder.parent / f"{name}-working", folder.parent / name
    working.mkdir(exist_ok=True)
    plan: dict[str, Any] = {
        "inception": Inception(SmallNetwork(), "small", "0" * 64),
        "precision": "fp32", "crop": "none", "batch_size": 3, "images_per_shard": 4,
    }  # fmt: skip
    run: dict[str, Any] = {"device": torch.device("cpu"), "max_bad_images": 0.0, "num_workers": 1}
    plan |= {name: options.pop(name) for name in plan if name in options}
    extraction = plan_extraction(files, folder=folder, working=working, **plan)
    extract_features(extraction, inception=plan["inception"], out=out, **(run | options))
    return out


def same_bytes(first: Path, second: Path) -> bool:
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_features_by_brute_force(folder: Path, files: list[ImageFile]) -> None:
    shards = open_shards(extract(folder, "out", files))
    network = SmallNetwork()
    images = [load_image(folder / f"{number}.jpg") for number in range(11)]
    # Batches of 3 in shards of 4: 3, 1; 3, 1; 3.
    batches = [images[0:3], images[3:4], images[4:7], images[7:8], images[8:11]]
    expected = torch.cat([network(torch.stack(batch)) for batch in batches]).half()
    assert torch.equal(shards.gather(range(11)), expected)
    assert shards.image_ids == [10 * number for number in range(11)]
    assert shards.metadata["weights"] == "small" and shards.metadata["precision"] == "fp32"
    cropped = [load_image(folder / f"{number}.jpg", crop="center") for number in range(3)]
    shards = open_shards(extract(folder, "cropped", files[:3], crop="center", precision="bf16"))
    assert torch.equal(shards.gather(range(3)), network(torch.stack(cropped)).half())
    assert (
        shards.metadata["preprocessing"] == PREPROCESSING["center"] and shards.metadata["precision"] == "bf16"
    )
    assert shards.metadata["decoder"] == "cpu"
    plan = plan_extraction(
        files, folder=folder, inception=Inception(network, "small", "0" * 64), precision="fp32", crop="none",
        decoder="gpu", batch_size=3, images_per_shard=4, working=folder,
    )  # fmt: skip
    assert plan.metadata["decoder"] == "gpu"


@pytest.mark.parametrize("num_shards", [0, 1, 2])
def test_an_interrupted_run_ends_with_the_same_bytes(
    folder: Path, files: list[ImageFile], num_shards: int
) -> None:
    whole = extract(folder, "whole", files, num_workers=3)
    batches = 0

    def is_stopping() -> bool:
        nonlocal batches
        batches += 1
        return batches == 2 * num_shards + 1

    with pytest.raises(Interrupted):
        extract(folder, "broken", files, is_stopping=is_stopping)
    assert not (folder.parent / "broken").exists()
    assert len(list((folder.parent / "broken-working").iterdir())) == num_shards
    (folder.parent / "broken-working/.shard-00002.parquet.1.tmp").touch()  # what a kill -9 leaves
    network = SmallNetwork()
    assert same_bytes(
        whole, extract(folder, "broken", files, inception=Inception(network, "small", "0" * 64))
    )
    assert network.calls == 5 - 2 * num_shards  # finished shards are not made again


@pytest.mark.parametrize("damage", ["cut off", "empty", "header of a page"])
@pytest.mark.parametrize("alone", [False, True])  # as an actor of Ray makes a shard
def test_a_shard_that_was_damaged_since_is_made_again(
    folder: Path, files: list[ImageFile], damage: str, alone: bool
) -> None:
    """`dvc repro -f` would take the same working folder."""
    whole, working = extract(folder, "whole", files), folder.parent / "broken-working"
    shutil.copytree(folder.parent / "whole-working", working)
    path = working / "shard-00001.parquet"
    content = path.read_bytes()
    left = {
        "cut off": content[:-40],
        "empty": b"",
        "header of a page": content[:4] + bytes(20) + content[24:],
    }
    path.write_bytes(left[damage])
    if alone:
        inception = Inception(SmallNetwork(), "small", "0" * 64)
        extraction = plan_extraction(
            files, folder=folder, working=working, inception=inception, precision="fp32", crop="none",
            batch_size=3, images_per_shard=4,
        )  # fmt: skip
        assert extraction.missing() == [1]
        pipeline = extraction.open_pipeline(inception, torch.device("cpu"))
        extraction.make_alone(1, pipeline=pipeline, num_workers=1)
        assert path.read_bytes() == content
    assert same_bytes(whole, extract(folder, "broken", files))


def test_the_order_of_the_images_and_the_workers_change_nothing(folder: Path, files: list[ImageFile]) -> None:
    whole = extract(folder, "whole", files, num_workers=1)
    for number, order in enumerate((files[::-1], files[5:] + files[:5])):
        assert same_bytes(whole, extract(folder, f"other-{number}", order, num_workers=2 + number))


def spoil(folder: Path, files: list[ImageFile]) -> None:
    """Spoil four pictures: one is cut off, one is not an image, one was never fetched, one has been deleted since."""
    (folder / "2.jpg").write_bytes((folder / "2.jpg").read_bytes()[:300])
    (folder / "5.jpg").write_text("no image")
    for number in (2, 5):
        name = f"{number}.jpg"
        files[number] = ImageFile(10 * number, name, 1, file_sha256(folder / name))
    (folder / "9.jpg").unlink()
    files[3] = ImageFile(30, "3.jpg", None, None, "HTTP 404")


def test_broken_images_are_rejected_by_name(folder: Path, files: list[ImageFile]) -> None:
    spoil(folder, files)
    out = extract(folder, "out", files, max_bad_images=0.4)
    rejected = pd.read_parquet(out / "rejected.parquet")
    assert list(rejected["image_id"]) == [20, 30, 50, 90]
    assert list(rejected["file_name"]) == ["2.jpg", "3.jpg", "5.jpg", "9.jpg"]
    assert "truncated" in rejected["reason"][0].lower() and rejected["reason"][1] == "HTTP 404"
    assert list(rejected["reason"][2:]) == ["corrupt: no image", "missing"]
    assert open_shards(out).image_ids == [0, 10, 40, 60, 70, 80, 100]
    # Interrupted after the first shard, whose rejected images are then read back from it.
    stops = iter([False, False, True])
    with pytest.raises(Interrupted):
        extract(folder, "again", files, max_bad_images=0.4, is_stopping=lambda: next(stops))
    assert same_bytes(out, extract(folder, "again", files, max_bad_images=0.4))
    (
        folder.parent / "again-working/shard-00000.parquet"
    ).unlink()  # as where another process made the later ones
    assert same_bytes(out, extract(folder, "again", files, max_bad_images=0.4))


def test_more_broken_images_than_the_budget_are_an_error(folder: Path, files: list[ImageFile]) -> None:
    spoil(folder, files)
    with pytest.raises(ValueError, match=r"3 of 11 images .* 2 are allowed \(2\.jpg: .*; 3\.jpg: .*; 5\.jpg"):
        extract(folder, "out", files, max_bad_images=0.2)
    assert not (folder.parent / "out").exists()


def test_the_budget_holds_for_shards_that_were_made_before(folder: Path, files: list[ImageFile]) -> None:
    """The actors of a cluster finish their shards when one has used the budget up: the next run finds all of them."""
    spoil(folder, files)
    inception, working = Inception(SmallNetwork(), "small", "0" * 64), folder.parent / "working"
    working.mkdir()
    plan = plan_extraction(
        files, folder=folder, inception=inception, precision="fp32", crop="none", batch_size=3, images_per_shard=4,
        working=working,
    )  # fmt: skip
    pipeline = plan.open_pipeline(inception, torch.device("cpu"))
    for number in plan.missing():
        plan.make_alone(number, pipeline=pipeline, num_workers=1)
    out = folder.parent / "out"
    with pytest.raises(ValueError, match=f"{folder}: 4 of 11 images are missing or broken, 2 are allowed"):
        extract_features(
            plan, inception=inception, device=torch.device("cpu"), max_bad_images=0.2, out=out, num_workers=1
        )
    assert not out.exists() and not plan.missing()


def test_a_whole_shard_of_broken_images(folder: Path, files: list[ImageFile]) -> None:
    files[:4] = [ImageFile(10 * n, f"{n}.jpg", None, None, "missing") for n in range(4)]
    assert len(open_shards(extract(folder, "out", files, max_bad_images=0.4))) == 7


def test_a_changed_image_is_an_error(folder: Path, files: list[ImageFile]) -> None:
    Image.new("RGB", (9, 9)).save(folder / "6.jpg")
    with pytest.raises(OSError, match=r"6\.jpg has changed since it was fetched"):
        extract(folder, "out", files, max_bad_images=1.0)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_other_slices_change_no_more_than_rounding(
    folder: Path, files: list[ImageFile], precision: str, tolerance: float
) -> None:
    """The real network gets the images all at once, in other slices, and in another order."""
    files = files[:5]
    images = calibration_images(files, folder, crop="none")
    random = load_inception(None, calibration_images=images)
    inception = prepare(random, precision=precision, device=torch.device("cpu"))
    whole = compute_features(inception, images).float()
    for parts in (images.split(1), images.split(2), images.split(4)):
        found = torch.cat([compute_features(inception, part) for part in parts]).float()
        assert (found - whole).abs().max() <= tolerance * whole.abs().max()
    assert torch.equal(compute_features(inception, images), whole.half())  # the same slices: the same bits


def test_an_image_that_vanishes_in_the_middle_is_named(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(content: bytes, *, crop: str) -> torch.Tensor:
        (folder / "10.jpg").unlink(missing_ok=True)  # while the first is being decoded
        return load_image(content, crop=crop)

    monkeypatch.setattr("ganscribe.features.loading.load_image", vanish)
    with pytest.raises(ValueError, match=r"10\.jpg.*missing"):
        extract(folder, "out", files)
    assert not (folder.parent / "out").exists()
    assert [path.name for path in sorted((folder.parent / "out-working").iterdir())] == [
        "shard-00000.parquet",
        "shard-00001.parquet",
    ]


def test_a_shard_that_cannot_be_written_ends_the_extraction(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writing thread's error ends the extraction, and what was written before is kept."""
    write = ShardWriter.write

    def full(self: ShardWriter, shard: int, **columns: Any) -> Path:
        if shard == 1:
            raise OSError(28, "No space left on device")
        return write(self, shard, **columns)

    monkeypatch.setattr(ShardWriter, "write", full)
    with pytest.raises(OSError, match="No space left"):
        extract(folder, "out", files)
    assert not (folder.parent / "out").exists()
    kept = sorted(path.name for path in (folder.parent / "out-working").iterdir())
    assert kept == ["shard-00000.parquet", "shard-00002.parquet"]
    monkeypatch.undo()
    assert len(open_shards(extract(folder, "out", files))) == 11


@pytest.mark.parametrize("step", ["write_inception", "link_or_copy"])
def test_shards_are_not_lost_where_they_cannot_be_published(
    folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(f"ganscribe.features.extraction.{step}", full)
        extract(folder, "out", files)
    assert not (folder.parent / "out").exists()
    network = SmallNetwork()
    out = extract(folder, "out", files, inception=Inception(network, "small", "0" * 64))
    assert len(open_shards(out)) == 11 and network.calls == 0
