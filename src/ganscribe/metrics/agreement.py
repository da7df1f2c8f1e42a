"""Do judges agree? The rank correlation of the scores that several judges give to the same generators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("fid", "kid", "is", "precision", "recall")
EXACT_PAIRS = 8  # up to so many, a p-value comes from all orders, 40,320 of eight


@dataclass(frozen=True)
class Agreement:
    """`correlations`: rows of judge, other, score, rho, p_value; `lowest`: each score's lowest rho."""

    correlations: list[dict[str, float | str]]
    lowest: dict[str, float]
    caption: str


def rank_correlation(
    first: Sequence[float] | pd.Series[Any], second: Sequence[float] | pd.Series[Any]
) -> tuple[float, float]:
    """Spearman's rho of two series (N,), N at least 3, and its two-sided p-value.

    Up to eight pairs the p-value is exact: the share of all orders with a rho as far from 0. Above, it is that of the t
    distribution, which for three or four pairs in perfect order would say 0.
    """
    from scipy.stats import permutation_test, rankdata, spearmanr

    found = spearmanr(first, second)
    rho, p_value = float(found.statistic), float(found.pvalue)
    if len(first) <= EXACT_PAIRS:
        deviations = rankdata(second) - (len(second) + 1) / 2
        exact = permutation_test(
            (rankdata(first),),
            lambda ranks, axis: abs((ranks * deviations).sum(axis=axis)),
            permutation_type="pairings",
            n_resamples=math.factorial(EXACT_PAIRS),
            alternative="greater",  # "two-sided" is twice the smaller tail, and ties in both series make tails unlike
        )
        p_value = float(exact.pvalue)
    return rho, p_value


def compare_judges(tables: Mapping[str, pd.DataFrame]) -> Agreement:
    """Spearman's rho of each score between every two judges, over the runs of `tables` (judge: its rows).

    rho is left out where it is undefined: fewer than three runs, or a judge that tells no two apart. Raises
    ValueError for judges of different runs. Without tables there is only the caption, which says so.
    """
    if not tables:
        return Agreement(
            [], {}, "Every GAN was only exercised, so there is nothing by which judges could be compared."
        )
    by_run = {judge: table.set_index("run").sort_index() for judge, table in tables.items()}
    runs = {judge: list(table.index) for judge, table in by_run.items()}
    if len({tuple(names) for names in runs.values()}) > 1:
        raise ValueError(f"the judges have not scored the same runs: {runs}")
    count = len(next(iter(runs.values())))
    rows: list[dict[str, float | str]] = []
    for (judge, table), (other, second) in itertools.combinations(by_run.items(), 2):
        for score in SCORES:
            if count < 3 or min(table[score].nunique(), second[score].nunique()) < 2:
                continue
            rho, p_value = rank_correlation(table[score], second[score])
            rows.append({"judge": judge, "other": other, "score": score, "rho": rho, "p_value": p_value})
    lowest = {
        score: min(float(row["rho"]) for row in rows if row["score"] == score)
        for score in SCORES
        if any(row["score"] == score for row in rows)
    }
    return Agreement(rows, lowest, _caption(by_run, lowest, count))


def _caption(tables: Mapping[str, pd.DataFrame], lowest: Mapping[str, float], count: int) -> str:
    if len(tables) < 2:
        return (
            f"{', '.join(tables)} alone has scored the {count} runs, so there is nothing to compare: name another "
            "classifier in `judges` of params.yaml."
        )
    first = {judge: str(table["fid"].idxmin()) for judge, table in tables.items()}
    winners = sorted(set(first.values()))
    best = (
        f"All of them have {winners[0]} first."
        if len(winners) == 1
        else "First by FID: " + ", ".join(f"{run} ({judge})" for judge, run in first.items()) + "."
    )
    said = ", ".join(f"{score} {rho:.2f}" for score, rho in lowest.items() if math.isfinite(rho))
    which = ", the lowest of any two" if len(tables) > 2 else ""
    return (
        f"The same samples of {count} runs, scored by {len(tables)} judges ({', '.join(tables)}). Spearman's "
        f"rank correlation between judges{which}: {said or 'not defined'}. {best} A rho near 1 means that "
        "the ranking does not depend on the judge; the scores themselves lie on each judge's own scale and "
        "are never compared."
    )
