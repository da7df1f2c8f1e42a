"""The distances of two parallel segments, in closed form and as critics estimate them."""

from __future__ import annotations

from _common import stage

from dataclasses import asdict
from pathlib import Path

from ganscribe import config, records
from ganscribe.core.files import write_csv
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.experiments.distances import measure_distances
from ganscribe.records.lineage.run_key import run_key

TABLE = Path("data/diagnostics/parallel_lines.csv")


@stage
def main() -> None:
    """Train three critics at each distance of the two segments."""
    settings = config.load("parallel_lines")
    key = run_key(Path(__file__), asdict(settings), [])
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run("measure_distances", params=asdict(settings), inputs=[], run_key=key) as tracked,
    ):
        rows = measure_distances(
            settings.thetas,
            critic_steps=min(settings.critic_steps, settings.max_updates or settings.critic_steps),
            seed=settings.seed,
            checkpoint=checkpoint,
        )
        write_csv(TABLE, rows)
        tracked.log_files(TABLE)


if __name__ == "__main__":
    main()
