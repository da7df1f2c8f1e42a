"""What the six experiments found: of each a table, a figure, a caption, a few numbers."""

from __future__ import annotations

from _common import stage

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from ganscribe import records
from ganscribe.core.files import atomic_folder, atomic_write, write_csv, write_json
from ganscribe.core.length import exercised_sentence, labels
from ganscribe.experiments import comparisons, figures, findings
from ganscribe.experiments.findings import Finding
from ganscribe.experiments.tracking import quality_along
from ganscribe.metrics.comparable import made_of

MEASURED = Path("data/diagnostics")  # what measure_gradients and measure_distances leave
SCORES, CURVES, SAMPLES = Path("data/gan_scores"), Path("curves/gan"), Path("plots/gan_scores")


class UnfitRunsError(ValueError):
    """An experiment compares runs that params.yaml no longer has, or whose scores cannot be compared."""


def read_scores(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the scores of the GANs that an experiment needs. Raises UnfitRunsError where some have gone."""
    missing = [run for run in runs if not (SCORES / run / "scores.json").exists()]
    if missing:
        raise UnfitRunsError(f"it compares {', '.join(missing)}, which gan.runs of params.yaml does not have")
    return {run: json.loads((SCORES / run / "scores.json").read_text()) for run in runs}


def read_comparable(runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the scores of GANs that are held against each other. Raises UnfitRunsError where they must not be."""
    scores = read_scores(runs)
    first = next(iter(scores))
    for run, each in scores.items():
        own, other = made_of("gan", each), made_of("gan", scores[first])
        differing = [key for key in own if own[key] != other[key]]
        if differing:
            raise UnfitRunsError(
                f"it compares the scores of {first} and {run}, which differ in {', '.join(differing)}"
            )
    return scores


def with_lengths(finding: Finding, scores: dict[str, dict[str, Any]]) -> Finding:
    """Say in the caption which of the runs were only exercised."""
    return replace(finding, caption=finding.caption + exercised_sentence(scores))


def read_gradients() -> pd.DataFrame:
    """Return the gradients that were measured, the paper's kind of network first. Raises UnfitRunsError."""
    tables = {path.stem: pd.read_csv(path) for path in sorted((MEASURED / "gradients").glob("*.csv"))}
    if findings.PAPER_RUN not in tables:
        raise UnfitRunsError(
            f"it is about {findings.PAPER_RUN}, which diagnostics.gradients.runs of params.yaml does not have"
        )
    return pd.concat([tables.pop(findings.PAPER_RUN), *tables.values()], ignore_index=True)


def gradient_vanishing(figure: Path) -> Finding:
    finding = findings.gradient_vanishing(read_gradients())
    titles = {"saturating_norm": "gradient norm of log(1 - D(G(z)))"}
    figures.draw_gradients(finding.table, figure, columns=titles)
    return finding


def gradient_instability(figure: Path) -> Finding:
    finding = findings.gradient_instability(read_gradients())
    titles = {
        "nonsaturating_norm": "gradient norm of -log D(G(z))",
        "nonsaturating_variance": "its variance over noise batches",
    }
    figures.draw_gradients(finding.table, figure, columns=titles)
    return finding


def parallel_lines(figure: Path) -> Finding:
    finding = findings.parallel_lines(pd.read_csv(MEASURED / "parallel_lines.csv"))
    figures.draw_parallel_lines(finding.table, figure)
    return finding


def critic_tracks_quality(figure: Path) -> Finding:
    runs = (*findings.WASSERSTEIN_RUNS, findings.COMPARED_RUN)
    scores = read_scores(runs)
    finding = findings.critic_tracks_quality(quality_along(runs, scores=SCORES, curves=CURVES))
    figures.draw_tracking(finding.table, figure, labels=labels(scores))
    return with_lengths(finding, scores)


def without_batch_norm(figure: Path) -> Finding:
    runs = [run for pair in comparisons.BATCH_NORM_PAIRS.values() for run in pair]
    scores = read_comparable(runs)
    without = [run for run, each in scores.items() if "modes" not in each]
    if without:
        raise UnfitRunsError(f"{', '.join(without)} lacks the score `modes`: not scored on all classes")
    finding, named = comparisons.without_batch_norm(scores), labels(scores)
    rows = finding.table.to_dict("records")
    titles = [f"{named[row['run']]}\nFID {row['fid']:.1f}, {row['modes']} modes" for row in rows]
    pictures = {title: SAMPLES / row["run"] / "samples.png" for title, row in zip(titles, rows, strict=True)}
    figures.draw_pictures(pictures, figure)
    return with_lengths(finding, scores)


def adam_on_wgan(figure: Path) -> Finding:
    runs = list(comparisons.OPTIMISER_RUNS.values())
    scores, curves = read_comparable(runs), {run: pd.read_csv(CURVES / f"{run}.csv") for run in runs}
    finding = comparisons.adam_on_wgan(curves, scores)
    named = {name: labels(scores)[run] for name, run in comparisons.OPTIMISER_RUNS.items()}
    figures.draw_optimisers(finding.table, figure, labels=named)
    return with_lengths(finding, scores)


# An experiment draws its figure.
EXPERIMENTS: dict[str, Callable[[Path], Finding]] = {
    "gradient_vanishing": gradient_vanishing,
    "gradient_instability": gradient_instability,
    "parallel_lines": parallel_lines,
    "critic_tracks_quality": critic_tracks_quality,
    "without_batch_norm": without_batch_norm,
    "adam_on_wgan": adam_on_wgan,
}


def record(name: str, tables: Path, figure: Path, finding: Finding) -> None:
    """Record an experiment as a run of its own in MLflow."""
    inputs = [str(MEASURED), str(SCORES), str(CURVES)]
    with records.stage_run(f"diagnose_{name}", params={"experiment": name}, inputs=inputs) as tracked:
        tracked.score(finding.metric)
        tracked.log_files(tables, folder="diagnostics")
        tracked.log_files(figure, folder="diagnostics")


@stage
def main() -> None:
    """Say what each of the experiments found."""
    found, tables, figures = {}, Path("data/experiments"), Path("plots/experiments")
    with atomic_folder(tables) as written, atomic_folder(figures) as drawn:
        for name, experiment in EXPERIMENTS.items():
            try:
                finding = found[name] = experiment(drawn / f"{name}.png")
            except UnfitRunsError as error:
                click.echo(f"the experiment {name} is left out: {error}", err=True)
                continue
            write_json(written / name / "numbers.json", finding.metric)
            write_csv(written / name / "table.csv", finding.table.to_dict("records"))
            with atomic_write(written / name / "caption.txt") as handle:
                handle.write((finding.caption + "\n").encode())
    for name, finding in found.items():
        record(name, tables / name, figures / f"{name}.png", finding)


if __name__ == "__main__":
    main()
