"""Judges that agree, disagree, or cannot tell runs apart."""

from __future__ import annotations

import math
from itertools import permutations

import pandas as pd
import pytest
from scipy.stats import spearmanr

from ganscribe.metrics.agreement import SCORES, compare_judges, rank_correlation


def table(**columns: list[float]) -> pd.DataFrame:
    count = len(columns["fid"])
    same = {score: list(range(count)) for score in SCORES} | columns
    return pd.DataFrame({"run": [f"run{number}" for number in range(count)], **same})


def test_rho_is_that_of_the_ranks() -> None:
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8
    found = compare_judges(
        {
            "one": table(fid=[1, 2, 30, 400, 5e3]),
            "two": table(fid=[0.2, 0.1, 0.4, 0.3, 9])[::-1],
        }  # in any order
    )
    assert found.lowest["fid"] == pytest.approx(0.8)
    assert found.lowest["kid"] == pytest.approx(1)
    assert "rank correlation between judges: fid 0.80" in found.caption
    assert "First by FID: run0 (one), run1 (two)" in found.caption


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0.0, 1.0, 2.0], [3.0, 2.0, 1.0]),
        ([0.0, 1.0, 2.0, 3.0], [1.0, 4.0, 2.0, 3.0]),
        ([0.0, 1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 3.0, 3.0, 9.0]),
        ([0.0, 0.0, 0.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0, 7.0]),  # as of GANs without any precision
    ],
)
def test_the_p_value_of_few_pairs_is_the_share_of_orders_that_are_as_far_from_0(
    first: list[float], second: list[float]
) -> None:
    rho, p_value = rank_correlation(first, second)
    others = [float(spearmanr(order, second).statistic) for order in permutations(first)]
    assert rho == pytest.approx(float(spearmanr(first, second).statistic))
    assert p_value == pytest.approx(sum(abs(other) > abs(rho) - 1e-9 for other in others) / len(others))


def test_the_p_value_of_many_pairs_is_that_of_the_t_distribution() -> None:
    first, second = list(range(12)), [3, 1, 2, 6, 5, 4, 9, 7, 8, 12, 11, 10]
    assert rank_correlation(first, second) == tuple(spearmanr(first, second))
    assert rank_correlation(first[:9], second[:9]) == tuple(spearmanr(first[:9], second[:9]))
    # Of eight, the last whose orders are counted, two are in perfect order, up and down.
    assert rank_correlation(first[:8], first[:8])[1] == pytest.approx(2 / math.factorial(8))


def test_three_judges_are_compared_two_by_two() -> None:
    tables = {
        "a": table(fid=[1, 2, 3, 4]),
        "b": table(fid=[4, 3, 2, 1]),
        "c": table(fid=[1, 2, 3, 4], recall=[0.5] * 4),  # recall tells no two apart
    }
    found = compare_judges(tables)
    rho = {(row["judge"], row["other"]): row["rho"] for row in found.correlations if row["score"] == "fid"}
    assert rho == {("a", "b"): pytest.approx(-1), ("a", "c"): pytest.approx(1), ("b", "c"): pytest.approx(-1)}
    assert [row["judge"] for row in found.correlations if row["score"] == "recall"] == ["a"]
    assert found.lowest["fid"] == pytest.approx(-1)
    assert "rank correlation between judges, the lowest of any two: fid -1.00" in found.caption


def test_judges_of_different_runs_are_refused() -> None:
    other = table(fid=[1, 2, 3])
    other["run"] = ["run0", "run1", "run9"]
    with pytest.raises(ValueError, match="not scored the same runs"):
        compare_judges({"one": table(fid=[1, 2, 3]), "two": other})
    assert "not defined" in compare_judges({"one": table(fid=[1, 2]), "two": table(fid=[2, 1])}).caption
