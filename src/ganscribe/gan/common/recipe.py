"""One run of the family: objective x networks x optimiser x data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ganscribe.core.options import STRICT, BelowOne, Count, Rate, option
from ganscribe.training.optimisers import OptimiserName
from ganscribe.training.schedules import ScheduleName


@dataclass(frozen=True, kw_only=True)
class GanRecipe:
    """How a generator is trained against a critic, and on what."""

    __pydantic_config__ = STRICT

    objective: str = option("what the two players minimise: a file of `gan/objectives/`")
    objective_options: dict[str, Any] = option(
        "options of the objective, which its file describes", default={}
    )
    networks: str = option("generator and critic: a file of `gan/networks/`")
    network_options: dict[str, Any] = option(
        "options of the networks, which their file describes", default={}
    )
    dataset: Literal["mnist", "cifar10"] | None = option(
        "the data set; every run of params.yaml must name one", default=None
    )
    splits: tuple[Literal["train", "val"], ...] = option(
        "the parts of the data set that are trained on", default=("train",)
    )
    classes: tuple[int, ...] | None = option(
        "the classes that are trained on, counted from 0; null: all", default=None
    )
    optimiser: OptimiserName = option(
        "the optimiser of both networks: `adam`, `rmsprop` or `sgd`", default="adam"
    )
    learning_rate: Rate = option("learning rate of both networks, before the schedule", default=1e-3)
    betas: tuple[float, float] = option(
        "how slowly Adam's two moving averages change", default=(0.5, 0.999), paper="Kingma and Ba 1412.6980"
    )
    schedule: ScheduleName = option(
        "how the learning rate goes on: `constant`, `linear`, `cosine` or `step`", default="constant"
    )
    schedule_options: dict[str, Any] = option("options of the schedule, such as `warm_up`", default={})
    batch_size: Count = option("images in an update", default=128)
    shuffle: bool = option(
        "whether each epoch has an order of its own; false: the order of the file", default=True
    )
    noise_dim: Count = option("length of the noise vector", default=96)
    noise: Literal["uniform", "normal"] = option(
        "distribution of the noise: `uniform` in [-1, 1), or standard `normal`", default="uniform"
    )
    steps: Count = option("updates of the generator")
    critic_steps: Count = option("updates of the critic before each update of the generator", default=1)
    penalty_every: Count = option(
        "the gradient penalty is computed in one of so many updates of the critic, and multiplied by their number",
        default=1,
        paper="Karras et al. 1912.04958",
    )
    generator_first: bool = option(
        "whether the generator is updated first, and then the critic on the same noise", default=False
    )
    ema_decay: BelowOne = option(
        "decay of a moving average of the generator, which is kept instead of the generator; 0: no average",
        default=0.0,
        paper="Yazici et al. 1806.04498",
    )
    sample_every: Count = option("steps between two grids of samples", default=250)
    grid_images: Count = option("samples in a grid", default=16)
    snapshots: Count = option("number of generators that are kept on the way, at even distances", default=4)
    snapshot_steps: tuple[Count, ...] | None = option(
        "the steps at which generators are kept, instead of `snapshots`", default=None
    )
