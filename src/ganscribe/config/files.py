"""The shapes of the files params.yaml and params/<scale>.yaml, as pydantic checks them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ganscribe.config.stages import (
    STRICT,
    CaptionerEvaluation,
    CaptionerRecipe,
    CaptionsRecipe,
    ClassifierRecipe,
    Count,
    FeaturesRecipe,
    GanRecipe,
    GradientsRecipe,
    Kind,
    ParallelLinesRecipe,
    Precision,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceEntry:
    """One entry of `sources`: `scale` leaves the choice to params/<scale>.yaml."""

    source: Literal["scale", "sample", "download", "local"]
    folder: str | None
    archive: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sources:
    """`sources` of params.yaml."""

    mnist: SourceEntry
    cifar10: SourceEntry
    coco: SourceEntry
    inception: SourceEntry


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Data:
    """`data` of params.yaml."""

    seed: int


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClassifierFamily:
    """`classifier` of params.yaml."""

    seed: int
    precision: Precision
    runs: dict[str, ClassifierRecipe]
    zoo: dict[str, ClassifierRecipe]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GanFamily:
    """`gan` of params.yaml."""

    seed: int
    precision: Precision
    log_every: Count
    snapshots: Count
    fid_inception: str | None
    runs: dict[str, GanRecipe]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Diagnostics:
    """`diagnostics` of params.yaml."""

    seed: int
    gradients: GradientsRecipe
    parallel_lines: ParallelLinesRecipe


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CaptionerFamily:
    """`captioner` of params.yaml."""

    seed: int
    precision: Precision
    log_every: Count
    runs: dict[str, CaptionerRecipe]
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
    judge: str
    judges: Annotated[tuple[str, ...], Field(min_length=2)]
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Amounts:
    """How much of the data a scale takes."""

    scenes: Count
    pictures: Count
    captions: Count
    vocabulary: Count | None
    gan_samples: Annotated[int, Field(ge=2)]
    snapshot_samples: Annotated[int, Field(ge=4)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaxDiagnosticUpdates:
    """Caps of the diagnostics' own trainings: GAN and critics of `gradients`, the lines' critics."""

    gan: Count | None
    critic: Count | None
    lines: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaxUpdates:
    """At most this many updates of any network; None: the recipe's own budget."""

    classifier: dict[str, Count | None]
    zoo: Count | None  # each of them
    gan: dict[str, Count | None]
    diagnostics: MaxDiagnosticUpdates
    captioner: dict[str, Count | None]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scale:
    """params/<scale>.yaml as a whole."""

    sources: ScaleSources
    amounts: Amounts
    max_updates: MaxUpdates
