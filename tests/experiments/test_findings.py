"""Findings from made-up tables whose answers are known, one that fits the papers and one that does not."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pandas as pd
import pytest

from ganscribe.experiments import comparisons, findings
from ganscribe.experiments.distances import closed_forms
from ganscribe.experiments.findings import Finding


def gradients(fall: float = 1e-5, growth: tuple[float, ...] = (100.0, 50.0), steps: int = 4000) -> Any:
    """Return gradients of the paper's kind of network, and of `dcgan`, which stay because its critic learns less."""
    own = gradients_of("dcgan_deep", fall, growth, steps)
    return pd.concat([gradients_of("dcgan", 0.5, (200.0, 300.0), steps, loss=0.5), own], ignore_index=True)


def gradients_of(
    run: str, fall: float, growth: tuple[float, ...], steps: int, loss: float = 0.25
) -> pd.DataFrame:
    rows = []
    for epochs, factor in zip((1, 25, 50), growth, strict=False):
        for step in range(0, steps + 1, steps // 10):
            late = step >= steps // 2
            rows.append(
                {
                    "run": run,
                    "epochs": epochs,
                    "critic_step": step,
                    "critic_loss": loss if late else 1.0,
                    "saturating_norm": 2.0 * fall if late else 20.0 if step else 2.0,
                    "saturating_variance": 0.1,
                    "nonsaturating_norm": factor if late else 1.0,
                    "nonsaturating_variance": 3 * factor if late else 3.0,
                    "generator_updates": 390 * epochs,
                }
            )
    return pd.DataFrame(rows)


def check(finding: Finding) -> None:
    """Check what every finding promises."""
    json.dumps(finding.metric, allow_nan=False)
    assert all(isinstance(value, bool | int | float) for value in finding.metric.values())
    assert "\n" not in finding.caption and "  " not in finding.caption and finding.caption.endswith(".")
    assert len(finding.table) > 0


def test_vanishing_counts_orders_from_the_start_and_from_the_peak() -> None:
    finding = findings.gradient_vanishing(gradients())
    check(finding)
    assert finding.metric["orders_of_magnitude_dcgan_deep_1_epochs"] == pytest.approx(5)
    assert finding.metric["orders_from_peak_dcgan_deep_25_epochs"] == pytest.approx(6)
    assert finding.metric["orders_of_magnitude_dcgan_1_epochs"] == pytest.approx(-math.log10(0.5))
    assert finding.metric["orders_of_magnitude"] == pytest.approx(5)
    assert finding.metric["vanishes"] is True
    assert finding.metric["critic_loss_dcgan_deep_25_epochs"] == 0.25
    assert finding.metric["rho_loss_fall"] == pytest.approx(-1)  # the lower loss has the larger fall
    assert "dcgan_deep 5 and 5 (the critics' losses at the end: 0.25 and 0.25); dcgan 0.3" in finding.caption
    assert "as the papers expect" in finding.caption and "against the" not in finding.caption
    assert "1 and 25 epochs (390 and 9,750 updates)" in finding.caption and "short" not in finding.caption


def test_the_best_case_counts_as_in_the_paper() -> None:
    rows = gradients(fall=0.5)
    is_first = (rows["run"] == "dcgan_deep") & (rows["epochs"] == 1) & (rows["critic_step"] > 0)
    rows.loc[is_first, "saturating_norm"] = 2e-4
    finding = findings.gradient_vanishing(rows)
    assert finding.metric["vanishes"] is True and finding.metric["orders_of_magnitude"] == pytest.approx(4)


@pytest.mark.parametrize(
    ("norms", "end"),
    [
        ([8.0, 2.0, 1.0], 1.5),  # the first is not among those at the end
        ([1e3, 1e3, 1e3, 1e3, 16.0, 1.0, 2.0, 8.0, 4.0], 4.0),  # nor any before the last five
    ],
)
def test_the_end_is_the_median_of_the_last_five_but_never_the_start(norms: list[float], end: float) -> None:
    rows = pd.DataFrame({"critic_step": range(len(norms)), "saturating_norm": norms, "critic_loss": norms})
    rows = rows.assign(run="dcgan_deep", epochs=1, generator_updates=390, saturating_variance=0.1)
    found = findings.gradient_vanishing(rows.iloc[::-1]).metric  # in whatever order they come
    assert found["critic_loss_dcgan_deep_1_epochs"] == end
    assert found["orders_of_magnitude"] == pytest.approx(math.log10(norms[0] / end))


def test_no_vanishing_is_against_the_papers_and_a_short_training_is_said() -> None:
    finding = findings.gradient_vanishing(gradients(fall=0.5, steps=60))
    check(finding)
    assert finding.metric["vanishes"] is False
    assert "unlike in the papers" in finding.caption and "so short a training" in finding.caption


def test_instability_gives_factors_of_growth() -> None:
    finding = findings.gradient_instability(gradients())
    check(finding)
    assert finding.metric["norm_growth_dcgan_deep_1_epochs"] == pytest.approx(100)
    assert finding.metric["variance_growth_dcgan_deep_25_epochs"] == pytest.approx(50)
    assert finding.metric["early_models_grow"] is True and finding.metric["converged_grows_least"] is True
    assert finding.metric["norm_growth"] == pytest.approx(100)
    three = findings.gradient_instability(gradients(growth=(4.0, 3.0, 0.5))).metric
    assert three["norm_growth"] == pytest.approx(3) and three["early_models_grow"] is True
    assert (
        findings.gradient_instability(gradients(growth=(9.0, 0.5, 0.1))).metric["early_models_grow"] is False
    )
    other = findings.gradient_instability(gradients(growth=(0.5, 2.0)))
    assert other.metric["early_models_grow"] is False and other.metric["converged_grows_least"] is False
    assert other.caption.count("against the papers") == 2


def test_no_probability_is_zero() -> None:
    assert findings.chance(0.0) == "p < 0.001" and findings.chance(0.0371) == "p 0.037"


def lines(scale: float, js: float, steps: int = 1000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "theta": theta,
            "critic_steps": steps,
            **closed_forms(theta),
            "clipped_raw": 1e-3 * abs(theta),
            "clipped_estimate": abs(theta),
            "gp_estimate": scale * abs(theta),
            "js_estimate": js if theta else 0.0,
        }
        for theta in (-1.0, -0.5, 0.0, 0.5, 1.0)
    )


