"""page.py: the page says what the files say, marks the best, and needs no other file."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganscribe.core.length import Length
from ganscribe.core.scores import Score
from ganscribe.datasets.prepare import write_images
from ganscribe.metrics.tables import FAMILIES
from ganscribe.report import page, tables
from ganscribe.report.cards import captioner_card, data_cards, gan_card

PARAMS = {"scale": "tiny", "code": "Made by the code of commit abc1234."}
SURE = {"CIDEr": {"low": 0.25, "high": 0.75}}


class Page(HTMLParser):
    """What a browser would fetch, and the cells of the tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.cells: list[tuple[str, bool]] = []
        self._in_cell: bool | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("img", "script", "link", "iframe"):
            self.fetched.append(values.get("src") or values.get("href") or "")
        if tag == "td":
            self._in_cell = "best" in (values.get("class") or "")

    def handle_data(self, data: str) -> None:
        if self._in_cell is not None:
            self.cells.append((data, self._in_cell))
            self._in_cell = None


def names(table: dict[str, Any]) -> list[str]:
    """The columns of a table."""
    return [column["name"] for column in table["columns"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    digits = {"dataset": "mnist", "judge": "lenet5", "judge_sha256": "aa11"}
    horses = {"dataset": "cifar10", "judge": "lenet5", "judge_sha256": "bb22"}
    scores = {
        "data/gan_scores/good/scores.json": {"fid": 3.25, "modes": 10, **digits},
        "data/gan_scores/poor/scores.json": {"fid": 114.0, "modes": 7, **digits},
        "data/gan_scores/horse/scores.json": {"fid": 1.5, **horses},
        "plots/classifiers/lenet5/scores.json": {"accuracy": 0.991, "error": 0.009, "dataset": "mnist"},
        "data/captioned/best/greedy.json": {"CIDEr": 0.5, "SPICE": "not installed", "intervals": SURE},
        "data/captioned/best/beam.json": {"CIDEr": 0.6, "SPICE": "not installed", "intervals": SURE},
    }
    for name, record in scores.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(record))
    recipe = {"dataset": "mnist", "objective": "lsgan", "seed": 7, "learning_rate": 0.0002}
    training = {"recipe": recipe, "precision": "bf16", "num_images": 50_000, "generator_updates": 1950}
    training |= {"critic_updates": 9750, "generator_parameters": 3_000_000, "critic_parameters": 2_000_000}
    caption = {"recipe": recipe, "precision": "fp32", "train_captions": 5120, "train_images": 1024}
    caption |= {"features": "random-init", "updates": 1600, "num_parameters": 9, "vocabulary_size": 3480}
    for name, record in (
        ("gan/good", training),
        ("gan/poor", training),
        ("gan/horse", training),
        ("captioner/best", caption),
    ):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "training.json").write_text(json.dumps(record))
        (folder / "run_key.json").write_text(json.dumps({"run_key": f"key of {name}"}))
    for name in ("gan/good", "gan/poor", "gan/horse", "classifiers/lenet5", "captioner/best"):
        path = tmp_path / "curves" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("step,critic_loss,train_loss\n1,0.5,0.7\n2,0.4,0.8\n")
    (tmp_path / "data/gan_scores/good/classes.csv").write_text(
        "class,generated,real\n0,0.75,0.5\n1,0.25,0.5\n"
    )
    for name, caption in (("experiments/parallel_lines", "The <lines>."), ("judges_compared", "They agree.")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "caption.txt").write_text(f"{caption}\n")
    for name in ("experiments/parallel_lines.png", "judges.png", "gan_scores/good/samples.png"):
        (tmp_path / "plots" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "plots" / name)
    return tmp_path


def test_the_page_is_self_contained_and_marks_the_best(root: Path) -> None:
    text = page.render(root, params=PARAMS)
    shown = Page(text)
    assert len(shown.fetched) == 4  # the samples of the best GAN stand on the first screen, too
    assert all(url.startswith("data:image/webp;base64,") for url in shown.fetched)
    assert ("3.25", True) in shown.cells
    assert ("114", False) in shown.cells
    assert ("10", True) in shown.cells
    assert ("0.6", True) in shown.cells
    assert shown.cells.count(("0.250 to 0.750", False)) == 2
    assert text.count("SPICE: <code>not installed</code>") == 1
    assert text.count("<svg") == 6  # five curves and the classes of one GAN


