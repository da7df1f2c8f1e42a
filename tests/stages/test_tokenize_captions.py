"""tokenize_captions: the tokeniser of params.yaml, and what makes it doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.datasets.tokens import read_vocabulary
from parameters import copy_params

TEXTS = ["一只猫坐在桌子上。", "一只狗在草地上"]


@pytest.mark.parametrize("tokeniser", ["tutorial", "unicode"])
def test_the_tokeniser_of_the_parameters(
    project: Path, workplace: Path, load_stage: Any, tokeniser: str
) -> None:
    copy_params(
        project,
        workplace,
        ("vocabulary_size: 5000", "vocabulary_size: 4"),
        ("tokeniser: tutorial", f"tokeniser: {tokeniser}"),
    )
    rows = [SelectedCaption(n, n, f"{n}.jpg", "", text, "train", True) for n, text in enumerate(TEXTS)]
    rows.append(rows[0]._replace(caption="一 鸟鸟鸟鸟", split="val"))  # which adds nothing to the vocabulary
    write_captions("data/captions/captions.parquet", rows)
    done = CliRunner().invoke(load_stage("tokenize_captions")["main"])
    assert done.exit_code == 0, done.output
    vocabulary = read_vocabulary("data/tokens/vocabulary.json")
    lengths = [len(tokens) for tokens in pd.read_parquet("data/tokens/tokens.parquet")["tokens"]]
    assert vocabulary.tokeniser == tokeniser
    assert ("一只猫坐在桌子上。" in vocabulary.words) == (tokeniser == "tutorial")
    assert lengths == ([3, 3, 4] if tokeniser == "tutorial" else [10, 9, 7])
    assert ("一" if tokeniser == "tutorial" else "鸟") not in vocabulary.words
    assert ("Warning: 2 captions have no blank" in done.stderr) == (tokeniser == "tutorial")
