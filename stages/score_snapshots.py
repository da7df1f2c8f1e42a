"""The judge-FID of the generators kept along the runs, beside what their critics said at the time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from _common import stage
from ganscribe import config, tracking
from ganscribe.checkpoint import open_checkpoint
from ganscribe.convnets import load_classifier
from ganscribe.data.images import read_images
from ganscribe.diagnostics import COMPARED_RUN, WASSERSTEIN_RUNS
from ganscribe.diagnostics.snapshots import score_snapshots
from ganscribe.metrics.images import classifier_extractor
from ganscribe.provenance import run_key
from ganscribe.runtime import choose_device, write_csv

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
        tracking.stage_run(
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