def test_parallel_lines_fit_slopes() -> None:
    finding = findings.parallel_lines(lines(1.05, 0.69))
    check(finding)
    assert finding.metric["gp_slope"] == pytest.approx(1.05)
    assert finding.metric["raw_clipped_slope"] == pytest.approx(1e-3)
    assert finding.metric["js_estimate_max_distance_from_log2"] == pytest.approx(math.log(2) - 0.69)
    assert finding.metric["js_constant"] is True and finding.metric["w_linear"] is True
    other = findings.parallel_lines(lines(2.0, 0.3))
    assert other.metric["js_constant"] is False and other.metric["w_linear"] is False
    assert other.caption.count("against the papers") == 2
    assert "against the papers" not in findings.parallel_lines(lines(2.0, 0.3, steps=300)).caption


def snapshots(estimates: dict[str, list[float]]) -> pd.DataFrame:
    fids = [100.0, 60.0, 40.0, 30.0, 20.0]
    return pd.DataFrame(
        {"run": run, "step": 750 * step, "estimate": estimate, "critic_loss": -estimate, "fid": fid}
        for run, values in estimates.items()
        for step, (estimate, fid) in enumerate(zip(values, fids, strict=True))
    )


def test_tracking_is_rank_correlation() -> None:
    falling, mixed = [9.0, 5.0, 4.0, 2.0, 1.0], [1.0, 3.0, 2.0, 5.0, 4.0]
    finding = findings.critic_tracks_quality(snapshots({"wgan": falling, "wgan_gp": mixed, "gan": mixed}))
    check(finding)
    # rho = 1 - 6 sum d^2 / (n (n^2 - 1)), d = -4, -1, -1, 3, 3 against the ranks of falling FIDs
    ranks, fid_ranks = [1, 3, 2, 5, 4], [5, 4, 3, 2, 1]
    expected = 1 - 6 * sum((a - b) ** 2 for a, b in zip(ranks, fid_ranks, strict=True)) / 120
    assert finding.metric["rho_wgan"] == pytest.approx(1)
    assert finding.metric["rho_wasserstein"] == pytest.approx((1 + expected) / 2)
    assert finding.metric["rho_wgan_gp"] == pytest.approx(expected)
    assert finding.metric["rho_gan_raw_loss"] == pytest.approx(expected)
    assert finding.metric["high_wasserstein_runs"] == 1 and finding.metric["num_snapshots"] == 5
    assert finding.metric["p_value_wgan"] == pytest.approx(2 / 120)  # of all orders, the same and the reverse
    assert "1 of 2 reach 0.7, against the papers" in finding.caption
    assert f"for gan it is {expected:.2f}, as the papers expect" in finding.caption


