"""What one of the six experiments found: a table, a figure, a caption, a few numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from _common import stage
from ganscribe import records
from ganscribe.core.files import atomic_folder, atomic_write, write_csv, write_json
from ganscribe.experiments import comparisons, figures, findings
from ganscribe.experiments.findings import Finding

MEASURED = Path("data/diagnostics")
GRADIENTS, LINES, SNAPSHOTS = (
    MEASURED / f"{name}.csv" for name in ("gradients", "parallel_lines", "snapshots")
)


PAIRED_RUNS = [run for pair in comparisons.BATCH_NORM_PAIRS.values() for run in pair]
ADAM_RUNS = list(comparisons.OPTIMISER_RUNS.values())


def scores_path(run: str) -> str:
    return f"metrics/gan/{run}.json"


def curve_path(run: str) -> str:
    return f"curves/gan/{run}.csv"


def samples_path(run: str) -> str:
    return f"plots/gan_scores/{run}/samples.png"


def read_scores(runs: list[str]) -> dict[str, dict[str, Any]]:
    return {run: json.loads(Path(scores_path(run)).read_text()) for run in runs}


def gradient_vanishing(figure: Path) -> Finding:
    finding = findings.gradient_vanishing(pd.read_csv(GRADIENTS))
    titles = {"saturating_norm": "gradient norm of log(1 - D(G(z)))"}
    figures.draw_gradients(finding.table, figure, columns=titles)
    return finding


def gradient_instability(figure: Path) -> Finding:
    finding = findings.gradient_instability(pd.read_csv(GRADIENTS))
    titles = {
        "nonsaturating_norm": "gradient norm of -log D(G(z))",
        "nonsaturating_variance": "its variance over noise batches",
    }
    figures.draw_gradients(finding.table, figure, columns=titles)
    return finding


def parallel_lines(figure: Path) -> Finding:
    finding = findings.parallel_lines(pd.read_csv(LINES))
    figures.draw_parallel_lines(finding.table, figure)
    return finding


def critic_tracks_quality(figure: Path) -> Finding:
    finding = findings.critic_tracks_quality(pd.read_csv(SNAPSHOTS))
    figures.draw_tracking(finding.table, figure)
    return finding


def without_batch_norm(figure: Path) -> Finding:
    finding = comparisons.without_batch_norm(read_scores(PAIRED_RUNS))
    rows = finding.table.to_dict("records")
    titles = [f"{row['run']}: FID {row['fid']:.1f}, {row['modes']} modes" for row in rows]
    pictures = {title: Path(samples_path(row["run"])) for title, row in zip(titles, rows, strict=True)}
    figures.draw_pictures(pictures, figure)
    return finding


def adam_on_wgan(figure: Path) -> Finding:
    curves = {run: pd.read_csv(curve_path(run)) for run in ADAM_RUNS}
    finding = comparisons.adam_on_wgan(curves, read_scores(ADAM_RUNS))
    figures.draw_optimisers(finding.table, figure)
    return finding


# An experiment draws its figure, and names the files that it reads.
EXPERIMENTS: dict[str, tuple[Callable[[Path], Finding], list[str]]] = {
    "gradient_vanishing": (gradient_vanishing, [str(GRADIENTS)]),
    "gradient_instability": (gradient_instability, [str(GRADIENTS)]),
    "parallel_lines": (parallel_lines, [str(LINES)]),
    "critic_tracks_quality": (critic_tracks_quality, [str(SNAPSHOTS)]),
    "without_batch_norm": (
        without_batch_norm,
        [*map(scores_path, PAIRED_RUNS), *map(samples_path, PAIRED_RUNS)],
    ),
    "adam_on_wgan": (adam_on_wgan, [*map(curve_path, ADAM_RUNS), *map(scores_path, ADAM_RUNS)]),
}


# What `dvc metrics show` has of each: few and short names; all numbers lie beside the figure.
HEADLINES: dict[str, dict[str, str]] = {
    "gradient_vanishing": {"orders": "orders_of_magnitude"},
    "gradient_instability": {"growth": "norm_growth"},
    "parallel_lines": {"js_error": "js_estimate_max_distance_from_log2", "gp_slope": "gp_slope"},
    "critic_tracks_quality": {"rho": "rho_wasserstein", "rho_gan": "rho_gan"},
    "without_batch_norm": {"wgan_lead": "wgan_fid_lead_without_batch_norm"},
    "adam_on_wgan": {"uphill": "negative_cosine_share_adam"},
}


@stage
@click.argument("name")
def main(name: str) -> None:
    """Say what the experiment NAME found."""
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment {name!r} is unknown: choose one of {', '.join(EXPERIMENTS)}")
    experiment, inputs = EXPERIMENTS[name]
    plots = Path("plots/diagnostics", name)
    params = {"experiment": name}
    with records.stage_run(f"diagnose_{name}", params=params, inputs=inputs) as tracked:
        with atomic_folder(plots) as folder:
            finding = experiment(folder / "figure.png")
            write_json(folder / "numbers.json", finding.metric)
            write_csv(folder / "table.csv", finding.table.to_dict("records"))
            with atomic_write(folder / "caption.txt") as handle:
                handle.write((finding.caption + "\n").encode())
        headline = {
            short: finding.metric[key] for short, key in HEADLINES[name].items() if key in finding.metric
        }
        write_json(f"metrics/diagnostics/{name}.json", headline)
        tracked.score(finding.metric)
        tracked.log_files(plots, folder="diagnostics")


if __name__ == "__main__":
    main()
