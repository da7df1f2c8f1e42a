"""The judge-FID of the generators kept along the runs, beside what their critics said at the time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from _common import stage
from ganscribe import config, records
from ganscribe.convnets import load_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import write_csv
from ganscribe.datasets.images import read_images
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.experiments import COMPARED_RUN, WASSERSTEIN_RUNS
from ganscribe.experiments.snapshots import score_snapshots
from ganscribe.metrics.images import classifier_extractor
from ganscribe.records.lineage.run_key import run_key

TABLE = Path("data/diagnostics/snapshots.csv")


@stage
def main() -> None:
    """Score the snapshots of the Wasserstein runs and of the GAN that they are compared with."""
    settings = config.load("snapshot_scoring")
    runs = (*WASSERSTEIN_RUNS, COMPARED_RUN)
    judge = Path("models/classifiers", settings.dataset, settings.judge, "model.pt")
    test = Path("data", settings.dataset, "test.parquet")
    inputs = [judge, test]
    for run in runs:
        inputs += [Path("models/gan", run, "snapshots"), Path("curves/gan", f"{run}.csv")]
    key = run_key(Path(__file__), asdict(settings), inputs)
    extractor = classifier_extractor(load_classifier(judge).to(choose_device()))
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run(
            "score_snapshots",
            params=asdict(settings),
            inputs=[str(judge.parent), str(test), *(f"models/gan/{run}" for run in runs)],
            run_key=key,
        ) as tracked,
    ):
        rows = score_snapshots(
            runs,
            read_images(test).images,
            extractor,
            models=Path("models/gan"),
            curves=Path("curves/gan"),
            num_samples=settings.num_samples,
            seed=settings.seed,
            device=choose_device(),
            checkpoint=checkpoint,
        )
        write_csv(TABLE, rows)
        tracked.log_files(TABLE)


if __name__ == "__main__":
    main()
