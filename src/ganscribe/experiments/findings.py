"""What each experiment found: a table, a few numbers, and one paragraph that says what the papers expected.

The paragraph is written from the numbers, so that it is true whichever way an experiment ends.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd

Metric = dict[str, float | int | bool]

# The runs whose critics are held against the quality of their generators, and the one compared with them.
WASSERSTEIN_RUNS = ("wgan", "wgan_mlp", "wgan_nobn", "wgan_adam", "wgan_gp")
PAPER_RUN = "dcgan_deep"  # of the gradient measurements: its critic has batch norm, as the paper's has
COMPARED_RUN = "gan"  # its loss stands for the Jensen-Shannon divergence

KEYS = ["run", "epochs", "generator_updates", "critic_step", "critic_loss"]
LAST_MEASUREMENTS = 5  # whose median is "at the end": a single one jumps by factors
PAPER_STEPS = 4000
LINES_STEPS = 1000  # critic updates of the parallel lines
FULL_STEPS = 3000  # generator steps of the Wasserstein recipes
VANISHED_ORDERS = 2.0  # "orders of magnitude": at least two
HIGH_CORRELATION = 0.7


@dataclass(frozen=True)
class Finding:
    """The result of one experiment: its `table`, its `metric` (flat numbers, all finite), its `caption`."""

    table: pd.DataFrame
    metric: Metric
    caption: str


def finite(metric: Mapping[str, float]) -> Metric:
    """Without the numbers that the data leave undefined (JSON has no word for them)."""
    return {key: value for key, value in metric.items() if math.isfinite(value)}


def verdict(holds: bool, *, is_short: bool = False) -> str:
    """How a result stands to the papers; a shortened training cannot contradict them."""
    if holds:
        return "as the papers expect"
    return "unlike in the papers' longer training" if is_short else "against the papers"


def chance(p_value: float) -> str:
    """Return a p-value in words: no probability is 0."""
    return "p < 0.001" if p_value < 0.001 else f"p {p_value:.2g}"


def counted(count: int, thing: str) -> str:
    """Return how many there are of a thing, in words."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _parts(rows: pd.DataFrame) -> dict[str, dict[int, pd.DataFrame]]:
    """The measurements by run and epochs, the paper's kind of network first."""
    parts: dict[str, dict[int, pd.DataFrame]] = {}
    for run in sorted(rows["run"].unique(), key=lambda run: (run != PAPER_RUN, run)):
        of_run = rows[rows["run"] == run]
        parts[run] = {
            int(str(epochs)): part.sort_values("critic_step") for epochs, part in of_run.groupby("epochs")
        }
    return parts


def _late(series: pd.Series[float]) -> float:
    """The median of the last measurements, the first left out."""
    return float(series.iloc[1:].tail(LAST_MEASUREMENTS).median())


def _log_ratio(above: float, below: float) -> float:
    smallest = sys.float_info.min
    return math.log10(max(above, smallest)) - math.log10(max(below, smallest))


def _is_short(rows: pd.DataFrame) -> bool:
    return int(rows["critic_step"].max()) < PAPER_STEPS


def _setting(rows: pd.DataFrame) -> str:
    """What was trained, and for how long: a scale may shorten both below the epochs' name and the paper."""
    steps = int(rows["critic_step"].max())
    models = _parts(rows)[PAPER_RUN]
    updates = [f"{part['generator_updates'].iloc[0]:,}" for part in models.values()]
    note = f" (the paper: {PAPER_STEPS:,}; so short a training shows little)" if _is_short(rows) else ""
    return (
        f"Generators of {_listed([str(epochs) for epochs in models])} epochs ({_listed(updates)} updates) "
        f"were frozen, and a fresh critic was trained against each for {counted(steps, 'step')}{note}."
    )


