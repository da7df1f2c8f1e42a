"""Score all GANs by one judge, for the comparison of judges."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from _common import stage
from ganscribe import config, records
from ganscribe.convnets import load_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import write_csv
from ganscribe.datasets.images import read_images
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.metrics.images import classifier_extractor
from ganscribe.metrics.judging import judge_generators
from ganscribe.records.lineage.run_key import run_key


@stage
@click.argument("name")
def main(name: str) -> None:
    """Score every GAN on MNIST by the classifier network NAME."""
    settings = config.load("judging")
    table = Path("data/judged", f"{name}.csv")
    judge, test = Path("models/classifiers/mnist", name, "model.pt"), Path("data/mnist/test.parquet")
    files = {path.parent.name: path for path in sorted(Path("models/gan").glob("*/generator.pt"))}
    key = run_key(Path(__file__), asdict(settings), [judge, test, *files.values()])
    extractor = classifier_extractor(load_classifier(judge).to(choose_device()))
    inputs = [str(judge.parent), str(test), *(str(path.parent) for path in files.values())]
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run(
            f"judge_gans_{name}", params=asdict(settings), inputs=inputs, run_key=key
        ) as tracked,
    ):
        rows = judge_generators(
            files,
            read_images(test).images,
            extractor,
            num_samples=settings.num_samples,
            seed=settings.seed,
            device=choose_device(),
            checkpoint=checkpoint,
        )
        write_csv(table, rows)
        tracked.log_files(table)


if __name__ == "__main__":
    main()
