"""Models as MLflow keeps and serves them, and the demo page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganscribe.serving.models import Served


def _load_pyfunc(path: str) -> Served:
    """Return the model whose files are in the folder `path`; MLflow calls this for every registered model."""
    from ganscribe.serving.models import load

    return load(path)
