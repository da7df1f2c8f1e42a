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
    objective_options: dict[str, Any] = option("the objective's own options, see its file", default={})
    networks: str = option("generator and critic: a file of `gan/networks/`")
    network_options: dict[str, Any] = option("the networks' own options, see their file", default={})
    dataset: Literal["mnist", "cifar10"] | None = option(
        "the images; a run of params.yaml must name them", default=None
    )
    splits: tuple[Literal["train", "val"], ...] = option("the parts that are trained on", default=("train",))
    classes: tuple[int, ...] | None = option(
        "only images of these of the data set's classes, counted from 0; all, if null", default=None
    )
    optimiser: OptimiserName = option("of both networks: adam, rmsprop or sgd", default="adam")
    learning_rate: Rate = option("of both networks, at the start", default=1e-3)
    betas: tuple[float, float] = option("Adam's", default=(0.5, 0.999), paper="Kingma and Ba 1412.6980")
    schedule: ScheduleName = option(
        "of the learning rate: constant, linear, cosine or step", default="constant"
    )
    schedule_options: dict[str, Any] = option("the schedule's own, and `warm_up` steps", default={})
    batch_size: Count = option("images of an update", default=128)
    shuffle: bool = option("a fresh permutation for every epoch; if false, the file's order", default=True)
    noise_dim: Count = option("numbers of the noise vector", default=96)
    noise: Literal["uniform", "normal"] = option("uniform in [-1, 1), or standard normal", default="uniform")
    steps: Count = option("updates of the generator")
    critic_steps: Count = option("updates of the critic before each of the generator's", default=1)
    penalty_every: Count = option(
        "one in so many updates of the critic has the gradient penalty, multiplied by this number",
        default=1,
        paper="Karras et al. 1912.04958",
    )
    generator_first: bool = option(
        "the generator's update comes first, and the critic's on the same noise", default=False
    )
    ema_decay: BelowOne = option(
        "of the generator's moving average, which is then what is kept; 0 for none",
        default=0.0,
        paper="Yazici et al. 1806.04498",
    )
    sample_every: Count = option("steps between two grids of samples", default=250)
    grid_images: Count = option("samples of a grid", default=16)
    snapshots: Count = option("generators that are kept along the way, evenly spaced", default=4)
    snapshot_steps: tuple[Count, ...] | None = option(
        "the steps at which generators are kept, instead of `snapshots`", default=None
    )
