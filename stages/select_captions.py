"""Choose the captions and split them."""

from __future__ import annotations

from _common import stage

import click

from ganscribe import config
from ganscribe.core.files import atomic_folder
from ganscribe.datasets.captions import write_captions
from ganscribe.datasets.objects import OBJECTS_FILE, write_objects
from ganscribe.datasets.selection import select_captions
from ganscribe.sources.acquire import open_raw
from ganscribe.sources.annotations import ANNOTATIONS, read_annotations
from ganscribe.sources.objects import OBJECTS, read_objects


@stage
def main() -> None:
    """Choose the captions of params.yaml and split them; take over what is known of the images' objects."""
    source, captions = config.load("place", "coco"), config.load("captions")
    raw = open_raw("coco", "data/raw/coco", folder=source.folder)
    selected = select_captions(
        read_annotations(raw.path(ANNOTATIONS.as_posix())),
        seed=captions.seed,
        count=captions.count,
        split=captions.split,
        split_by=captions.split_by,
    )
    if not any(caption.split == "test" for caption in selected):
        click.echo(
            "Warning: captions.split leaves no test images: evaluate_captioner will have nothing to score",
            err=True,
        )
    with atomic_folder("data/captions") as folder:
        write_captions(folder / "captions.parquet", selected)
        if OBJECTS.as_posix() in raw.files:
            write_objects(folder / OBJECTS_FILE, read_objects(raw.path(OBJECTS.as_posix())))


if __name__ == "__main__":
    main()
