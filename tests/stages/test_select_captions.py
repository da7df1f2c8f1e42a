"""select_captions: what its choice leaves the stages behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ganscribe.datasets.captions import read_captions
from ganscribe.sources.acquire import acquire
from parameters import copy_params, use_local
from publications import small_coco


@pytest.mark.parametrize("split", ["[0.4, 0.3, 0.3]", "[0.7, 0.3, 0.0]"])
def test_it_is_said_that_nothing_is_left_to_score(
    project: Path, workplace: Path, load_stage: Any, split: str
) -> None:
    copy_params(project, workplace, ("split:\n  - 0.8\n  - 0.1\n  - 0.1\n", f"split: {split}\n"))
    use_local(workplace, "coco", "mine")
    small_coco(workplace / "mine")
    acquire("coco", source="local", folder="mine", destination="data/raw/coco", scenes=1, seed=0)
    done = CliRunner().invoke(load_stage("select_captions")["main"])
    assert done.exit_code == 0, done.output
    captions = read_captions("data/captions/captions.parquet")
    has_test = any(caption.split == "test" for caption in captions)
    assert has_test == split.endswith("0.3]") and ("leaves no test images" in done.stderr) == (not has_test)
