"""Choose the captions and split them."""

from __future__ import annotations

from _common import stage
from ganscribe import config
from ganscribe.core.files import atomic_folder
from ganscribe.datasets.captions import write_captions
from ganscribe.datasets.selection import select_captions
from ganscribe.sources.acquire import open_raw
from ganscribe.sources.annotations import ANNOTATIONS, read_annotations


@stage
def main() -> None:
    """Choose the captions of params.yaml and split them."""
    source, captions = config.load("place", "coco"), config.load("captions")
    raw = open_raw("coco", "data/raw/coco", folder=source.folder)
    selected = select_captions(
        read_annotations(raw.path(ANNOTATIONS.as_posix())),
        seed=captions.seed,
        count=captions.count,
        split=captions.split,
        split_by=captions.split_by,
    )
    with atomic_folder("data/captions") as folder:
        write_captions(folder / "captions.parquet", selected)


if __name__ == "__main__":
    main()
