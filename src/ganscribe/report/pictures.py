"""The pictures of the page, with captions and descriptions."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

METHOD = 2  # of 0 to 6: files are hardly larger than with the default, 4, and take a third of the time
SMALL = 50_000  # bytes: smaller files stay lossless
LOSSY = 90  # WebP's quality for pictures that are like photographs
WORTH = 1 / 3  # of the lossless size: a lossy file must be smaller than this


def picture(path: Path, caption: str = "", *, alternative: str = "") -> dict[str, Any]:
    """Return what an `img` needs for the picture at `path`.

    It has a `data:` URL, so that the page needs no other file, the size, so that nothing moves while the page loads,
    the `caption`, and a description for those who do not see it. A still picture becomes WebP, without loss unless
    that is more than three times as large.
    """
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        size = {"width": image.width, "height": image.height}
        if not getattr(image, "is_animated", False):
            still = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
            lossless, lossy = io.BytesIO(), io.BytesIO()
            still.save(lossless, "WEBP", lossless=True, method=METHOD)
            content = lossless.getvalue()
            if len(content) > SMALL:
                still.save(lossy, "WEBP", quality=LOSSY)
                content = lossy.getvalue() if len(lossy.getvalue()) < WORTH * len(content) else content
    url = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    return {"url": url, **size, "caption": caption, "alternative": alternative or caption}


# The pictures of a GAN and of a classifier, in the order in which they are shown, and their captions.
GAN_SAMPLES = "plots/gan_scores/{run}/samples.png"
GAN_PICTURES = {
    GAN_SAMPLES: "Images that it drew.",
    "plots/gan_scores/{run}/neighbours.png": "On the left, images that it drew. To the right of each, the five "
    "training images that are nearest to it by pixels. An image that appears among them is a copy.",
    "plots/gan/{run}/animation.webp": "What it made of the same noise during the training.",
    "plots/gan/{run}/interpolation.png": "The way from one noise vector to another. Good generators change gradually.",
}
CLASSIFIER_PICTURES = {
    "plots/classifiers/{run}/confusion.png": "How often each class was taken for which class.",
    "plots/classifiers/{run}/mistakes.png": "Test images that were taken for another class, the worst first.",
}


def _encode(shown: Iterable[tuple[Path, str, str]]) -> list[dict[str, Any]]:
    """Return pictures, each given by its path, its caption and its description; Pillow encodes several at a time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda each: picture(each[0], each[1], alternative=each[2]), shown))


def pictures(root: Path, run: str, shown: dict[str, str]) -> list[dict[str, Any]]:
    """Return those of the pictures `shown` that the run has."""
    paths = {root / name.format(run=run): caption for name, caption in shown.items()}
    return _encode((path, caption, f"{run}: {caption}") for path, caption in paths.items() if path.exists())


def attention_figures(root: Path, run: str, *, count: int | None = None) -> list[dict[str, Any]]:
    """Return the figures of where a captioner looks, or the first `count`. The files contain the captions as text."""
    shown = []
    for path in sorted((root / "plots" / "captioner" / run).glob("*.png"))[:count]:
        with Image.open(path) as image:
            said = str(image.info.get("Description", "")).replace("\n", "; ")
        alternative = (
            f"Test image {int(path.stem)}, and where the network looked for each word of its caption: {said}"
        )
        shown.append((path, f"Test image {int(path.stem)}.", alternative))
    return _encode(shown)
