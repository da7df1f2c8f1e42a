"""Images of the chosen captions: from a server of our own, out of an archive, in place."""

from __future__ import annotations

import http.server
import io
import json
import random
import shutil
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from PIL import Image

from ganscribe.core.files import file_sha256
from ganscribe.datasets.captions import SelectedCaption
from ganscribe.datasets.coco_images import chosen_images, fetch_images
from ganscribe.datasets.image_files import read_image_files
from ganscribe.sources.inspection import inspect_coco


def test_each_image_is_chosen_once() -> None:
    captions = [
        SelectedCaption(image, caption, f"{image}.jpg", f"http://x/{image}.jpg", "a dog", "train", True)
        for image, caption in ((2, 20), (1, 10), (2, 21))
    ]
    assert chosen_images(captions) == [(1, "1.jpg", "http://x/1.jpg"), (2, "2.jpg", "http://x/2.jpg")]


def jpeg(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8), colour).save(stream, format="JPEG")
    return stream.getvalue()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = jpeg(zlib.crc32(self.path.encode()) % 256)
            if "portal" in self.path and "mirror" not in self.path:
                body = b"<!doctype html><title>Log in</title>" if asked.count(self.path) == 1 else jpeg(7)
            self.send_response(404 if "missing" in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    return tmp_path / "project"


def inspect_coco_archive(path: Path) -> None:
    """Count the images of an archive as stage download does."""
    (path.parent / "annotations").mkdir(exist_ok=True)
    listing = {
        "images": [{"id": 0, "file_name": "0.jpg"}],
        "annotations": [{"id": 1, "image_id": 0, "caption": "a"}],
    }
    (path.parent / "annotations/captions_train2014.json").write_text(json.dumps(listing))
    inspect_coco(path.parent, archive=True)


def fetch(project: Path, images: list[tuple[int, str, str]], fetched: str, **options: Any) -> list[Any]:
    arguments: dict[str, Any] = {
        "source_folder": project / "train2014", "out": project / "coco", "listed": {}, "max_bad_images": 0.0,
    }  # fmt: skip
    return fetch_images(images, fetched=fetched, **(arguments | options))


def test_images_from_urls_resume_and_are_budgeted(
    project: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = server
    monkeypatch.setattr("ganscribe.datasets.coco_images.IMAGES_URL", f"{url}/mirror/")
    images = [(number, f"{number}.jpg", f"{url}/{number}.jpg") for number in range(5)]
    images.append((5, "missing.jpg", f"{url}/missing.jpg"))
    with pytest.raises(ValueError, match=r"missing\.jpg: .*HTTP 404"):
        fetch(project, images, "urls")
    assert not (project / "coco").exists()
    first = len(asked)
    assert "/mirror/missing.jpg" in asked
    files = fetch(project, images, "urls", max_bad_images=0.2)
    had = {path for path in asked[:first] if "missing" not in path}
    assert not had & set(asked[first:])  # what had arrived is not asked for again
    assert [file.file_name for file in files if file.sha256 is None] == ["missing.jpg"]
    assert files == read_image_files(project / "coco/images.parquet")
    for file in files[:5]:
        assert file_sha256(project / "coco/images" / file.file_name) == file.sha256
    assert sorted(path.name for path in (project / "coco/images").iterdir()) == [f"{n}.jpg" for n in range(5)]


def test_a_page_in_the_place_of_an_image_is_refused_and_asked_for_again(
    project: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = server
    monkeypatch.setattr("ganscribe.datasets.coco_images.IMAGES_URL", f"{url}/missing/")
    images = [(1, "1.jpg", f"{url}/1.jpg"), (2, "portal.jpg", f"{url}/portal.jpg")]
    with pytest.raises(ValueError, match=r"portal\.jpg: .*not an image, 36 bytes"):
        fetch(project, images, "urls")
    kept = project / ".checkpoints/downloads/coco-images"
    (kept / "portal.jpg").write_bytes(b"<!doctype html>, which an earlier edition kept")
    fetch(project, images, "urls")
    assert (project / "coco/images/portal.jpg").read_bytes() == jpeg(7)
    assert asked.count("/portal.jpg") == 2 and asked.count("/1.jpg") == 1


def test_another_choice_of_images_fetches_only_what_it_did_not_have(
    project: Path, server: tuple[str, list[str]]
) -> None:
    url, asked = server
    images = [(number, f"{number}.jpg", f"{url}/{number}.jpg") for number in range(6)]
    first = fetch(project, images[:4], "urls")
    shutil.rmtree(project / "coco")  # as DVC does before the stage runs again
    second = fetch(project, images[2:], "urls")
    assert sorted(asked) == [f"/{number}.jpg" for number in range(6)]  # each once
    assert second[:2] == first[2:] and [file.image_id for file in second] == [2, 3, 4, 5]
    assert sorted(path.name for path in (project / "coco/images").iterdir()) == [
        f"{n}.jpg" for n in range(2, 6)
    ]
    assert fetch(project, images, "urls")[:4] == first and len(asked) == 6


def test_images_out_of_the_archive(project: Path) -> None:
    with zipfile.ZipFile(project / "train2014.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"train2014/{number}.jpg", f"image {number}")
    images = [(number, f"{number}.jpg", "") for number in (3, 1, 7)]
    with pytest.raises(ValueError, match=r"7\.jpg: not in train2014\.zip"):
        fetch(project, images, "archive")
    files = fetch(project, images, "archive", max_bad_images=0.34)
    assert [(file.image_id, file.num_bytes) for file in files] == [(1, 7), (3, 7), (7, None)]
    assert sorted(path.name for path in (project / "coco/images").iterdir()) == ["1.jpg", "3.jpg"]
    assert not list(project.glob(".checkpoints/downloads/*/*.jpg"))  # no second copy of what the archive has
    (project / "train2014.zip").write_bytes((project / "train2014.zip").read_bytes()[:-30])
    with pytest.raises(ValueError, match="not a complete zip archive"):
        fetch(project, images, "archive")
    assert (project / "coco/images.parquet").exists()  # the old output is left alone


@pytest.mark.parametrize(
    "packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_archive_costs_images_of_the_budget_or_is_named(project: Path, packing: int) -> None:
    """Bytes changed at random, most of them in the list of members at its end."""
    path, rng, broken, refused = project / "train2014.zip", random.Random(0), 0, 0
    with zipfile.ZipFile(path, "w", packing) as archive:
        for number in range(2):
            archive.writestr(f"train2014/{number}.jpg", bytes([number]) * 40)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole) // 3 * rng.randrange(3), len(whole))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            images = [(number, f"{number}.jpg", "") for number in range(2)]
            inspect_coco_archive(path)
            files = fetch(project, images, "archive", max_bad_images=1.0)
            broken += sum(file.problem is not None for file in files)
        except ValueError as error:
            assert "train2014.zip" in str(error)
            refused += 1
    assert broken > 2 and refused > 2


def test_images_of_an_earlier_archive_are_not_taken_for_this_one_s(project: Path) -> None:
    """A fetch that was killed leaves what it has unpacked."""
    unpacked = project / ".checkpoints/downloads/coco-unpacked"
    unpacked.mkdir(parents=True)
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (unpacked / name).write_text(f"old {name}")
    with zipfile.ZipFile(project / "train2014.zip", "w") as archive:
        archive.writestr("train2014/1.jpg", "new 1.jpg")
        archive.writestr("train2014/2.jpg", "old 2.jpg")
    images = [(number, f"{number}.jpg", "") for number in (1, 2, 3)]
    files = fetch(project, images, "archive", max_bad_images=0.4)
    assert [file.problem for file in files] == [None, None, "not in train2014.zip"]
    assert (project / "coco/images/1.jpg").read_text() == "new 1.jpg"


def test_images_in_place_are_checked_and_never_written(project: Path) -> None:
    (project / "train2014").mkdir()
    (project / "train2014/1.jpg").write_bytes(b"one")
    images = [(1, "1.jpg", ""), (2, "2.jpg", "")]
    listed = {"1.jpg": file_sha256(project / "train2014/1.jpg"), "2.jpg": "0" * 64}
    with pytest.raises(
        ValueError, match=r"train2014: 1 of 2 images are missing or broken, 0 are allowed \(2\.jpg: missing"
    ):
        fetch(project, images, "in place", listed=listed)
    files = fetch(project, images, "in place", listed=listed, max_bad_images=0.5)
    assert [(file.file_name, file.num_bytes, file.problem) for file in files] == [
        ("1.jpg", 3, None),
        ("2.jpg", None, "missing"),
    ]
    assert [path.name for path in (project / "train2014").iterdir()] == ["1.jpg"]
    (project / "train2014/1.jpg").write_bytes(b"ONE")
    with pytest.raises(ValueError, match=r"1\.jpg has changed since download"):
        fetch(project, images, "in place", listed=listed, max_bad_images=0.5)


@pytest.mark.parametrize(("fetched", "folder"), [("urls", "coco-images"), ("archive", "coco-unpacked")])
def test_one_process_at_a_time_fetches_and_others_read_in_place(
    project: Path, fetched: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Experiments of a queue share the project's folder."""
    (project / "train2014").mkdir()
    (project / "train2014/1.jpg").write_bytes(b"one")
    with zipfile.ZipFile(project / "train2014.zip", "w") as archive:
        archive.write(project / "train2014/1.jpg", "train2014/1.jpg")
    images, lock = [(1, "1.jpg", "")], project / f".checkpoints/downloads/{folder}.lock"
    lock.parent.mkdir(parents=True)
    with filelock.FileLock(lock):
        with pytest.raises(ValueError, match="another process is fetching images"):
            fetch(project, images, fetched)
        assert fetch(project, images, "in place")[0].problem is None

    def remove(path: Path, **options: Any) -> None:
        if path.name == folder:
            with pytest.raises(filelock.Timeout):
                filelock.FileLock(lock, timeout=0).acquire()
        rmtree(path, **options)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", remove)
    if fetched == "archive":  # what another process has unpacked would go
        assert fetch(project, images, fetched)[0].num_bytes == 3


@pytest.mark.parametrize("name", ["{}", "coco/train2014/{}", "train2014\\{}"])
def test_an_archive_that_was_packed_otherwise(project: Path, name: str) -> None:
    """fetch_images finds what download has counted: without a folder, in another one, and with Windows' slashes."""
    with zipfile.ZipFile(project / "train2014.zip", "w") as archive:
        archive.writestr(name.format("1.jpg"), "image 1")
    (project / "annotations").mkdir()
    listing = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a"}],
    }
    (project / "annotations/captions_train2014.json").write_text(json.dumps(listing))
    _, counts = inspect_coco(project, archive=True)
    assert counts["files"] == 1
    (file,) = fetch(project, [(1, "1.jpg", "")], "archive")
    assert (project / "coco/images/1.jpg").read_text() == "image 1" and file.problem is None


@pytest.mark.parametrize("published", ["train2014/1.jpg", "1.jpg"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_member_stored_as_published_goes_before_others_of_its_name(
    project: Path, published: str, is_first: bool
) -> None:
    content = {published: "image 1", "masks/1.jpg": "a mask"}
    with zipfile.ZipFile(project / "train2014.zip", "w") as archive:
        for name in sorted(content, key=lambda name: (name == published) != is_first):
            archive.writestr(name, content[name])
    fetch(project, [(1, "1.jpg", "")], "archive")
    assert (project / "coco/images/1.jpg").read_text() == "image 1"


def test_a_member_that_unpacks_to_more_than_an_image_has_is_left_packed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganscribe.datasets.coco_images.MAX_IMAGE_BYTES", 100_000)
    with zipfile.ZipFile(project / "train2014.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train2014/1.jpg", bytes(100_000))
        archive.writestr("train2014/2.jpg", bytes(100_001))
    files = fetch(project, [(1, "1.jpg", ""), (2, "2.jpg", "")], "archive", max_bad_images=0.5)
    assert [file.problem for file in files] == [None, "100,001 bytes long"]
