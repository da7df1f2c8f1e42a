from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from captioners import VOCABULARY, images, saved_captioner
from ganscribe.captioning.evaluation import caption_images, write_decoded
from ganscribe.captioning.inference import decode


def test_captions_become_a_table_that_pandas_reads(tmp_path: Path) -> None:
    saved, features = saved_captioner(tmp_path), images(5)
    found, rounded = (
        caption_images(
            saved,
            lambda image_ids: features[list(image_ids)].half(),
            [4, 0, 2],
            method="sample",
            temperature=3.0,
            top_k=0,
            seed=0,
            max_length=6,
            batch_size=2,
            precision=precision,
        )
        for precision in ("fp32", "bf16")
    )
    apart = [abs(one.log_prob - other.log_prob) for one, other in zip(found, rounded, strict=True)]
    assert 1e-4 < max(apart) < 0.5, "bfloat16 has three digits"
    for image_id, one in zip([4, 0, 2], found, strict=True):  # whatever batch it is in
        (alone,) = decode(
            saved.model,
            features[[image_id]].half().float(),
            vocabulary=VOCABULARY,
            image_ids=[image_id],
            method="sample",
            max_length=6,
            temperature=3.0,
        )
        assert alone.tokens == one.tokens
    path = tmp_path / "greedy.parquet"
    write_decoded(
        path,
        found,
        image_ids=[4, 0, 2],
        file_names=["e.jpg", "a.jpg", "c.jpg"],
        vocabulary=VOCABULARY,
        per_image={"CIDEr": np.array([0.5, 1.5, 0.0]), "BLEU": np.arange(30.0).reshape(3, 10)},
    )
    table = pd.read_parquet(path)
    assert table["CIDEr"].tolist() == [0.5, 1.5, 0.0] and list(table["BLEU"][1]) == list(range(10, 20))
    assert table["image_id"].tolist() == [4, 0, 2]
    for row, one in zip(table.itertuples(), found, strict=True):
        assert row.caption == VOCABULARY.decode(one.tokens) and len(row.attention) == len(one.tokens)
        assert all(float(sum(attention)) == pytest.approx(1, abs=1e-4) for attention in row.attention)
