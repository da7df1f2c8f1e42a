"""Choose the captions and split them."""

from __future__ import annotations

from _common import stage
from ganscribe import config
from ganscribe.data.coco import ANNOTATIONS, read_annotations, select_captions, write_captions
from ganscribe.data.sources import open_raw
from ganscribe.runtime import atomic_folder


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
