"""The image metrics against closed forms, brute force, scipy and torch-fidelity's own front door."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy, wasserstein_distance
from torch import Tensor, nn
from torch.utils.data import Dataset

import publications
from ganscribe.metrics.gan.images import (
    EXTRACTION_BATCH,
    class_coverage,
    classifier_extractor,
    frechet_distance,
    inception_extractor,
    inception_score,
    judge_images,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
    sliced_wasserstein,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Images(Dataset[Tensor]):
    """Pictures in the form that torch-fidelity's public function takes."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)


def pictures(count: int, seed: int = 0, channels: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, 28, 28), generator=rng, dtype=torch.uint8)


class Judge(nn.Module):
    """A small classifier of the zoo's shape."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49 * channels, 12), nn.Tanh())
        self.classifier = nn.Linear(12, 10)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images)


def whitened(count: int, width: int) -> Tensor:
    """Features whose mean is exactly 0 and whose covariance is exactly the identity."""
    features = normal(count, width)
    features -= features.mean(0)
    return features @ torch.linalg.inv(torch.linalg.cholesky(features.T.cov())).T


def test_fid_of_known_gaussians() -> None:
    """Means m and covariances that commute: |m|^2 + sum (a_i - b_i)^2 for standard deviations a, b."""
    base, shift = whitened(500, 4), torch.tensor([1.0, -2.0, 0.0, 0.5])
    first, second = torch.tensor([1.0, 2.0, 3.0, 0.5]), torch.tensor([2.0, 2.0, 1.0, 0.1])
    shift, first, second = shift.double(), first.double(), second.double()
    expected = float(shift.square().sum() + (first - second).square().sum())
    assert frechet_distance(base * first, base * second + shift) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-8)


def test_fid_of_general_covariances() -> None:
    real, generated = normal(300, 6) @ normal(6, 6, seed=1), normal(300, 6, seed=2) @ normal(6, 6, seed=3)
    a, b = np.cov(real.numpy(), rowvar=False), np.cov(generated.numpy(), rowvar=False)
    difference = (real.mean(0) - generated.mean(0)).numpy()
    expected = difference @ difference + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(generated, real) == pytest.approx(expected, rel=1e-8)
    real, generated = real.float(), generated.float()
    assert frechet_distance(real, generated) == frechet_distance(real.double(), generated.double())


def test_kid_is_the_unbiased_mmd_of_a_cubic_kernel() -> None:
    """With a subset as large as the sets there is one subset: brute force over all pairs."""
    real, generated = normal(40, 5), normal(40, 5, seed=1) + 0.5
    kernel = lambda x, y: (x @ y / 5 + 1) ** 3  # noqa: E731
    within = sum(
        kernel(part[i], part[j]) for part in (real, generated) for i in range(40) for j in range(40) if i != j
    )
    across = sum(kernel(x, y) for x in real for y in generated)
    expected = float(within / (40 * 39) - 2 * across / (40 * 40))
    assert kernel_distance(real, generated, seed=0) == pytest.approx(expected, rel=1e-9)


def test_kid_of_identical_sets() -> None:
    """Twice the same n points: 2 (S - D) / n (n - 1) - 2 S / n^2; S sums over all pairs, D the diagonal."""
    features = normal(30, 5)
    kernels = (features @ features.T / 5 + 1) ** 3
    everything, diagonal = float(kernels.sum()), float(kernels.diagonal().sum())
    expected = 2 * (everything - diagonal) / (30 * 29) - 2 * everything / 30**2
    assert kernel_distance(features, features.clone(), seed=0) == pytest.approx(expected, rel=1e-9)
    assert expected < 0  # unbiased for independent sets, which these are not


def test_kid_of_one_distribution_is_about_zero_and_takes_small_sets() -> None:
    assert abs(kernel_distance(normal(1500, 8), normal(1200, 8, seed=1), seed=0)) < 0.01
    assert kernel_distance(normal(1500, 8), normal(30, 8, seed=1) + 1, seed=0) > 0.5


@pytest.mark.parametrize(
    ("real", "generated", "expected"),
    [(50, 40, (100, 40)), (40, 50, (100, 40)), (40, 40, (1, 40)), (1100, 1010, (100, 1000))],
)
def test_kid_is_the_mean_of_a_hundred_subsets_unless_there_is_only_one(
    real: int, generated: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity import metric_kid

    asked = []

    def note(*features: Tensor, kid_subsets: int, kid_subset_size: int, **options: Any) -> dict[str, float]:
        asked.append((kid_subsets, kid_subset_size))
        return {metric_kid.KEY_METRIC_KID_MEAN: 0.5}

    monkeypatch.setattr(metric_kid, "kid_features_to_metric", note)
    assert kernel_distance(normal(real, 2), normal(generated, 2), seed=0) == 0.5
    assert asked == [expected]


def test_inception_score_limits() -> None:
    sure = 50 * torch.eye(4).repeat(250, 1)  # four classes, each certain and equally often
    assert inception_score(sure, seed=0) == pytest.approx(4, rel=0.03)
    in_order = 50 * torch.eye(4).repeat_interleave(250, dim=0)  # class by class, which no part of ten may be
    assert inception_score(in_order, seed=0) == pytest.approx(4, rel=0.03)
    assert inception_score(torch.zeros(100, 4), seed=0) == pytest.approx(1)
    assert inception_score(50 * torch.eye(20), seed=0) == pytest.approx(2)  # ten parts, of two classes each
    assert inception_score(sure[:1], seed=0) == pytest.approx(1)  # fewer images than parts


def test_precision_and_recall_are_not_swapped() -> None:
    """Generated images from one of two real modes: all of them real-looking, half of reality missing."""
    mode = normal(200, 3)
    real, generated = torch.cat([mode, mode + 100]), normal(200, 3, seed=1)
    precision, recall = precision_recall(real, generated)
    assert precision > 0.9 and 0.3 < recall <= 0.5
    precision, recall = precision_recall(generated, real)
    assert recall > 0.9 and 0.3 < precision <= 0.5


def test_precision_and_recall_against_brute_force() -> None:
    real, generated = normal(60, 4), 1.3 * normal(50, 4, seed=1) + 0.7

    def inside(points: Tensor, manifold: Tensor) -> float:
        radii = torch.stack([(manifold - point).norm(dim=1).sort().values[3] for point in manifold])
        hits = [bool(((manifold - point).norm(dim=1) <= radii).any()) for point in points]
        return sum(hits) / len(hits)

    expected = inside(generated, real), inside(real, generated)
    assert precision_recall(real, generated) == pytest.approx(expected)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1


def test_scores_equal_torch_fidelity_s_own_with_a_registered_extractor() -> None:
    import torch_fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    judge = Judge().eval()

    class Registered(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **settings: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "features", "logits"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            features, logits = classifier_extractor(judge)(images)
            outputs = {"features": features.double(), "logits": logits.double()}
            return tuple(outputs[name] for name in self.features_list)

    real, generated = pictures(300), pictures(280, seed=1) // 2
    torch_fidelity.register_feature_extractor("ganscribe-test", Registered)
    try:
        theirs = torch_fidelity.calculate_metrics(
            input1=Images(generated),
            input2=Images(real),
            feature_extractor="ganscribe-test",
            isc=True,
            fid=True,
            kid=True,
            prc=True,
            kid_subset_size=280,
            save_cpu_ram=True,
            batch_size=EXTRACTION_BATCH,
            cuda=False,
            cache=False,
            verbose=False,
        )
    finally:
        del FEATURE_EXTRACTORS_REGISTRY["ganscribe-test"]
    judged = [judge_images(images, classifier_extractor(judge)) for images in (real, generated)]
    features = [each.features for each in judged]
    fid, kid = frechet_distance(*features), kernel_distance(*features, seed=0)
    assert fid == pytest.approx(theirs["frechet_inception_distance"], rel=1e-9)
    assert kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=0.02)  # other subsets
    score = inception_score(judged[1].logits, seed=0)
    assert score == pytest.approx(theirs["inception_score_mean"], rel=0.01)  # other parts
    assert precision_recall(*features) == (theirs["precision"], theirs["recall"])


def test_judge_sees_pixels_from_minus_one_to_one_in_evaluation_mode() -> None:
    judge = Judge()
    judge.body.append(nn.Dropout(0.5))
    images = pictures(EXTRACTION_BATCH + 3)
    judged = judge_images(images, classifier_extractor(judge))
    expected = judge.eval().features(images.float() / 127.5 - 1)
    torch.testing.assert_close(judged.features.float(), expected, rtol=1e-4, atol=1e-5)
    assert judged.features.dtype == torch.float64 and judged.logits.shape == (EXTRACTION_BATCH + 3, 10)


def test_floats_and_images_without_channels_are_refused() -> None:
    for images in (pictures(10).float(), pictures(10)[:, 0]):
        with pytest.raises(ValueError, match=r"need images .* uint8"):
            judge_images(images, classifier_extractor(Judge()))


def test_coverage_of_constructed_counts() -> None:
    real = torch.arange(4).repeat_interleave(25)
    generated = torch.tensor([0] * 60 + [1] * 38 + [2] * 3)  # 2 lies above a tenth of a quarter, 3 is absent
    coverage = class_coverage(generated, real, 4)
    assert coverage.modes == 3
    assert coverage.kl == pytest.approx(entropy([60, 38, 3, 0], [25, 25, 25, 25]))
    assert coverage.generated_shares.sum() == pytest.approx(1) and coverage.real_shares.tolist() == [0.25] * 4
    assert class_coverage(real, real, 4).kl == 0
    assert class_coverage(torch.tensor([0] * 99 + [1] * 2), real, 4).modes == 1  # 1 lies below it
    with pytest.raises(ValueError, match=r"no real image is of class \[4\]"):
        class_coverage(generated, real, 5)


def test_a_class_with_exactly_a_tenth_of_its_real_share_is_covered() -> None:
    real = torch.arange(10).repeat_interleave(1000)
    generated = torch.tensor([0] * 9801 + [1] * 100 + [2] * 99)
    assert class_coverage(generated, real, 10).modes == 2  # 2 lies below it by one image


@pytest.mark.parametrize("count", [80, 33])
def test_sliced_wasserstein_in_one_dimension_is_scipy_s(count: int) -> None:
    real, generated = normal(80, 1), 2 * normal(count, 1, seed=1) + 0.3
    expected = wasserstein_distance(real[:, 0].numpy(), generated[:, 0].numpy())
    assert sliced_wasserstein(real, generated, seed=0) == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_in_many_dimensions() -> None:
    """A shift t moves a projection by |<t, u>|: on average |t| Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
    real, shift = normal(50, 8), normal(8, seed=1)
    factor = math.gamma(4) / (math.sqrt(math.pi) * math.gamma(4.5))
    distance = sliced_wasserstein(real, real + shift, num_projections=20000, seed=0)
    assert distance == pytest.approx(float(shift.norm()) * factor, rel=0.02)
    images = pictures(20)
    assert sliced_wasserstein(images, images.flip(0), seed=0) == pytest.approx(0, abs=1e-12)
    other = pictures(20, seed=1) // 2  # pixels count from 0 to 1
    of_parts = sliced_wasserstein(images.double() / 255, other.double() / 255, seed=0)
    assert sliced_wasserstein(images, other, seed=0) == pytest.approx(of_parts, rel=1e-9)
    assert sliced_wasserstein(images, other, num_projections=256, seed=0) == pytest.approx(of_parts, rel=1e-9)