def shorten(path: Path, steps: int, of: int) -> None:
    """Have a file of scores say that the run has done so many of its recipe's steps."""
    path.write_text(json.dumps(json.loads(path.read_text()) | Length(steps, of).scores))


def test_runs_that_were_only_exercised_stand_apart_and_are_never_the_best(root: Path) -> None:
    scores = root / "data/gan_scores"
    shorten(scores / "good/scores.json", 15, 3905)
    shorten(scores / "poor/scores.json", 350, 1950)
    third = json.loads((scores / "poor/scores.json").read_text()) | {"fid": 120.0, "modes": 6}
    files = {
        "good": scores / "good/scores.json",
        "third": root / "third.json",
        "poor": scores / "poor/scores.json",
    }
    files["third"].write_text(json.dumps(third))
    table = tables.score_table("gan", files)
    assert names(table)[0] == "trained" and not {"trained_steps", "recipe_steps"} & set(names(table))
    rows = {row["name"]: row for row in table["rows"]}
    assert {name: row["is_exercised"] for name, row in rows.items()} == {
        "good": True,
        "poor": False,
        "third": False,
    }
    assert rows["good"]["cells"][:2] == [("15 of 3,905 steps", False), ("3.25", False)]
    assert rows["poor"]["cells"][:2] == [("350 of 1,950 steps", False), ("114", True)]

    text = page.render(root, params=PARAMS | {"scale": "sample"})
    folded = re.search(r'<details class="apart">.*?</details>', text, re.DOTALL)
    assert folded is not None and "before 10% of their recipe" in folded[0]
    assert (
        "<td>good</td>" in folded[0] and "15 of 3,905 steps" in folded[0] and "<td>poor</td>" not in folded[0]
    )
    card = text.index("<h3>good</h3>")
    assert text.rindex('<details class="apart"', 0, card) > text.index("<h3>poor</h3>"), (
        "its card, too, is apart"
    )


def test_a_page_of_nothing_but_exercised_runs_shows_them_unfolded(root: Path) -> None:
    for path in [*root.glob("data/gan_scores/*/scores.json"), *root.glob("data/captioned/*/*.json")]:
        shorten(path, 20, 3900)
    text = page.render(root, params=PARAMS)
    assert 'class="best"' not in text
    assert text.count('<details class="apart" open>') == text.count('<details class="apart"') > 3
    assert [word for word in ("greedy", "beam") if f"<td>best, {word}</td>" not in text] == []


def test_the_best_run_comes_first_whichever_way_is_better(root: Path) -> None:
    captioned = {path.stem: path for path in sorted(root.glob("data/captioned/*/*.json"))}
    rows = tables.score_table("captioner", captioned)["rows"]
    assert [row["name"] for row in rows] == ["beam", "greedy"]
    assert [row["name"] for row in tables.interval_table(captioned)["rows"]] == ["beam", "greedy"]
    for family, score in (("captioner", "CIDEr"), ("gan", "fid")):  # what has no such score comes last
        found = tables.record_table(family, {"none": {"loss": 1.0}, "one": {score: 1.0}, "two": {score: 2.0}})
        best = ["two", "one"] if family == "captioner" else ["one", "two"]
        assert [row["name"] for row in found["rows"]] == [*best, "none"]


def write_mnist(root: Path, source: str) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 4), ("test", 6)):
        write_images(
            root / f"data/mnist/{split}.parquet",
            rng.integers(0, 255, (count, 1, 28, 28), dtype=np.uint8),
            np.zeros(count, dtype=np.uint8),
            range(count),
            dataset="mnist",
            classes=["zero", "one"],
            source=source,
        )


