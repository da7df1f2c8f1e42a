"""COCO captions: bad files named, choice and splits by brute force; images from a server of our own."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ganscribe.core.files import file_sha256
from ganscribe.datasets.captions import image_folder, read_captions, write_captions
from ganscribe.datasets.coco_images import chosen_images, fetch_images
from ganscribe.datasets.image_files import bad_image_budget, read_image_files
from ganscribe.datasets.selection import select_captions
from ganscribe.sources.annotations import ANNOTATIONS, Caption, read_annotations

DATA = Path(os.environ.get("GANSCRIBE_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))


def document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", "coco_url": "http://x/a.jpg"},
            {"id": 2, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 11, "image_id": 2, "caption": "two"},
            {"id": 10, "image_id": 1, "caption": "one\u2028line"},
        ],
    }


def written(folder: Path, content: object) -> Path:
    path = folder / "captions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read_annotations(tmp_path: Path) -> None:
    assert read_annotations(written(tmp_path, document())) == [
        Caption(1, 10, "a.jpg", "http://x/a.jpg", "one\u2028line"),
        Caption(2, 11, "b.jpg", "http://images.cocodataset.org/train2014/b.jpg", "two"),
    ]


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("annotations", {"id": 12, "image_id": 1, "caption": "  \n"}, r"12 of image 1 \(a\.jpg\) is empty"),
        ("annotations", {"id": 12, "image_id": 1, "caption": ""}, "is empty"),
        ("annotations", {"id": 12, "image_id": 1, "caption": None}, "is no text"),
        ("annotations", {"id": 12, "image_id": 1, "caption": "\ud800"}, "is no text"),
        ("annotations", {"id": 12, "image_id": 9, "caption": "x"}, "not listed: 9"),
        ("annotations", {"id": 10, "image_id": 1, "caption": "x"}, "caption id 10 occurs twice"),
        ("annotations", {"id": "12", "image_id": 1, "caption": "x"}, r"annotations\[2\] has no whole-number"),
        ("annotations", 5, r"annotations\[2\]"),
        ("images", {"id": 1, "file_name": "c.jpg"}, "image id 1 occurs twice"),
        ("images", {"id": 3, "file_name": "b.jpg"}, "belongs to 2 images"),
        ("images", {"id": 3, "file_name": "../b.jpg"}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": "c:\\b.jpg"}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": ".."}, "no plain `file_name`"),
        ("images", {"id": True, "file_name": "c.jpg"}, "whole-number"),
        ("images", {"id": 3, "file_name": "c" * 201}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": "c.jpg", "coco_url": "\ud800"}, "a `coco_url` that is none"),
        ("images", {"id": 3, "file_name": "c.jpg", "coco_url": 7}, "a `coco_url` that is none: 7"),
        ("images", {"id": float("nan"), "file_name": "c.jpg"}, "whole-number"),
        ("annotations", {"id": 12, "image_id": 1, "caption": "a " * 500_000}, "has 1,000,000 char"),
        ("annotations", {"id": 12, "image_id": 1, "caption": ["x"] * 1_000_000}, "is no text"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_named(tmp_path: Path, part: str, entry: object, message: str) -> None:
    content = document()
    content[part].append(entry)
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(written(tmp_path, content))
    assert len(str(error.value)) < 500


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    for content, message in [
        (json.dumps(document())[:-20], "no valid JSON"),
        ("[]", "no COCO captions file"),
        ('{"images": [], "annotations": {}}', "no COCO captions file"),
        ('{"images": [], "annotations": []}', "no captions"),
        ("[" * 100_000, "no valid JSON"),
        ('{"images": ' * 100_000, "no valid JSON"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "no valid JSON"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_annotations(written(tmp_path, content))
    (tmp_path / "latin.json").write_bytes(json.dumps(document()).encode().replace(b"two", b"caf\xe9"))
    with pytest.raises(ValueError, match=r"latin\.json is no valid JSON"):
        read_annotations(tmp_path / "latin.json")
    with pytest.raises(FileNotFoundError, match="download@coco"):
        read_annotations(tmp_path / "none.json")


def captions(num_images: int = 50) -> list[Caption]:
    return [
        Caption(image, 5 * image + index, f"{image}.jpg", f"u{image}", f"caption {index} of {image}")
        for image in range(num_images)
        for index in range(5)
    ]


def test_split_by_image() -> None:
    every = captions()
    selected = select_captions(every, seed=3, count=100, split=(0.8, 0.1, 0.1), split_by="image")
    kept = [caption for caption in selected if caption.kept]
    assert len(kept) == 100 == len({caption.caption_id for caption in kept})
    assert [caption.kept for caption in selected] == sorted((c.kept for c in selected), reverse=True)
    images = {name: {c.image_id for c in selected if c.split == name} for name in ("train", "val", "test")}
    assert not images["train"] & images["val"] and not (images["train"] | images["val"]) & images["test"]
    total = len({caption.image_id for caption in kept})
    assert [len(images[name]) for name in images] == pytest.approx(
        [0.8 * total, 0.1 * total, 0.1 * total], abs=1
    )
    for name in ("val", "test"):  # every caption of an evaluated image is a reference
        expected = {caption.caption_id for caption in every if caption.image_id in images[name]}
        assert {caption.caption_id for caption in selected if caption.split == name} == expected
    assert all(caption.kept for caption in selected if caption.split == "train")


def test_split_by_caption_leaks_as_the_tutorial_does() -> None:
    every = captions()
    selected = select_captions(every, seed=3, count=200, split=(0.8, 0.2, 0.0), split_by="caption")
    kept = [caption for caption in selected if caption.kept]
    assert [c.split for c in kept] == ["train"] * 160 + ["val"] * 40
    train = {caption.image_id for caption in kept if caption.split == "train"}
    val = {caption.image_id for caption in kept if caption.split == "val"}
    assert len(train & val) > len(val) / 2
    references = [caption for caption in selected if caption.split == "val"]
    assert len(references) == len({c.caption_id for c in references}) == 5 * len(val)


def test_the_choice_depends_on_the_seed_alone() -> None:
    def choose(every: list[Caption], seed: int) -> list[Any]:
        return select_captions(every, seed=seed, count=60, split=(0.5, 0.25, 0.25), split_by="image")

    assert choose(captions(), 1) == choose(captions()[::-1], 1) != choose(captions(), 2)
    longer = select_captions(captions(), seed=1, count=90, split=(0.5, 0.25, 0.25), split_by="image")
    assert [c.caption_id for c in longer if c.kept][:60] == [
        c.caption_id for c in choose(captions(), 1) if c.kept
    ]


def test_bad_choices_are_named() -> None:
    with pytest.raises(ValueError, match="leaves val empty"):
        select_captions(captions(3), seed=0, count=99, split=(0.9, 0.05, 0.05), split_by="image")
    with pytest.raises(ValueError, match="split_by 'file' is unknown"):
        select_captions(captions(3), seed=0, count=99, split=(0.4, 0.3, 0.3), split_by="file")


def test_captions_file(tmp_path: Path) -> None:
    selected = select_captions(captions(), seed=0, count=60, split=(0.5, 0.25, 0.25), split_by="image")
    write_captions(tmp_path / "captions.parquet", selected)
    assert read_captions(tmp_path / "captions.parquet") == selected
    frame = pd.read_parquet(tmp_path / "captions.parquet")
    assert list(frame.columns) == ["image_id", "caption_id", "file_name", "url", "caption", "split", "kept"]
    assert chosen_images(selected) == sorted({(c.image_id, c.file_name, c.url) for c in selected})


def test_image_folder() -> None:
    assert image_folder("local", "/photos") == Path("/photos/train2014")
    assert image_folder("sample", None) == Path("data/raw/coco/train2014")
    assert image_folder("download", None) == image_folder("local", "/photos", archive=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = f"bytes of {self.path}".encode()
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
    with pytest.raises(ValueError, match="no whole zip archive"):
        fetch(project, images, "archive")
    assert (project / "coco/images.parquet").exists()  # the old output is left alone


def test_images_in_place_are_checked_and_never_written(project: Path) -> None:
    (project / "train2014").mkdir()
    (project / "train2014/1.jpg").write_bytes(b"one")
    images = [(1, "1.jpg", ""), (2, "2.jpg", "")]
    listed = {"1.jpg": file_sha256(project / "train2014/1.jpg"), "2.jpg": "0" * 64}
    with pytest.raises(
        ValueError, match=r"1 of 2 images are missing or broken, 0 are allowed \(2\.jpg: missing"
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


def test_budget() -> None:
    assert [bad_image_budget(*case) for case in [(1000, 0.001), (999, 0.001), (100, 0.29), (5, 0)]] == [
        1,
        0,
        29,
        0,
    ]


@pytest.mark.skipif(not (DATA / "coco").exists(), reason="no COCO data here")
def test_real_annotations() -> None:
    every = read_annotations(DATA / "coco" / ANNOTATIONS)
    assert len(every) == 5690
    selected = select_captions(every, seed=0, count=30000, split=(0.9, 0.05, 0.05), split_by="image")
    counts = pd.Series([caption.split for caption in selected]).value_counts()
    assert dict(counts) == {"train": 5120, "val": 285, "test": 285}