def gradient_vanishing(rows: pd.DataFrame) -> Finding:
    """By how many orders of magnitude the saturating loss's gradient falls: 1701.04862, figure 2.

    `rows` as of `measure_gradients`, with the `run`. The end is the median of the last five measurements; the
    start is step 0, an untrained critic, whose gradient is small already, so the fall from the peak is given
    too. `orders_of_magnitude`: the largest fall from step 0 of the paper's kind of network; `vanishes`: it is at
    least two; `critic_loss`: how far a critic was from its optimum; `rho_loss_fall`: Spearman's rho between that
    and the fall, over all critics.
    """
    from scipy.stats import spearmanr

    metric: Metric = {}
    said = []
    for run, models in _parts(rows).items():
        falls, losses = [], []
        for epochs, part in models.items():
            norm, end = part["saturating_norm"], _late(part["saturating_norm"])
            name = f"{run}_{epochs}_epochs"
            metric[f"orders_of_magnitude_{name}"] = _log_ratio(norm.iloc[0], end)
            metric[f"orders_from_peak_{name}"] = _log_ratio(norm.max(), end)
            metric[f"critic_loss_{name}"] = _late(part["critic_loss"])
            falls.append(f"{metric[f'orders_of_magnitude_{name}']:.2g}")
            losses.append(f"{metric[f'critic_loss_{name}']:.2g}")
        said.append(f"{run} {_listed(falls)} (the critics' losses at the end: {_listed(losses)})")
    ours = [value for key, value in metric.items() if key.startswith(f"orders_of_magnitude_{PAPER_RUN}_")]
    best = max(ours)
    vanishes = best >= VANISHED_ORDERS
    fallen, lost = (
        [value for key, value in metric.items() if key.startswith(kind)]
        for kind in ("orders_of", "critic_loss")
    )
    rho = float(spearmanr(lost, fallen).statistic) if min(len(set(lost)), len(set(fallen))) > 1 else math.nan
    caption = (
        f"{_setting(rows)} Shown are the norm of the gradient of log(1 - D(G(z))) with respect to the "
        "generator's parameters and, dashed, the critic's loss. Arjovsky and Bottou (1701.04862, figure 2) saw "
        "this gradient fall by five orders of magnitude in the best case, with a DCGAN whose critic has batch "
        f"norm, as that of {PAPER_RUN} has. Orders of magnitude by which it fell from the first step to the last: "
        f"{'; '.join(said)}. At least two for one generator of {PAPER_RUN} is what counts as vanishing here, so it "
        f"{'does' if vanishes else 'does not'}, {verdict(vanishes, is_short=_is_short(rows))}. What makes it "
        "vanish is a critic that tells the two sets of images apart without fault, whose loss is 0: theorem 2.4 "
        "takes that for granted."
    )
    if math.isfinite(rho):
        caption += (
            f" Spearman's rho between a critic's loss at the end and the fall, over these {len(lost)} critics: "
            f"{rho:.2f}."
        )
    return Finding(
        rows[[*KEYS, "saturating_norm", "saturating_variance"]],
        finite({"orders_of_magnitude": best, "rho_loss_fall": rho} | metric) | {"vanishes": vanishes},
        caption,
    )


def gradient_instability(rows: pd.DataFrame) -> Finding:
    """The factors by which norm and variance of -log D's gradient grow: 1701.04862, figure 3.

    `rows` as of `measure_gradients`, with the `run`; the end (median of the last five measurements) over step 0.
    Of the paper's kind of network: `norm_growth`, the smallest of the generators but the longest trained;
    `early_models_grow`, norm and variance grow for all of those; `converged_grows_least`, that one's norm grows
    less than any other's.
    """
    metric: Metric = {}
    said, growths = [], {}
    for run, models in _parts(rows).items():
        parts = []
        for epochs, part in models.items():
            growth = {
                number: _late(part[f"nonsaturating_{number}"])
                / max(float(part[f"nonsaturating_{number}"].iloc[0]), sys.float_info.min)
                for number in ("norm", "variance")
            }
            metric |= {f"{number}_growth_{run}_{epochs}_epochs": factor for number, factor in growth.items()}
            parts.append(f"{growth['norm']:.3g} and {growth['variance']:.3g} for {epochs}")
            if run == PAPER_RUN:
                growths[epochs] = growth
        said.append(f"{run} {_listed(parts)} epochs")
    *early, longest = sorted(growths)
    is_short = _is_short(rows)
    metric = {"norm_growth": min(growths[epochs]["norm"] for epochs in early or [longest])} | metric
    grows = all(min(growths[epochs].values()) > 1 for epochs in early or [longest])
    least = all(growths[longest]["norm"] < growths[epochs]["norm"] for epochs in early)
    caption = (
        f"{_setting(rows)} Shown are the norm of the gradient of -log D(G(z)) with respect to the "
        "generator's parameters, its variance over noise batches and, dashed, the critic's loss. "
        "Arjovsky and Bottou (1701.04862, theorem 2.6, figure 3) expect both to grow with the critic's "
        "training, but for a nearly converged generator. Factors of growth of norm and variance from the "
        f"first step to the last: {'; '.join(said)}. For the generators of {PAPER_RUN} that were trained less, "
        f"both {'grow' if grows else 'do not all grow'}, {verdict(grows, is_short=is_short)}; the longest "
        "trained one's norm "
        f"{'grows least' if least else 'does not grow least'}, {verdict(least, is_short=is_short)}."
    )
    table = rows[[*KEYS, "nonsaturating_norm", "nonsaturating_variance"]]
    booleans = {"early_models_grow": grows, "converged_grows_least": least}
    return Finding(table, finite(metric) | booleans, caption)