def test_the_card_of_local_files_does_not_say_whose_they_are(root: Path) -> None:
    write_mnist(root, "download")
    (published,) = data_cards(root)
    write_mnist(root, "local")
    (local,) = data_cards(root)
    said, *texts = local.texts
    assert said == "Local files in the layout of mnist. If they are that data set itself:"
    assert tuple(texts) == published.texts


def test_cards_say_what_the_files_say(root: Path) -> None:
    write_mnist(root, "download")
    (card,) = data_cards(root)
    assert card.facts["images"] == "30 train, 4 val, 6 test"
    assert card.facts["shape"] == "1 x 28 x 28"
    assert card.facts["classes"] == "zero, one"
    assert "CC BY-SA 3.0" in card.texts[0], "not the sample"

    gan = gan_card(root / "models/gan/good")
    assert gan.facts["updates"] == "1,950 of the generator, 9,750 of the critic"
    assert gan.facts["parameters"] == "3,000,000 in the generator, 2,000,000 in the critic"
    assert gan.facts["objective"] == "lsgan" and "betas" not in gan.facts
    assert gan.facts["precision, seed"] == "bf16, 7"
    captioner = captioner_card(root / "models/captioner/best")
    assert captioner.facts["trained on"] == "5,120 captions of 1,024 images"
    text = page.render(root, params=PARAMS)
    for said in ("key of gan/poor", "key of captioner/best", "30 train, 4 val, 6 test", "random-init"):
        assert said in text


def test_the_card_of_captions_counts_captions_and_images(root: Path) -> None:
    folders = [root / "data" / name for name in ("captions", "features", "raw/coco")]
    for folder in folders:
        folder.mkdir(parents=True)
    rows = [(1, "train"), (1, "train"), (1, "train"), (2, "train"), (3, "val"), (3, "val"), (4, "test")]
    pd.DataFrame(rows, columns=["image_id", "split"]).to_parquet(folders[0] / "captions.parquet")
    made = {"network": "inception_v3", "weights": "random-init", "precision": "bf16"}
    shard = pa.table({"image_id": [1]}).replace_schema_metadata(made)
    pq.write_table(shard, folders[1] / "shard-00000.parquet")
    for source, said in (("sample", "nothing of COCO"), ("download", "photographs from Flickr")):
        (folders[2] / "manifest.json").write_text(json.dumps({"source": source}))
        (card,) = data_cards(root)
        assert card.facts == {
            "source": source,
            "captions": "4 train, 2 val, 1 test",
            "images": "2 train, 1 val, 1 test",
            "features": "inception_v3, random-init, bf16",
        }
        assert said in card.texts[0]


def test_the_first_screen_shows_the_best_and_where_it_comes_from(root: Path) -> None:
    change(root / "data/gan_scores/good/scores.json", floor_fid=0.75)
    text = page.render(root, params=PARAMS)
    first = text[: text.index('<section id="gans">')]
    assert "on the code" not in first and "Made by the code of commit abc1234." in first
    assert re.findall("<b>(.*?)</b><span>(.*?)</span>", html.unescape(first)) == [
        ("3.2", "FID of the best GAN, 'good'"),
        ("0.6", "CIDEr of the best captioner, 'best'"),
        ("99.1%", "of the test images get the right class"),
    ]
    said = html.unescape(first)
    assert "lower is better; 0.8 between real images" in said
    assert "Drawn by 'good', the best GAN." in said and "lowest FID" not in said, "'horse' has a lower one"


def test_what_is_in_drawn_scenes_is_the_captioners_number(root: Path) -> None:
    path = root / "data/captioned/best/beam.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"object_accuracy": 0.891}))
    assert "<b>89%</b><span>of the test scenes" in page.render(root, params=PARAMS)


@pytest.mark.parametrize("scores", [{"recall": 0.0, "precision": 1.0}, {"modes": 1}])
def test_a_run_that_has_collapsed_is_never_the_best(root: Path, scores: dict[str, float]) -> None:
    change(root / "data/gan_scores/good/scores.json", **scores)
    text = html.unescape(page.render(root, params=PARAMS))
    assert 'good <span class="better">(collapsed)</span>' in text
    assert ("3.25", True) not in Page(text).cells and "the best GAN, 'poor'" in text


