"""The recipe of a captioner's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ganscribe.core.options import STRICT, BelowOne, Count, NotNegative, Rate, Share, option
from ganscribe.training.optimisers import OptimiserName
from ganscribe.training.schedules import ScheduleName


@dataclass(frozen=True, kw_only=True)
class CaptionerRecipe:
    """How a captioner is built and trained; what has no default must be given."""

    __pydantic_config__ = STRICT

    embedding_dim: Count = option("width of the embedded words", default=256)
    units: Count = option("width of the GRU's state, and of the attention", default=512)
    encoder_dim: Count = option("width of the encoded features", default=256)
    standardise: bool = option(
        "whether features are centred by their mean over the training images, each channel at each position, and"
        " scaled by each channel's standard deviation",
        default=False,
        paper='LeCun et al. 1998 ("Efficient BackProp"), section 4.3',
    )
    optimiser: OptimiserName = option("`adam`, `rmsprop` or `sgd`", default="adam")
    learning_rate: Rate = option("learning rate, before the schedule", default=1e-3)
    batch_size: Count = option("captions in a batch", default=64)
    epochs: Count = option("passes over the training captions")
    gate: bool = option(
        "whether a gate, computed from the state before, scales the context of each word",
        default=False,
        paper="Xu et al. 2015 (1502.03044), section 4.2.1",
    )
    dropout: BelowOne = option(
        "dropout of the encoded features, the embedded words and what the last two layers take in",
        default=0.0,
        paper="Zaremba et al. 2014 (1409.2329)",
    )
    schedule: ScheduleName = option(
        "how the learning rate goes on: `constant`, `linear`, `cosine` or `step`", default="constant"
    )
    schedule_options: dict[str, Any] = option("options of the schedule, such as `warm_up`", default={})
    clip_norm: Rate | None = option("the gradient's largest norm; null: no bound", default=None)
    label_smoothing: BelowOne = option(
        "how much of the target is spread evenly over all words",
        default=0.0,
        paper="Szegedy et al. 2015 (1512.00567), section 7",
    )
    doubly_stochastic: NotNegative = option(
        "lambda of the penalty that asks attention to see every position once",
        default=0.0,
        paper="Xu et al. 2015 (1502.03044), equation 14",
    )
    scheduled_sampling: Share = option(
        "probability, at the end of the training, of going on from the model's own last word; it rises from"
        " 0 in a straight line",
        default=0.0,
        paper="Bengio et al. 2015 (1506.03099), section 2.4",
    )
    early_stopping: Count | None = option(
        "epochs to go on without a better CIDEr on the validation images, after which the best epoch's"
        " weights are the result; null: all epochs, and the last one's weights",
        default=None,
    )
