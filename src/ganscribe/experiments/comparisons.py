"""Findings from runs held side by side: without batch norm, and with Adam on the clipped critic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from ganscribe.experiments.findings import FULL_STEPS, Finding, Metric, counted, finite, verdict

BATCH_NORM_PAIRS = {"without batch norm": ("gan_nobn", "wgan_nobn"), "mlp": ("gan", "wgan_mlp")}
OPTIMISER_RUNS = {"rmsprop": "wgan", "adam": "wgan_adam"}
FULL_SAMPLES = 10_000  # a full scale's; with fewer, the trainings were shortened too
MEDIAN_ROWS = 5  # of the filter over the critic's estimate
COLLAPSED_SHARE = 0.1


def without_batch_norm(scores: Mapping[str, Mapping[str, Any]]) -> Finding:
    """FID and modes of a GAN and a WGAN on networks that are hard to train: 1701.07875, section 4.3.

    `scores` as in metrics/gan/RUN.json, of both `BATCH_NORM_PAIRS`. The leads are the WGAN's: FID less than
    the GAN's, modes more; the paper expects them to be positive.
    """
    metric: Metric = {}
    judged = partial(verdict, is_short=int(scores["gan"]["num_samples"]) < FULL_SAMPLES)
    parts, rows = [], []
    for kind, pair in BATCH_NORM_PAIRS.items():
        for run in pair:
            fid, modes = float(scores[run]["fid"]), int(scores[run]["modes"])
            rows.append({"networks": kind, "run": run, "fid": fid, "modes": modes})
            metric |= {f"fid_{run}": fid, f"modes_{run}": modes}
        plain, wasserstein = (scores[run] for run in pair)
        fid_lead, modes_lead = plain["fid"] - wasserstein["fid"], wasserstein["modes"] - plain["modes"]
        name = kind.replace(" ", "_")
        metric |= {f"wgan_fid_lead_{name}": fid_lead, f"wgan_modes_lead_{name}": modes_lead}
        parts.append(
            f"{pair[0]} has FID {plain['fid']:.1f} and {counted(plain['modes'], 'mode')}, {pair[1]} "
            f"{wasserstein['fid']:.1f} and {wasserstein['modes']}: the WGAN is "
            f"{'ahead' if fid_lead > 0 else 'behind'} by FID, {judged(fid_lead > 0)}, and covers "
            f"{'fewer' if modes_lead < 0 else 'no fewer'} modes, {judged(modes_lead >= 0)}"
        )
    caption = (
        "The same networks trained as a GAN (-log D, Adam) and as a WGAN (clipped, RMSProp): the DCGAN "
        "without batch norm, and the MLP. Arjovsky et al. (1701.07875, section 4.3) expect the WGAN to go on "
        f"producing samples of every kind where the GAN fails or drops modes. Here, by the judge on "
        f"{int(scores['gan']['num_samples']):,} samples each: {'; '.join(parts)}."
    )
    return Finding(pd.DataFrame(rows), finite(metric), caption)


def _loss_numbers(curve: pd.DataFrame) -> dict[str, float]:
    """Of the critic's estimate (-loss, median of five rows): what is left of its peak, how far it rises.

    `late_share_of_peak`: the median of the last tenth of the rows over the peak; `largest_rise`: the largest
    factor between a row and the lowest one before it.
    """
    estimate = -curve["critic_loss"].rolling(MEDIAN_ROWS, min_periods=1).median()
    late, peak = float(estimate.tail(max(1, len(estimate) // 10)).median()), float(estimate.max())
    lowest = estimate.cummin()
    rise = float((estimate / lowest).max()) if float(lowest.min()) > 0 else math.nan
    return {"late_share_of_peak": late / peak if peak > 0 else 0.0, "largest_rise": rise}


def adam_on_wgan(curves: Mapping[str, pd.DataFrame], scores: Mapping[str, Mapping[str, Any]]) -> Finding:
    """The critic's loss, and the cosine between its optimiser's step and -gradient: 1701.07875, section 4.2.

    `curves` and `scores` of the runs `wgan` (RMSProp) and `wgan_adam`, as in curves/gan and metrics/gan. The
    authors saw the loss blow up, the samples get worse and the cosine turn negative, together, under Adam.
    A loss counts as collapsed where the critic's estimate (-loss, median-filtered) ends below a tenth of its
    peak or was never positive: the critic no longer tells real from generated. A good generator lowers the
    estimate too, so Adam's has collapsed only where RMSProp's at the same budget has not.
    """
    metric: Metric = {}
    tables, shares = [], {}
    for name, run in OPTIMISER_RUNS.items():
        curve = curves[run]
        cosine = curve["critic_cosine"]
        numbers = _loss_numbers(curve)
        numbers |= {"negative_cosine_share": float((cosine < 0).mean()), "mean_cosine": float(cosine.mean())}
        numbers |= {"lowest_cosine": float(cosine.min()), "fid": float(scores[run]["fid"])}
        shares[name] = numbers
        metric |= {f"{key}_{name}": value for key, value in numbers.items()}
        tables.append(curve[["step", "critic_cosine", "critic_loss"]].assign(optimiser=name))
    adam, rmsprop = shares["adam"], shares["rmsprop"]
    fell = {name: shares[name]["late_share_of_peak"] < COLLAPSED_SHARE for name in shares}
    collapsed = fell["adam"] and not fell["rmsprop"]
    steps = int(curves[OPTIMISER_RUNS["adam"]]["step"].max())
    judged = partial(verdict, is_short=steps < FULL_STEPS)
    turned, worse = adam["negative_cosine_share"] > 0, adam["fid"] > rmsprop["fid"]
    caption = (
        "The critic's loss, and the cosine between the step of its optimiser and the negative gradient, "
        f"under Adam (wgan_adam) and RMSProp (wgan), over {steps:,} generator steps; RMSProp's cannot be "
        "negative, since it scales each component by a positive number. Arjovsky et al. (1701.07875, "
        "section 4.2) saw Adam's loss collapse, and the samples with it, when its cosine turned negative. Here "
        f"Adam's is negative in {adam['negative_cosine_share']:.1%} of the rows (mean "
        f"{adam['mean_cosine']:.2f}, RMSProp's "
        f"{rmsprop['mean_cosine']:.2f}), {judged(turned)}. At the end Adam's estimate is "
        f"{adam['late_share_of_peak']:.2f} of its peak and RMSProp's {rmsprop['late_share_of_peak']:.2f}, so "
        f"Adam's loss {'has' if collapsed else 'has not'} collapsed (below {COLLAPSED_SHARE} where "
        f"RMSProp's is not), {judged(collapsed)}; Adam's FID is {adam['fid']:.1f}, RMSProp's "
        f"{rmsprop['fid']:.1f}: its samples are {'worse' if worse else 'not worse'}, {judged(worse)}."
    )
    metric = finite(metric) | {"loss_collapsed_adam": collapsed, "adam_samples_worse": worse}
    columns = ["optimiser", "step", "critic_cosine", "critic_loss"]
    return Finding(pd.concat(tables, ignore_index=True)[columns], metric, caption)
