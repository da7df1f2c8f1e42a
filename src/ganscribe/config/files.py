"""The shapes of the files params.yaml and params/<scale>.yaml, as pydantic checks them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.config.stages import (
    STRICT,
    CaptionerEvaluation,
    CaptionsRecipe,
    FeaturesRecipe,
    GradientsRecipe,
    Kind,
    OptionalKind,
    ParallelLinesRecipe,
    Precision,
)
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.options import BelowOne, Bounds, Count, NotNegative
from ganscribe.gan.common.recipe import GanRecipe

# By scale, at most how many updates of any network; None: the recipe's own budget.
Caps = dict[str, Count | None]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceEntry:
    """One entry of `sources`: `scale` leaves the choice to params/<scale>.yaml."""

    source: Literal["scale", "sample", "download", "local"]
    folder: str | None
    archive: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptionalEntry:
    """One entry of `sources` that the project can do without."""

    source: Literal["scale", "none", "download", "local"]
    folder: str | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sources:
    """`sources` of params.yaml."""

    mnist: SourceEntry
    cifar10: SourceEntry
    coco: SourceEntry
    inception: SourceEntry
    fid_inception: OptionalEntry


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """`data` of params.yaml."""

    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleOptions:
    """`schedule_options` of a run whose `schedule` has none of its own."""

    warm_up: Annotated[int, Bounds(ge=0)] = 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StepOptions(ScheduleOptions):
    """`schedule_options` of a run whose `schedule` is `step`."""

    factor: NotNegative = 0.1
    at: tuple[BelowOne, ...] = ()


# A run's block is its recipe and, where they differ from the family's, its caps.
@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierBlock(ClassifierRecipe):
    """One entry of `classifier.runs` or `classifier.zoo`."""

    cap: Caps = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanBlock(GanRecipe):
    """One entry of `gan.runs`."""

    cap: Caps = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionerBlock(CaptionerRecipe):
    """One entry of `captioner.runs`."""

    cap: Caps = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierFamily:
    """`classifier` of params.yaml."""

    seed: int
    precision: Precision
    cap: Caps
    runs: dict[str, ClassifierBlock]
    zoo: dict[str, ClassifierBlock]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanFamily:
    """`gan` of params.yaml."""

    seed: int
    precision: Precision
    log_every: Count
    cap: Caps
    runs: dict[str, GanBlock]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GradientsBlock(GradientsRecipe):
    """`diagnostics.gradients` of params.yaml."""

    runs: Annotated[dict[str, GanRecipe], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Diagnostics:
    """`diagnostics` of params.yaml."""

    seed: int
    gradients: GradientsBlock
    parallel_lines: ParallelLinesRecipe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerFamily:
    """`captioner` of params.yaml."""

    seed: int
    precision: Precision
    log_every: Count
    cap: Caps
    runs: dict[str, CaptionerBlock]
    evaluation: CaptionerEvaluation


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Params:
    """params.yaml as a whole."""

    scale: str
    sources: Sources
    data: Data
    captions: CaptionsRecipe
    features: FeaturesRecipe
    classifier: ClassifierFamily
    judges: Annotated[tuple[str, ...], Field(min_length=1)]
    gan: GanFamily
    diagnostics: Diagnostics
    captioner: CaptionerFamily


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScaleSources:
    """`sources` of a scale."""

    mnist: Kind
    cifar10: Kind
    coco: Kind
    inception: Kind
    fid_inception: OptionalKind


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Amounts:
    """How much of the data a scale takes."""

    scenes: Count
    pictures: Count
    captions: Count
    vocabulary: Count | None
    gan_samples: Annotated[int, Bounds(ge=4)]
    snapshot_samples: Annotated[int, Bounds(ge=4)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DiagnosticsCap:
    """Caps of the diagnostics: updates of GAN and critics of `gradients` and its noise batches, updates of the lines'
    critics."""

    gan: Count | None
    critic: Count | None
    noises: Annotated[int, Bounds(ge=2)] | None
    lines: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scale:
    """params/<scale>.yaml as a whole."""

    sources: ScaleSources
    amounts: Amounts
    diagnostics: DiagnosticsCap
