"""A training that is killed right after it has saved its state."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ganscribe.execution.checkpoint import Checkpoint


class StopAfter(Checkpoint):
    """A checkpoint that saves where it is asked for the n-th time, and stops there, as a kill right after."""

    def __init__(self, directory: Path, calls: int) -> None:
        super().__init__(directory, every_seconds=math.inf)
        self.calls, self.last = 0, calls

    def due(self, *, last: bool = False) -> bool:
        self.calls += 1
        return self.calls == self.last

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        raise KeyboardInterrupt


def reopen(directory: Path) -> Checkpoint:
    """The checkpoint that such a training has left, to go on from; it saves no more."""
    return Checkpoint(directory, every_seconds=math.inf)
