"""Progress bars."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(total: int | None, description: str, unit: str, initial: int = 0) -> tqdm[Any]:
    """Return a progress bar on standard error; without a terminal, it prints a line at most every ten seconds."""
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        dynamic_ncols=sys.stderr.isatty(),
        unit_scale=unit == "B",
        unit_divisor=1024,
    )
