"""MS-COCO's captions file, read with every check."""

from __future__ import annotations

import reprlib
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from ganscribe.core.files import read_json

ANNOTATIONS = Path("annotations/captions_train2014.json")


IMAGES_URL = "http://images.cocodataset.org/train2014/"


MAX_CAPTION = 10_000  # characters: a training holds every caption at the length of the longest


class Caption(NamedTuple):
    """One caption of the publisher's file, with its image."""

    image_id: int
    caption_id: int
    file_name: str
    url: str
    caption: str


def read_annotations(path: str | Path) -> list[Caption]:
    """The captions of a COCO captions file, by caption id.

    Raises ValueError for broken JSON, wrong types, double ids, unsafe file names, captions without an image
    and empty captions: all kinds in one message, the first few of them by name.
    """
    path = Path(path)
    try:
        document = read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `dvc repro download@coco`") from None
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    ):
        raise ValueError(f"{path} is not a COCO captions file: it lacks the lists `images` and `annotations`")
    problems: list[str] = []
    images = _read_images(document["images"], problems)
    captions = _read_captions(document["annotations"], images, problems)
    if not captions and not problems:
        problems.append("it has no captions")
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise ValueError(f"{path}: " + "; ".join(problems[:5]) + more + ". Correct or remove these entries")
    return captions


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _found(entry: object, key: str) -> str:
    """What an entry has instead of `key`, for a message."""
    if not isinstance(entry, dict):
        return f"the entry is {reprlib.repr(entry)}"
    return f"it is {reprlib.repr(entry[key])}" if key in entry else "it is missing"


def _is_plain_name(name: object) -> bool:
    """Whether `name` names a file in a folder, and cannot lead out of it."""
    if not isinstance(name, str) or name in ("", ".", "..") or not name.isprintable():
        return False
    if len(name.encode()) > 200:  # of the 255 that a file system has; ours adds a suffix for a while
        return False
    return PurePosixPath(name).name == name and PureWindowsPath(name).name == name


def _is_unicode(text: str) -> bool:
    """False for lone surrogates, which JSON can spell (`\\ud800`) and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_url(url: object) -> bool:
    """Whether it may be asked for; None and "" stand for the publisher's own."""
    return url is None or (isinstance(url, str) and len(url) <= 2000 and _is_unicode(url))


def _read_images(entries: list[Any], problems: list[str]) -> dict[int, tuple[str, str]]:
    """File name and URL by image id."""
    images: dict[int, tuple[str, str]] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            problems.append(f"images[{index}] has no whole-number `id`: {_found(entry, 'id')}")
        elif not _is_plain_name(entry.get("file_name")):
            found = _found(entry, "file_name")
            problems.append(f"image {entry['id']} has no plain `file_name`: {found}")
        elif entry["id"] in images:
            problems.append(f"image id {entry['id']} occurs twice")
        elif not _is_url(url := entry.get("coco_url")):
            problems.append(f"image {entry['id']} has a `coco_url` that is none: {reprlib.repr(url)}")
        else:
            url = url or IMAGES_URL + entry["file_name"]
            images[entry["id"]] = (entry["file_name"], url)
    names = Counter(name for name, _ in images.values())
    problems += [
        f"the file name {name} belongs to {count} images" for name, count in names.items() if count > 1
    ]
    return images


def _read_captions(
    entries: list[Any], images: dict[int, tuple[str, str]], problems: list[str]
) -> list[Caption]:
    captions: dict[int, Caption] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_id(entry.get("id")):
            problems.append(f"annotations[{index}] has no whole-number `id`: {_found(entry, 'id')}")
            continue
        caption_id, image_id, text = entry["id"], entry.get("image_id"), entry.get("caption")
        if caption_id in captions:
            problems.append(f"caption id {caption_id} occurs twice")
        elif not _is_id(image_id) or image_id not in images:
            image = reprlib.repr(image_id)
            problems.append(f"caption {caption_id} is of an image that is not listed: {image}")
        elif not isinstance(text, str) or not _is_unicode(text):
            problems.append(f"caption {caption_id} of image {image_id} is not text: {reprlib.repr(text)}")
        elif not text.strip():
            problems.append(f"caption {caption_id} of image {image_id} ({images[image_id][0]}) is empty")
        elif len(text) > MAX_CAPTION:
            size = f"{len(text):,} characters, more than {MAX_CAPTION:,}"
            problems.append(f"caption {caption_id} of image {image_id} has {size}")
        else:
            captions[caption_id] = Caption(image_id, caption_id, *images[image_id], text)
    return [captions[caption_id] for caption_id in sorted(captions)]
