"""Get the images of the chosen captions."""

from __future__ import annotations

from _common import stage

from pathlib import Path, PurePosixPath

from ganscribe import config
from ganscribe.datasets.captions import read_captions
from ganscribe.datasets.coco_images import chosen_images, fetch_images
from ganscribe.sources.acquire import open_raw


@stage
def main() -> None:
    """Get the images of the chosen captions."""
    source = config.load("place", "coco")
    raw = open_raw("coco", "data/raw/coco", folder=source.folder)
    fetched = "urls" if source.source == "download" else "in place"
    if source.archive and source.source != "sample":
        raw.path("train2014.zip")  # unchanged since download
        fetched = "archive"
    fetch_images(
        chosen_images(read_captions("data/captions/captions.parquet")),
        source_folder=raw.root / "train2014",
        fetched=fetched,
        out=Path("data/coco"),
        listed={PurePosixPath(name).name: file.sha256 for name, file in raw.files.items()},
        max_bad_images=config.load("max_bad_images"),
    )


if __name__ == "__main__":
    main()
