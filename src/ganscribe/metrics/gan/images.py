"""How good generated images are, by a judge's features, its labels, and pixels. Images: (N, C, H, W) uint8.

The numbers come from torch-fidelity; precision and recall mean those of Kynkäänniemi et al. 2019. Nothing is
resized here. Scores depend on the judge and on the number of images: compare them only where both are equal.
"""

# torch-fidelity is imported where it is used. With it comes Triton, whose bindings say at a stage's exit that what had
# been imported before the stage began has leaked.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganscribe.core.files import load_torch
from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.datasets.pixels import to_signed
from ganscribe.execution.progress import progress

EXTRACTION_BATCH = 250
NEIGHBOURHOOD = 3  # k of precision and recall, as in the paper
COVERED_PART = 10  # a class is covered from one in so many of its real share on

# A batch of images uint8 -> the judge's features (N, D) and class scores (N, K).
Extractor = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Judged:
    """What a judge says of a set of images: features (N, D) and logits (N, K), float64."""

    features: Tensor
    logits: Tensor


@torch.no_grad()
def judge_features(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """A classifier's features (the input of its last linear layer) and logits of `images`, float32."""
    device = next(model.parameters()).device
    signed = to_signed(images.to(device)).contiguous(memory_format=torch.channels_last)
    features = model.features(signed)  # type: ignore[operator]
    return features, model.classifier(features)  # type: ignore[operator]


def classifier_extractor(model: nn.Module) -> Extractor:
    """A judge from a network with `features` and `classifier`; put into evaluation mode."""
    model.eval().to(memory_format=torch.channels_last)
    return lambda images: judge_features(model, images)


def inception_extractor(weights: str | Path, device: torch.device | str = "cpu") -> Extractor:
    """A judge from the FID Inception network on `device`, its weights in torch-fidelity's file; grey images are tiled.

    It resizes to 299 pixels as TensorFlow 1 did. Raises FileNotFoundError without the file, ValueError where it is not
    that network's.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        # torch-fidelity unpickles whatever it is given: what passes here is tensors alone.
        if not isinstance(load_torch(weights), dict):
            raise ValueError("it holds no dict")
        network = FeatureExtractorInceptionV3(
            "fid-inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{weights} is missing: it should be torch-fidelity's file of the FID Inception network"
        ) from None
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{weights} is not a state dict of the FID Inception network: take torch-fidelity's file"
        ) from error
    network.to(device)

    def extract(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(images.to(device).expand(-1, 3, -1, -1).contiguous())
        return features, logits

    return extract


def judge_images(images: Tensor, extractor: Extractor, description: str = "judging") -> Judged:
    """Run the judge over `images` (N, C, H, W) uint8 in batches of one size."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f"need images (N, C, H, W) uint8, not {images.dtype} {tuple(images.shape)}")
    features, logits = [], []
    with progress(len(images), description, "image") as bar, torch.no_grad():
        for batch in images.split(EXTRACTION_BATCH):
            batch_features, batch_logits = extractor(batch)
            features.append(batch_features)
            logits.append(batch_logits)
            bar.update(len(batch))
    return Judged(torch.cat(features).cpu().double(), torch.cat(logits).cpu().double())


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """FID of features (N, D): |m - m'|^2 + Tr(C + C' - 2 (C C')^1/2) of their means and unbiased covariances.

    Heusel et al. 2017 (1706.08500), eq. 6, computed in float64.
    """
    from torch_fidelity import metric_fid

    pair = [metric_fid.fid_features_to_statistics(part.double().cpu()) for part in (generated, real)]
    return float(metric_fid.fid_statistics_to_metric(*pair, False)[metric_fid.KEY_METRIC_FID])


def kernel_distance(real: Tensor, generated: Tensor, *, seed: int) -> float:
    """KID of features (N, D): the mean over 100 subsets of the unbiased MMD^2 with a cubic kernel.

    Binkowski et al. 2018 (1801.01401), section 4. Subsets have min(1000, smaller set) images; where that is all of
    both sets, there is only one. May be below 0.
    """
    from torch_fidelity import metric_kid

    size = min(1000, len(real), len(generated))
    scores = metric_kid.kid_features_to_metric(
        generated.double(),
        real.double(),
        kid_subsets=1 if size == max(len(real), len(generated)) else 100,
        kid_subset_size=size,
        rng_seed=stream_seed(seed, "kid") % 2**32,
        verbose=False,
    )
    return float(scores[metric_kid.KEY_METRIC_KID_MEAN])


def inception_score(logits: Tensor, *, seed: int) -> float:
    """exp E KL(p(y|x) || p(y)) of logits (N, K), mean over ten parts: Salimans et al. 2016 (1606.03498)."""
    from torch_fidelity import metric_isc

    parts, rng_seed = min(10, len(logits)), stream_seed(seed, "is") % 2**32
    scores = metric_isc.isc_features_to_metric(logits.double(), parts, True, rng_seed)
    return float(scores[metric_isc.KEY_METRIC_ISC_MEAN])


def precision_recall(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """Precision (generated inside the real manifold) and recall (real inside the generated one).

    Kynkäänniemi et al. 2019 (1904.06991), eq. 2, k = 3, on features (N, D).
    """
    from torch_fidelity import metric_prc

    scores = metric_prc.prc_features_to_metric(
        generated.double(),
        real.double(),
        prc_neighborhood=NEIGHBOURHOOD,
        prc_batch_size=1000,  # rows of the distance matrix in memory at a time
        save_cpu_ram=True,
        verbose=False,
    )
    return float(scores[metric_prc.KEY_METRIC_PRECISION]), float(scores[metric_prc.KEY_METRIC_RECALL])


@dataclass(frozen=True)
class Coverage:
    """`modes` covered, `kl` in nats, and the share of each class, (K,) float64 each."""

    modes: int
    kl: float
    generated_shares: Tensor
    real_shares: Tensor


def class_coverage(generated_labels: Tensor, real_labels: Tensor, num_classes: int) -> Coverage:
    """Which classes are generated, and KL(generated || real) = sum g log(g / r) of the class shares, in nats.

    A class counts as covered where its share is at least a tenth of its share among the real images.
    Raises ValueError for a class without a real image (its KL is infinite).
    """
    made, found = (
        torch.bincount(labels.cpu(), minlength=num_classes) for labels in (generated_labels, real_labels)
    )
    generated, real = (counts.double() / counts.sum() for counts in (made, found))
    if (real == 0).any():
        absent = (real == 0).nonzero().flatten().tolist()
        raise ValueError(f"no real image is of class {absent}: score against images of every class")
    kl = torch.special.xlogy(generated, generated / real).sum()  # 0 log 0 = 0
    # In whole numbers: 0.1 times a share of 0.1 is rounded to more than 0.01.
    modes = int((COVERED_PART * made * found.sum() >= found * made.sum()).sum())
    return Coverage(modes, float(kl), generated, real)


def sliced_wasserstein(real: Tensor, generated: Tensor, *, num_projections: int = 256, seed: int) -> float:
    """The mean 1-Wasserstein distance of pixels in [0, 1] along random unit directions (Bonneel et al. 2015).

    The sets, (N, C, H, W) or (N, D), may differ in size: exact, as the area between distribution functions.
    """
    scale = 1 / 255 if real.dtype == torch.uint8 else 1.0
    sets = [part.flatten(1).double() * scale for part in (real, generated)]
    rng = random_stream(seed, "sliced wasserstein")
    directions = torch.randn(sets[0].shape[1], num_projections, generator=rng, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    masses = torch.full((len(sets[0]) + len(sets[1]),), 1 / len(sets[0]), dtype=torch.float64)
    masses[len(sets[0]) :] = -1 / len(sets[1])
    values, order = torch.cat([part @ directions for part in sets]).sort(dim=0)  # (N + M, num_projections)
    gaps = masses[order].cumsum(dim=0)[:-1].abs()
    return float((gaps * values.diff(dim=0)).sum(dim=0).mean())


def nearest_neighbours(samples: Tensor, training: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """The `count` nearest `training` images of each of `samples`, uint8, by exact L2 distance in grey levels.

    Returns rows (N, count) int64, nearest first (ties: the lower row), and distances (N, count) float64.
    """
    queries = samples.flatten(1).double()
    # Sums of integers below 2**53: exact in float64.
    squares = torch.cat(
        [
            queries.square().sum(1, keepdim=True) - 2 * queries @ part.T + part.square().sum(1)
            for part in (batch.flatten(1).double() for batch in training.split(5000))
        ],
        dim=1,
    )
    nearest, rows = squares.sort(dim=1, stable=True)
    return rows[:, :count], nearest[:, :count].sqrt()
