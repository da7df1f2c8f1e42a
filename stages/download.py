"""Get one data set, or the weights of a network, check it, list it with its checksums."""

from __future__ import annotations

from _common import stage

from pathlib import Path

import click

from ganscribe import config
from ganscribe.sources.acquire import acquire


@stage
@click.argument("name")
def main(name: str) -> None:
    """Get the data set or the weights NAME of params.yaml."""
    source = config.load("source", name)
    acquire(
        name,
        source=source.source,
        folder=source.folder,
        destination=Path("data/raw") / name,
        scenes=source.scenes,
        seed=source.seed,
        archive=source.archive,
    )


if __name__ == "__main__":
    main()
