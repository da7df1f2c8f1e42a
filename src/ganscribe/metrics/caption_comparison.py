"""Two captioners, or two ways of decoding, on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ganscribe.metrics.intervals import difference_intervals

SCORES = ("BLEU", "METEOR", "ROUGE-L", "CIDEr")  # of each image, as `score_images` has them


def _read_scores(path: str | Path) -> dict[int, dict[str, Any]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(path, columns=["image_id", *SCORES]).to_pylist()
    return {row["image_id"]: row for row in rows}


def compare(first: str | Path, second: str | Path, *, seed: int) -> dict[str, dict[str, float]]:
    """Return `first` less `second`, two tables of `write_decoded`, by score (`difference_intervals`).

    Raises ValueError if they are not of the same images.
    """
    one, other = _read_scores(first), _read_scores(second)
    if one.keys() != other.keys():
        raise ValueError(f"{first} and {second} are not of the same images: run `dvc repro`")
    one_scores, other_scores = (
        {name: np.array([rows[image_id][name] for image_id in one], dtype=np.float64) for name in SCORES}
        for rows in (one, other)
    )
    return difference_intervals(one_scores, other_scores, seed=seed)
