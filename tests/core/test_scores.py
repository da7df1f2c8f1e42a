"""The tables of scores: their names are those that are computed, and those that are shown anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ganscribe.convnets.common.evaluation import evaluate_classifier
from ganscribe.core.scores import EVERYWHERE, REPORT, Score, headline
from ganscribe.metrics import agreement, captions
from ganscribe.metrics import caption_comparison as comparison
from ganscribe.metrics.captions import caption_statistics, score_captions
from ganscribe.metrics.intervals import BLEU, resampled_scores
from ganscribe.metrics.objects import Target, score_objects
from ganscribe.metrics.tables import FAMILIES, find
from ganscribe.records import leaderboard
from ganscribe.records.lineage.run_key import code_files

# By family: where its files of `dvc metrics show` lie.
METRICS = {"gan": "gan", "classifier": "classifiers", "captioner": "captioner"}


def names(family: str) -> list[str]:
    return [score.name for score in FAMILIES[family]]


def test_headline_has_the_order_of_the_table_and_leaves_out_what_is_absent() -> None:
    table = (Score("a", "", "", EVERYWHERE), Score("b", "", "", REPORT), Score("c", "", "", EVERYWHERE))
    assert list(headline(table, {"c": 3, "b": 2, "a": 1}).items()) == [("a", 1), ("c", 3)]
    assert headline(table, {"c": 3}) == {"c": 3}
    assert headline((Score("lengthy", "", "", EVERYWHERE, short="l"),), {"lengthy": 0.123456}) == {
        "l": 0.1235
    }


def test_ten_headlines_at_most_in_all_families_together() -> None:
    shown = [score for table in FAMILIES.values() for score in table if "headline" in score.shown]
    assert len({score.short or score.name for score in shown}) <= 10
    assert len({score.name for score in shown}) == len({score.short or score.name for score in shown})


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_whole(family: str) -> None:
    assert len(set(names(family))) == len(FAMILIES[family])
    for score in FAMILIES[family]:
        assert find(family, score.name) is score
        assert score.meaning and score.better in ("higher", "lower", "")
        assert REPORT <= score.shown <= EVERYWHERE
    assert find(family, "ece") is None


def test_the_classifier_s_names_are_those_of_its_evaluation() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = vars(evaluate_classifier(model, images, torch.arange(20) % 10))
    scores = [name for name, value in found.items() if isinstance(value, float)]
    from_training = {"trained", "parameters", "flops"}
    assert {*scores, *from_training} == set(names("classifier"))


def test_the_captioner_s_names_are_those_of_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    # METEOR's own Java takes seconds.
    monkeypatch.setattr(captions, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 3))
    references = {1: ["a dog runs", "the dog runs"], 2: ["a cat sleeps"]}
    found = score_captions(references, {1: "a dog runs", 2: "a cat runs"})
    found |= caption_statistics([["a", "dog"]], [["a", "cat"]])
    found |= score_objects([Target("red", "star", (0, 0, 9, 9))], [["red", "star"]], [[(1, 1), (1, 1)]])[0]
    from_the_stage = {"loss", "perplexity", "trained"}
    assert {*found, *from_the_stage} == set(names("captioner"))


def test_every_name_that_is_shown_is_in_a_table() -> None:
    for family, kind in leaderboard.FAMILIES.items():
        assert {kind.score, *kind.shown} <= set(names(family))
        assert find(family, kind.score).better in ("higher", "lower")
    assert set(agreement.SCORES) <= set(names("gan"))
    per_image = {name: np.ones((2, 10) if name == BLEU else 2) for name in comparison.SCORES}
    assert set(resampled_scores(per_image, np.ones((1, 2)))) <= set(names("captioner"))


def test_the_leaderboard_goes_by_the_tables() -> None:
    gan, classifier, captioner = (leaderboard.FAMILIES[name] for name in FAMILIES)
    assert gan.shown == ("kid", "is", "precision", "recall", "modes", "swd")
    assert classifier.shown == ("calibration_error", "nll", "parameters")
    assert captioner.shown == ("BLEU-4", "METEOR", "ROUGE-L", "perplexity")
    assert gan.less_is_better and classifier.less_is_better and not captioner.less_is_better


@pytest.mark.parametrize("family", FAMILIES)
def test_the_metrics_in_git_are_the_headline(project: Path, family: str) -> None:
    names = [score.short or score.name for score in FAMILIES[family] if "headline" in score.shown]
    for path in sorted((project / "metrics" / METRICS[family]).glob("*.json")):
        found = list(json.loads(path.read_text()))
        assert found == [name for name in names if name in found]


def test_the_tables_need_no_torch() -> None:
    code = "import sys, ganscribe.metrics.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "stage",
    ["train_gan", "train_classifier", "train_captioner", "evaluate_classifier", "evaluate_captioner"],
)
def test_a_new_score_of_a_gan_changes_no_other_stage(project: Path, stage: str) -> None:
    metrics = project / "src/ganscribe/metrics"
    files = code_files(project / "stages" / f"{stage}.py")
    assert not {metrics / f"{name}.py" for name in ("gan_scores", "tables", "images")} & set(files)