def test_columns_say_which_direction_is_better(root: Path) -> None:
    text = page.render(root, params=PARAMS)
    assert '<th>fid <span class="better" title="lower is better">↓</span></th>' in text
    assert '<th>CIDEr <span class="better" title="higher is better">↑</span></th>' in text


def test_every_picture_has_its_size_and_words(root: Path) -> None:
    path = root / "plots/captioner/best/000000000042.png"
    path.parent.mkdir(parents=True)
    said = PngInfo()
    said.add_text("Description", "a dog  [random-init]\na person wrote: a brown dog")
    Image.new("RGB", (30, 20)).save(path, pnginfo=said)
    text = html.unescape(page.render(root, params=PARAMS))
    pictures = re.findall("<img [^>]*>", text)
    assert len(pictures) == 6 == text.count('<label class="zoom"'), "each opens at its full size"
    for tag in pictures:
        assert re.search(r' width="[1-9]\d*" height="[1-9]\d*"', tag) and not re.search(r'alt=""', tag)
    attention = [tag for tag in pictures if "Test image 42" in tag]
    assert len(attention) == 2 and "a dog  [random-init]; a person wrote: a brown dog" in attention[0]
    assert 'width="30" height="20"' in attention[0]


def test_scores_by_different_judges_share_no_table(root: Path) -> None:
    files = {path.parent.name: path for path in sorted(root.glob("data/gan_scores/*/scores.json"))}
    digits, horses = tables.score_tables("gan", files)
    assert [row["name"] for row in digits["table"]["rows"]] == ["good", "poor"]
    assert [row["name"] for row in horses["table"]["rows"]] == ["horse"]
    assert (digits["facts"]["dataset"], digits["table"]["notes"]["judge_sha256"]) == ("mnist", "aa11")
    assert all(not best for row in horses["table"]["rows"] for _, best in row["cells"])


