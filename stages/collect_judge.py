"""Put one of the classifiers that judge GANs beside the others, where evaluate_gan finds them all."""

from __future__ import annotations

from _common import stage

import shutil
from pathlib import Path

import click

from ganscribe.core.files import atomic_folder


@stage
@click.argument("name")
def main(name: str) -> None:
    """Copy the classifier NAME to data/judges.

    A stage's dependencies cannot be a list of parameters: this stage has one instance for each judge, and
    evaluate_gan depends on the folder. The classifier's run key is among its files, so that a judge whose code
    has changed is another one even where its weights are the same.
    """
    with atomic_folder(Path("data/judges", name)) as folder:
        for path in sorted(Path("models/classifiers", name).iterdir()):
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    main()
