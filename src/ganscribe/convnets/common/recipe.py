"""The recipe of a classifier: every option that decides what it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ganscribe.core.options import STRICT, Bounds, Count, NotNegative, Rate, Share, option
from ganscribe.training.optimisers import OptimiserName
from ganscribe.training.schedules import ScheduleName


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """How a convnet is made and trained, and on what."""

    __pydantic_config__ = STRICT

    network: str = option("the convnet: a file of `convnets/networks/`")
    dataset: Literal["mnist", "cifar10"] = option("the data set")
    options: dict[str, Any] = option("options of the convnet, which its file describes", default={})
    optimiser: OptimiserName = option("`adam`, `rmsprop` or `sgd`", default="adam")
    learning_rate: Rate = option("learning rate, before the schedule", default=1e-3)
    betas: tuple[float, float] = option(
        "how slowly Adam's two moving averages change", default=(0.9, 0.999), paper="Kingma and Ba 1412.6980"
    )
    momentum: Share = option(
        "Nesterov's momentum, which only `sgd` has", default=0.9, paper="Sutskever et al. 2013, section 2"
    )
    weight_decay: NotNegative = option("factor of the L2 penalty's gradient", default=0.0)
    decay: Literal["all", "weights"] = option(
        "what decays: all parameters, or the weights without norms and biases",
        default="all",
        paper="weights: He et al. 1812.01187, section 3.1",
    )
    schedule: ScheduleName = option(
        "how the learning rate goes on: `constant`, `linear`, `cosine` or `step`",
        default="cosine",
        paper="cosine: Loshchilov and Hutter 1608.03983; step: He et al. 1512.03385",
    )
    schedule_options: dict[str, Any] = option("options of the schedule, such as `warm_up`", default={})
    batch_size: Count = option("images in an update", default=128)
    epochs: Rate = option("passes over the images, which need not be a whole number")
    shift: Annotated[int, Bounds(ge=0)] = option(
        "augmentation: images are moved at random by up to this many pixels",
        default=0,
        paper="He et al. 1512.03385, section 4.2",
    )
    flip: bool = option(
        "augmentation: mirror images left to right at random",
        default=False,
        paper="He et al. 1512.03385, section 4.2",
    )