def test_a_shortened_training_contradicts_nothing() -> None:
    mixed = [1.0, 3.0, 2.0, 5.0, 4.0]
    rows = snapshots({"wgan": mixed, "gan": mixed})
    finding = findings.critic_tracks_quality(rows.assign(step=rows["step"] // 100))
    assert "against the papers" not in finding.caption
    assert "unlike in the papers' longer training" in finding.caption


def test_a_correlation_that_is_not_defined_is_left_out() -> None:
    finding = findings.critic_tracks_quality(snapshots({"wgan": [1.0] * 5, "gan": [2.0] * 5}))
    check(finding)
    assert "rho_wgan" not in finding.metric and "papers" not in finding.caption
    assert finding.caption.count("not defined") == 2


def test_without_batch_norm_gives_leads() -> None:
    scores = {
        "gan_nobn": {"fid": 90.0, "modes": 4},
        "wgan_nobn": {"fid": 30.0, "modes": 10},
        "gan": {"fid": 50.0, "modes": 10, "num_samples": 10000},
        "wgan_mlp": {"fid": 70.0, "modes": 9},
    }
    finding = comparisons.without_batch_norm(scores)
    check(finding)
    assert finding.metric["wgan_fid_lead_without_batch_norm"] == 60
    assert finding.metric["wgan_modes_lead_without_batch_norm"] == 6
    assert finding.metric["wgan_fid_lead_mlp"] == -20 and finding.metric["wgan_modes_lead_mlp"] == -1
    assert finding.caption.count("as the papers expect") == finding.caption.count("against the papers") == 2


def curve(cosines: list[float], losses: list[float]) -> pd.DataFrame:
    steps = [150 * (index + 1) for index in range(len(losses))]
    return pd.DataFrame({"step": steps, "critic_cosine": cosines, "critic_loss": losses})


def test_adam_counts_negative_cosines_and_sees_a_collapse() -> None:
    steady = curve([0.5] * 20, [-2.0] * 20)
    broken = curve([0.5] * 10 + [-0.25] * 10, [-2.0] * 10 + [0.1] * 10)
    scores = {"wgan": {"fid": 20.0}, "wgan_adam": {"fid": 90.0}}
    finding = comparisons.adam_on_wgan({"wgan": steady, "wgan_adam": broken}, scores)
    check(finding)
    assert finding.metric["negative_cosine_share_adam"] == 0.5
    assert finding.metric["mean_cosine_adam"] == pytest.approx(0.125)
    assert finding.metric["late_share_of_peak_rmsprop"] == pytest.approx(1)
    assert finding.metric["loss_collapsed_adam"] is True and finding.metric["adam_samples_worse"] is True
    assert (
        finding.caption.count("as the papers expect") == 3 and "over 3,000 generator steps" in finding.caption
    )


def test_numbers_of_a_loss_are_those_of_its_median_and_of_its_last_tenth() -> None:
    losses = (
        [-2.0] * 12 + [-90.0] + [-2.0] * 5 + [-4.0] * 10 + [-1.0] * 5
    )  # one row alone is no peak, nor a rise
    one = curve([0.5] * 32 + [-0.75], losses)
    never = curve([0.5] * 20, [1.0] * 20)  # a critic that never told real images from generated ones
    scores = {"wgan": {"fid": 20.0}, "wgan_adam": {"fid": 90.0}}
    found = comparisons.adam_on_wgan({"wgan": one, "wgan_adam": never}, scores).metric
    assert found["largest_rise_rmsprop"] == 2 and found["lowest_cosine_rmsprop"] == -0.75
    assert found["late_share_of_peak_rmsprop"] == 0.25
    assert found["late_share_of_peak_adam"] == 0 and found["loss_collapsed_adam"] is True
    assert "largest_rise_adam" not in found


def test_two_estimates_that_fall_alike_are_no_collapse() -> None:
    falling = curve([0.5] * 40, [-100.0 * 0.8**row for row in range(40)])
    scores = {"wgan": {"fid": 20.0}, "wgan_adam": {"fid": 10.0}}
    finding = comparisons.adam_on_wgan({"wgan": falling, "wgan_adam": falling}, scores)
    check(finding)
    assert finding.metric["late_share_of_peak_adam"] < 0.1 and finding.metric["loss_collapsed_adam"] is False
    assert finding.metric["largest_rise_adam"] == 1
    assert finding.caption.count("against the papers") == 3


@pytest.mark.parametrize(("orders", "vanishes"), [(1.9, False), (2.1, True), (math.inf, True)])
def test_two_orders_of_magnitude_are_a_vanished_gradient(orders: float, vanishes: bool) -> None:
    finding = findings.gradient_vanishing(gradients(fall=10**-orders))
    check(finding)
    assert finding.metric["vanishes"] is vanishes
    if vanishes and orders == math.inf:  # of a gradient of 0: down to the smallest float64
        expected = math.log10(2.0) - math.log10(sys.float_info.min)
        assert finding.metric["orders_of_magnitude"] == pytest.approx(expected)


def test_a_gradient_that_begins_at_zero_has_a_finite_growth() -> None:
    rows = gradients()
    rows.loc[rows["critic_step"] == 0, ["nonsaturating_norm", "nonsaturating_variance"]] = 0.0
    check(findings.gradient_instability(rows))


@pytest.mark.parametrize(
    ("js", "gp", "constant", "linear"),
    [
        (0.65, [1.05, 0.52, 0.0, 0.53, 1.03], True, True),
        (0.63, [1.2, 0.6, 0.0, 0.6, 1.2], False, False),  # too steep
        (0.76, [1.2, 0.5, 0.0, 0.5, 0.8], False, False),  # of the right slope, but no line
    ],
)
def test_estimates_are_lines_of_slope_1_within_a_tenth_and_constants_within_0_05(
    js: float, gp: list[float], constant: bool, linear: bool
) -> None:
    found = findings.parallel_lines(lines(1.0, js).assign(gp_estimate=gp)).metric
    assert (found["js_constant"], found["w_linear"]) == (constant, linear)


@pytest.mark.parametrize("fids", [[5.0] * 5, [9.0, 5.0]])
def test_too_few_generators_or_alike_ones_have_no_correlation(fids: list[float]) -> None:
    rows = pd.concat(snapshots({run: [9.0, 5.0, 4.0, 2.0, 1.0]}).head(len(fids)) for run in ("wgan", "gan"))
    finding = findings.critic_tracks_quality(rows.assign(fid=fids * 2))
    check(finding)
    assert set(finding.metric) == {"high_wasserstein_runs", "num_snapshots"}


def test_as_many_modes_are_no_fewer() -> None:
    scores = {
        run: {"fid": 50.0, "modes": 10, "num_samples": 10000} for run in ("gan_nobn", "wgan_nobn", "gan")
    }
    caption = comparisons.without_batch_norm(scores | {"wgan_mlp": scores["gan"]}).caption
    assert caption.count("covers no fewer modes, as the papers expect") == 2
    assert caption.count("behind by FID, against the papers") == 2
