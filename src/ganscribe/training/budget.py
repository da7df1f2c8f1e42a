"""How far a training goes, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a training takes beside its recipe.

    `seed` of everything random; `precision` auto, bf16 or fp32; `log_every` steps between two rows of the
    loss table (a convnet has one row for each epoch instead); `max_updates` of any network at most, None for
    the recipe's own length. Schedules and warm-ups shrink with a training that is cut short.
    """

    seed: int
    precision: str = "auto"
    log_every: int = 25
    max_updates: int | None = None