def change(path: Path, **facts: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize(
    "facts", [{"data_sha256": "22"}, {"num_real": 7}, {"num_samples": 7}, {"source": "download"}]
)
def test_gans_that_were_held_against_other_images_share_no_table(
    root: Path, facts: dict[str, object]
) -> None:
    files = {path.parent.name: path for path in sorted(root.glob("data/gan_scores/*/scores.json"))}
    for path in files.values():
        change(path, data_sha256="11", num_real=500, num_samples=1000, source="sample")
    change(files["poor"], **facts)
    groups = [[row["name"] for row in group["table"]["rows"]] for group in tables.score_tables("gan", files)]
    assert sorted(groups) == [["good"], ["horse"], ["poor"]]


def test_the_page_has_a_table_for_each_set_of_real_images(root: Path) -> None:
    for name, digest in (("good", "11"), ("poor", "22"), ("horse", "33")):
        change(root / "data/gan_scores" / name / "scores.json", data_sha256=digest)
    text = page.render(root, params=PARAMS).split('<section id="captioner">')[0]
    assert 'class="best"' not in text and "<td>poor</td>" in text and "Not comparable with" not in text


def test_classifiers_of_two_data_sets_share_no_table(root: Path) -> None:
    """A classifier that errs less, but on easy digits, is not the best on pictures."""
    for name, dataset, error in (
        ("lenet5", "mnist", 0.01),
        ("other", "mnist", 0.02),
        ("pictures", "cifar10", 0.5),
    ):
        path = root / "plots/classifiers" / name / "scores.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"error": error, "dataset": dataset, "data_sha256": dataset}))
        (root / f"curves/classifiers/{name}.csv").write_text("step,train_loss\n1,0.5\n")
    files = {path.parent.name: path for path in sorted(root.glob("plots/classifiers/*/scores.json"))}
    digits, pictures = tables.score_tables("classifier", files)
    assert [(row["name"], row["cells"]) for row in digits["table"]["rows"]] == [
        ("lenet5", [("0.01", True)]),
        ("other", [("0.02", False)]),
    ]
    assert [(row["name"], row["cells"]) for row in pictures["table"]["rows"]] == [
        ("pictures", [("0.5", False)])
    ]
    text = page.render(root, params=PARAMS)
    assert text.index("<h3>mnist</h3>") < text.index("<td>lenet5</td>") < text.index("<h3>cifar10</h3>")


def test_captioners_of_other_test_images_share_no_table(root: Path) -> None:
    """Not even if their images have the same numbers, as those of drawn scenes do."""
    before = page.render(root, params=PARAMS)
    assert before.count("did not record which data were scored") >= 1, "they are of an earlier version"
    shutil.copytree(root / "models/captioner/best", root / "models/captioner/tutorial")
    shutil.copyfile(root / "curves/captioner/best.csv", root / "curves/captioner/tutorial.csv")
    rows = pd.DataFrame({"image_id": [1, 2], "METEOR": [0.1] * 2, "ROUGE-L": [0.2] * 2, "CIDEr": [0.5, 0.7]})
    rows = rows.assign(BLEU=np.tile([4, 4, 4, 3, 2, 1, 3, 2, 1, 0], (2, 1)).tolist())
    for run, digest, cider in (("best", "11", 0.25), ("tutorial", "22", 0.73)):
        scores = {
            "CIDEr": cider,
            "intervals": SURE,
            "num_images": 80,
            "num_references": 400,
            "data_sha256": digest,
        }
        folder = root / "data/captioned" / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "greedy.json").write_text(json.dumps(scores))
        (folder / "beam.json").unlink(missing_ok=True)
        rows.to_parquet(folder / "greedy.parquet")
    apart = page.render(root, params=PARAMS)
    assert "Set 2 of test images" in apart and "best minus tutorial" not in apart
    assert ("0.73", False) in Page(apart).cells and ("0.73", True) not in Page(apart).cells
    change(root / "data/captioned/tutorial/greedy.json", data_sha256="11")
    together = page.render(root, params=PARAMS)
    assert "of test images</h3>" not in together and "best minus tutorial, greedy" in together
    assert ("0.73", True) in Page(together).cells
    shorten(root / "data/captioned/tutorial/greedy.json", 20, 3900)
    assert "best minus tutorial" not in page.render(root, params=PARAMS), "its scores mean nothing"


def test_two_captioners_are_compared_on_the_same_images(root: Path) -> None:
    counts = np.tile([4, 4, 4, 3, 2, 1, 3, 2, 1, 0], (3, 1)).tolist()
    for run, ciders in (("best", [0.5, 0.7, 0.6]), ("tutorial", [0.3, 0.5, 0.4])):
        table = pd.DataFrame({"image_id": [1, 2, 3], "METEOR": [0.1] * 3, "ROUGE-L": [0.2] * 3})
        path = root / "data" / "captioned" / run / "greedy.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.assign(CIDEr=ciders, BLEU=counts).to_parquet(path)
    found = tables.difference_table(root, ["best", "tutorial"])
    (row,) = found["rows"]
    cells = dict(zip(names(found), row["cells"], strict=True))
    assert row["name"] == "best minus tutorial, greedy"
    assert cells["CIDEr"] == ("+0.200 (+0.200 to +0.200)", True)
    assert cells["ROUGE-L"] == cells["BLEU-1"] == ("+0.000 (+0.000 to +0.000)", False)
    assert "METEOR" not in cells, "the mean of its images' scores is no corpus score"
    turned = tables.difference_table(root, ["tutorial", "best"])
    assert ("-0.200 (-0.200 to -0.200)", True) in turned["rows"][0]["cells"]
    table.assign(image_id=[1, 2, 9], CIDEr=ciders, BLEU=counts).to_parquet(path)
    with pytest.raises(ValueError, match="not of the same images"):
        tables.difference_table(root, ["best", "tutorial"])


def test_experiments_and_judges_stand_with_their_captions(root: Path) -> None:
    text = page.render(root, params=PARAMS)
    assert "<h3>parallel lines</h3>" in text and "The &lt;lines&gt;." in text and "They agree." in text


