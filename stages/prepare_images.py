"""Write one image data set (mnist, cifar10) as Parquet, split into train, val and test."""

from __future__ import annotations

from _common import stage

from pathlib import Path

import click

from ganscribe import config
from ganscribe.core.files import atomic_folder
from ganscribe.datasets.prepare import image_doubts, prepare_images
from ganscribe.sources.acquire import check_files, open_raw


@stage
@click.argument("name", type=click.Choice(["mnist", "cifar10"]))
def main(name: str) -> None:
    """Prepare the image data set NAME: mnist or cifar10."""
    source = config.load("place", name)
    raw = open_raw(name, Path("data/raw") / name, folder=source.folder)
    check_files(raw)
    with atomic_folder(Path("data") / name) as folder:
        prepare_images(name, raw.root, folder, source=raw.source)
        for doubt in image_doubts(folder):
            click.echo(f"Warning: {name}: {doubt}", err=True)


if __name__ == "__main__":
    main()