def parallel_lines(rows: pd.DataFrame) -> Finding:
    """How far the critics' estimates are from a constant log 2 and from |theta|: 1701.07875, example 1."""
    from scipy.stats import linregress

    apart = rows[rows["theta"] != 0]
    error = float((apart["js_estimate"] - math.log(2)).abs().max())
    fits = {name: linregress(rows["theta"].abs(), rows[f"{name}_estimate"]) for name in ("gp", "clipped")}
    metric: Metric = {"js_estimate_max_distance_from_log2": error}
    for name, fit in fits.items():
        metric |= {f"{name}_slope": float(fit.slope), f"{name}_correlation": float(fit.rvalue)}
    metric |= {"raw_clipped_slope": float(linregress(rows["theta"].abs(), rows["clipped_raw"]).slope)}
    steps = int(rows["critic_steps"].max())
    is_short = steps < LINES_STEPS
    constant = error < 0.05
    linear = all(abs(fit.slope - 1) < 0.1 and fit.rvalue > 0.99 for fit in fits.values())
    caption = (
        "Two parallel segments at distance theta. In closed form (1701.07875, example 1) the Jensen-Shannon "
        "divergence is log 2 wherever theta is not 0, KL is infinite there, and only the Wasserstein "
        f"distance, |theta|, says how far there is to go. The critics' estimates after {steps:,} updates: a "
        f"cross-entropy critic's is log 2 within {error:.2g}, {verdict(constant, is_short=is_short)}; "
        "against |theta| a gradient-penalty critic's has "
        f"slope {fits['gp'].slope:.3f} and correlation {fits['gp'].rvalue:.4f}, and a weight-clipped "
        f"critic's, divided by its own slope between the segments, {fits['clipped'].slope:.3f} and "
        f"{fits['clipped'].rvalue:.4f}, {verdict(linear, is_short=is_short)} (undivided its slope is "
        f"{metric['raw_clipped_slope']:.2g}: the clamp sets the scale)."
    )
    return Finding(rows, finite(metric) | {"js_constant": constant, "w_linear": linear}, caption)


def critic_tracks_quality(rows: pd.DataFrame) -> Finding:
    """Spearman's rho between the critic's estimate and the judge-FID of the snapshots: 1701.07875, figure 3.

    `rows` as of `quality_along`. Expected: high for Wasserstein runs, not for the Jensen-Shannon estimate
    of `gan` (its loss, turned so that more is worse); `rho_gan_raw_loss` takes that run's unfiltered training
    loss, turned likewise; `rho_wasserstein` is the median of the Wasserstein runs. Numbers are left out where
    no correlation is defined.
    """
    from ganscribe.metrics.agreement import rank_correlation

    metric: dict[str, float] = {}
    counts = []
    for run in rows["run"].unique():
        part = rows[rows["run"] == run]
        counts.append(len(part))
        if len(part) < 3 or part["estimate"].nunique() < 2 or part["fid"].nunique() < 2:
            continue  # no correlation is defined
        metric[f"rho_{run}"], metric[f"p_value_{run}"] = rank_correlation(part["estimate"], part["fid"])
        if run == COMPARED_RUN:
            metric[f"rho_{run}_raw_loss"], _ = rank_correlation(-part["critic_loss"], part["fid"])
    known = [run for run in WASSERSTEIN_RUNS if f"rho_{run}" in metric]
    high = [run for run in known if metric[f"rho_{run}"] >= HIGH_CORRELATION]
    other = metric.get(f"rho_{COMPARED_RUN}", math.nan)
    if known:
        metric["rho_wasserstein"] = median(metric[f"rho_{run}"] for run in known)
    is_short = int(rows["step"].max()) < FULL_STEPS
    spread = sorted({min(counts), max(counts)})
    said = [f"{run} {metric[f'rho_{run}']:.2f} ({chance(metric[f'p_value_{run}'])})" for run in known]
    caption = (
        "The critic's estimate of the distance (on held-out images, median-filtered) against the FID, by the "
        f"judge, of the generators kept along each run ({' to '.join(map(str, spread))} a run, up to step "
        f"{int(rows['step'].max()):,}). Arjovsky et al. (1701.07875, figures 3 and 4) expect the "
        "Wasserstein estimate to fall as the samples get better and the Jensen-Shannon one "
        "not to. Spearman's rho: "
        + (
            f"{_listed(said)}; of the Wasserstein runs {len(high)} of {len(known)} reach {HIGH_CORRELATION}, "
            f"{verdict(len(high) == len(known), is_short=is_short)}"
            if known
            else "not defined for the Wasserstein runs"
        )
        + f"; for {COMPARED_RUN} it is "
        + (
            f"{other:.2f}, {verdict(other < HIGH_CORRELATION, is_short=is_short)}"
            if math.isfinite(other)
            else "not defined"
        )
        + ". So few points leave much to chance."
    )
    found = finite(metric) | {"high_wasserstein_runs": len(high), "num_snapshots": min(counts)}
    return Finding(rows, found, caption)
