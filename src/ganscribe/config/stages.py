"""What each stage gets from params.yaml and params/<scale>.yaml (whose own shapes: paramsfile.py).

DVC tracks the values in the two files, not this module: a default below is never changed, or artifacts made
with the old one would pass for current.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Kind = Literal["sample", "download", "local"]
Dataset = Literal["mnist", "cifar10"]
Precision = Literal["auto", "bf16", "fp32"]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Betas = tuple[float, float]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Place:
    """Where one data set lies. `folder` (of a `local` source) is absolute."""

    source: Kind
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
    vocabulary_size: Annotated[int, Field(ge=3)]


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
    precision: Precision
    batch_size: Count
    images_per_shard: Count
    max_bad_images: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Features(FeaturesRecipe):
    """How Inception-v3 features are extracted and stored; `seed` is of the random network."""

    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierRecipe:
    """One entry of `classifier.runs`."""

    network: str
    dataset: Dataset
    optimiser: Literal["adam", "sgd"]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "linear", "cosine", "step"]
    batch_size: Count
    epochs: Rate  # need not be whole
    shift: Annotated[int, Field(ge=0)]
    options: dict[str, Any] = field(default_factory=dict)  # the network's own
    betas: Betas = (0.9, 0.999)  # Adam's
    momentum: Share = 0.9  # Nesterov's
    flip: bool = False  # augmentation: left to right, by chance
    decay: Literal["all", "weights"] = "all"  # weights: none on norms and biases


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierRun(ClassifierRecipe):
    """One classifier's training: its recipe, the family's seed and precision, the scale's cap."""

    seed: int
    precision: Precision
    max_updates: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierEvaluation:
    """Which classifier is scored, and on what."""

    network: str
    dataset: Dataset


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanRecipe:
    """One entry of `gan.runs`."""

    objective: str
    networks: str
    dataset: Dataset
    splits: list[Literal["train", "val"]]
    optimiser: Literal["adam", "rmsprop", "sgd"]
    learning_rate: Rate
    batch_size: Count
    noise_dim: Count
    noise: Literal["uniform", "normal"]
    steps: Count
    sample_every: Count
    betas: Betas | None = None  # Adam's
    classes: list[int] | None = None  # None: all
    critic_steps: Count = 1
    shuffle: bool = True  # False: the file's own order
    label_smoothing: Share = 0.0  # the critic's real target is 1 less this
    generator_smoothing: Share = 0.0  # the generator's target, likewise
    instance_noise: Annotated[float, Field(ge=0)] = 0.0  # std at the start, falls linearly to 0
    clip: Rate | None = None  # wgan; None: 0.01
    gradient_penalty: Rate | None = None  # wgan_gp; None: 10
    r1_penalty: Annotated[float, Field(ge=0)] = 0.0  # on real images; 0: none
    generator_first: bool = False  # the generator's update comes first, on the same noise
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the generator's moving average; 0: none
    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"  # of the learning rate
    grid_images: Count = 16
    snapshots: Count | None = None  # None: the family's


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanRun(GanRecipe):
    """One GAN's training: its recipe, the family's settings, the scale's cap."""

    seed: int
    precision: Precision
    log_every: Count
    max_updates: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanEvaluation:
    """What a GAN is scored against, and by whom."""

    dataset: Dataset
    classes: list[int] | None
    splits: list[str]
    judge: str
    fid_inception: str | None  # the weights' absolute path
    num_samples: Annotated[int, Field(ge=2)]
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GradientsRecipe:
    """The measurement behind gradient_vanishing and gradient_instability, on the recipe of `dcgan`."""

    epochs: Annotated[list[Count], Field(min_length=1)]
    critic_steps: Count
    measure_every: Count
    num_batches: Annotated[int, Field(ge=2)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Gradients(GradientsRecipe):
    """The measurement with the GAN's recipe, the seed and the scale's caps."""

    recipe: GanRecipe
    seed: int
    precision: Precision
    max_gan_updates: Count | None
    max_critic_updates: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelLinesRecipe:
    """The distances between two parallel segments, `thetas` apart, and the critics that estimate them."""

    thetas: Annotated[list[float], Field(min_length=2)]
    critic_steps: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelLines(ParallelLinesRecipe):
    """The distances, with the seed and the scale's cap."""

    seed: int
    max_updates: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SnapshotScoring:
    """How the generators kept along the runs are scored."""

    dataset: Dataset
    judge: str
    num_samples: Annotated[int, Field(ge=4)]
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Judging:
    """How the GANs are scored by each of the judges that are compared."""

    num_samples: Annotated[int, Field(ge=4)]
    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Decoding:
    """One way to turn probabilities into a caption."""

    method: Literal["greedy", "beam", "sample"]
    width: Count = 1
    length_penalty: float = 0.0
    temperature: Rate = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: all words
    seed: int = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerEvaluation:
    """How captions are decoded and how many attention figures are drawn."""

    decodings: Annotated[dict[str, Decoding], Field(min_length=1)]
    max_length: Count
    figures: Annotated[int, Field(ge=0)]
    seed: int = 0
    precision: Precision = "auto"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerRecipe:
    """One entry of `captioner.runs`."""

    embedding_dim: Count
    units: Count
    encoder_dim: Count
    optimiser: Literal["adam"]
    learning_rate: Rate
    batch_size: Count
    epochs: Count
    gate: bool = False  # on the context, by the state before
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"  # of the learning rate
    clip_norm: Rate | None = None  # of the gradient
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    doubly_stochastic: Annotated[float, Field(ge=0)] = 0.0  # lambda of 1502.03044, equation 14
    scheduled_sampling: Share = 0.0  # probability of own words at the end, rising from 0
    early_stopping: Count | None = None  # epochs without a better validation CIDEr; the best epoch is kept


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerRun(CaptionerRecipe):
    """One captioner's training: its recipe, the family's settings, the scale's cap."""

    seed: int
    precision: Precision
    log_every: Count
    max_updates: Count | None