def test_the_best_goes_by_the_table_of_scores(tmp_path: Path) -> None:
    """The best calibration is marked, too. Facts, and scores that only one run has, have no best."""
    files = {name: tmp_path / f"{name}.json" for name in ("one", "other")}
    for path, error, more in zip(files.values(), (0.02, 0.01), ({"nll": 1.0}, {}), strict=True):
        scores = {
            "accuracy": 1 - error,
            "calibration_error": error,
            "parameters": 10 * error,
            "num_images": 5,
        }
        path.write_text(json.dumps(scores | more))
    table = tables.score_table("classifier", files)
    assert names(table) == ["accuracy", "calibration_error", "parameters", "nll"]
    best = {row["name"]: [is_best for _, is_best in row["cells"]] for row in table["rows"]}
    assert best == {"one": [False] * 4, "other": [True, True, False, False]}
    assert table["notes"] == {"num_images": 5}


def test_the_page_says_what_its_scores_mean(root: Path) -> None:
    text = html.unescape(page.render(root, params=PARAMS))
    for score in chain.from_iterable(FAMILIES.values()):
        assert f"<dt>{score.name}</dt><dd>{score.meaning}" in text


def test_a_score_that_the_report_does_not_show_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"secret": 0.5, "fact": 0.25}))
    monkeypatch.setitem(FAMILIES, "gan", (Score("secret", "not told", "higher", frozenset()),))
    assert names(tables.score_table("gan", {"run": tmp_path / "scores.json"})) == ["fact"]


def test_the_same_files_give_the_same_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system lists them in another order, and scores are equal."""
    for name in ("good", "horse"):
        shutil.copytree(root / "data/gan_scores/poor", root / "data/gan_scores" / name, dirs_exist_ok=True)
    change(root / "data/captioned/best/greedy.json", CIDEr=0.6)
    shutil.copytree(root / "data/experiments/parallel_lines", root / "data/experiments/adam_on_wgan")
    shutil.copy(root / "plots/judges.png", root / "plots/experiments/adam_on_wgan.png")
    (root / "plots/captioner/best").mkdir(parents=True)
    for number in (1, 2):
        shutil.copy(root / "plots/judges.png", root / f"plots/captioner/best/{number:012d}.png")
    listed, texts = Path.glob, set()
    for step in (1, -1):
        monkeypatch.setattr(Path, "glob", lambda *words, step=step: iter(sorted(listed(*words))[::step]))
        texts.add(page.render(root, params=PARAMS))
    for folder in ("data/gan_scores/good", "data/captioned/best", "data/experiments/adam_on_wgan"):
        # half-written by a process that was killed
        shutil.copytree(root / folder, (root / folder).with_name(f".{Path(folder).name}.tmp"))
    texts.add(page.render(root, params=PARAMS))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((10000, "10,000"), (3.0, "3"), (0.99123, "0.9912"), (0.00001234, "1.2e-05"), ("x", "x")),
        *((-10000, "-10,000"), (-0.0123, "-0.0123"), (-0.00001234, "-1.2e-05")),
    ],
)
def test_numbers_read_well(value: object, expected: str) -> None:
    assert tables.format_number(value) == expected


def test_a_captioner_stands_where_its_best_decoding_does(root: Path) -> None:
    shutil.copytree(root / "models/captioner/best", root / "models/captioner/tutorial")
    shutil.copyfile(root / "curves/captioner/best.csv", root / "curves/captioner/tutorial.csv")
    shutil.copytree(root / "data/captioned/best", root / "data/captioned/tutorial")
    change(root / "data/captioned/best/greedy.json", CIDEr=0.1)  # the worst of all four, its beam the best
    for decoding in ("greedy", "beam"):
        change(root / f"data/captioned/tutorial/{decoding}.json", CIDEr=0.5)
    text = page.render(root, params=PARAMS)
    assert text.index("<h3>best</h3>") < text.index("<h3>tutorial</h3>")