def test_nearest_neighbours_against_brute_force() -> None:
    samples, training = pictures(5), pictures(40, seed=1)
    training[7] = training[31] = samples[2]
    rows, distances = nearest_neighbours(samples, training, count=3)
    for index, sample in enumerate(samples):
        exact = [math.sqrt(int((sample.int() - image.int()).square().sum())) for image in training]
        order = sorted(range(40), key=lambda row: (exact[row], row))[:3]
        assert rows[index].tolist() == order
        assert distances[index].tolist() == [exact[row] for row in order]
    assert rows[2, :2].tolist() == [7, 31] and distances[2, 0] == 0


@pytest.fixture(scope="module")
def fid_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(publications.fid_weights(), path)
    return path


def test_fid_inception_takes_grey_images_and_only_its_own_weights(tmp_path: Path, fid_weights: Path) -> None:
    for other in ({"weight": torch.zeros(1)}, [torch.zeros(1)]):
        torch.save(other, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="is not a state dict of the FID Inception network"):
            inception_extractor(tmp_path / "other.pth")
    with pytest.raises(FileNotFoundError, match=r"none\.pth is missing: it should be torch-fidelity's file"):
        inception_extractor(tmp_path / "none.pth")
    grey = pictures(2)
    features, logits = inception_extractor(fid_weights)(grey)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    torch.testing.assert_close(features, inception_extractor(fid_weights)(grey.repeat(1, 3, 1, 1))[0])
