"""What each stage gets from params.yaml and params/<scale>.yaml; files.py has the shapes of the files themselves.

The recipes are in the families' packages. DVC tracks the values in the two files, not this module: a default
below is never changed, or artifacts made with the old one would pass for current.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.options import STRICT as _STRICT
from ganscribe.core.options import Bounds, Count, Share
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.training.budget import Budget

STRICT = ConfigDict(**_STRICT)  # type: ignore[typeddict-item]

Kind = Literal["sample", "download", "local"]
OptionalKind = Literal["none", "download", "local"]  # of what the project can do without
Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Place:
    """Where one data set is. `folder` (of a `local` source) is absolute."""

    source: Kind | OptionalKind
    folder: str | None
    archive: bool


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Source(Place):
    """Where one data set comes from; `scenes` pictures are drawn from `seed` for a `sample`."""

    scenes: Count
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionsRecipe:
    """`captions` of params.yaml."""

    split: tuple[Share, Share, Share]
    split_by: Literal["image", "caption"]
    vocabulary_size: Annotated[int, Bounds(ge=3)]
    tokeniser: Literal["tutorial", "unicode"] = "tutorial"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Captions:
    """How many captions are kept, and how they are split."""

    count: Count
    split: tuple[Share, Share, Share]
    split_by: Literal["image", "caption"]
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FeaturesRecipe:
    """`features` of params.yaml."""

    crop: Literal["none", "center"]
    decoder: Literal["cpu", "gpu"]
    precision: Precision
    batch_size: Count
    images_per_shard: Count
    max_bad_images: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Features(FeaturesRecipe):
    """How Inception-v3 features are extracted and stored; `seed` is of the random network."""

    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierRun:
    """One classifier's training."""

    recipe: ClassifierRecipe
    budget: Budget


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierEvaluation:
    """What a classifier is scored on."""

    dataset: Literal["mnist", "cifar10"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanRun:
    """One GAN's training."""

    recipe: GanRecipe
    budget: Budget


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanEvaluation:
    """How a GAN is scored. The first of `judges` on its data set gives the headline numbers."""

    judges: tuple[str, ...]
    num_samples: Annotated[int, Bounds(ge=4)]
    snapshot_samples: Annotated[int, Bounds(ge=4)]  # of each generator that was kept during the training
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GradientsRecipe:
    """The measurement behind gradient_vanishing and gradient_instability, the same for each of its runs."""

    epochs: Annotated[tuple[Count, ...], Field(min_length=1)]
    critic_steps: Count
    measure_every: Count
    num_batches: Annotated[int, Bounds(ge=2)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gradients(GradientsRecipe):
    """The measurement on one run, with the seed and the scale's caps."""

    recipe: GanRecipe
    seed: int
    precision: Precision
    max_gan_updates: Count | None
    max_critic_updates: Count | None
    max_num_batches: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelLinesRecipe:
    """The distances between two parallel segments, `thetas` apart, and the critics that estimate them."""

    thetas: Annotated[tuple[float, ...], Field(min_length=2)]
    critic_steps: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelLines(ParallelLinesRecipe):
    """The distances, with the seed and the scale's cap."""

    seed: int
    max_updates: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Decoding:
    """One way to turn probabilities into a caption."""

    method: Literal["greedy", "beam", "sample"]
    width: Count = 1
    length_penalty: Annotated[float, Bounds(ge=-10, le=10)] = 0.0
    temperature: Annotated[float, Bounds(ge=1e-6)] = 1.0  # as in `decoding.sample`
    top_k: Annotated[int, Bounds(ge=0)] = 0  # 0: all words
    seed: int = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerEvaluation:
    """How captions are decoded and how many attention figures are drawn."""

    decodings: Annotated[dict[str, Decoding], Field(min_length=1)]
    max_length: Count
    figures: Annotated[int, Bounds(ge=0)]
    seed: int = 0
    precision: Precision = "auto"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerRun:
    """One captioner's training."""

    recipe: CaptionerRecipe
    budget: Budget
