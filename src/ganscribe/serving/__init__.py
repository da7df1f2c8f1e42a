"""Models as MLflow keeps and serves them, and the demo page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganscribe.serving.models import Served


def _load_pyfunc(path: str) -> Served:
    """Return the model whose files lie in the folder `path`: what every registered model calls in MLflow."""
    from ganscribe.serving.models import load

    return load(path)
