"""comparison.py: the page says what the files of the two runs say, and why scores may not be compared."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from compared import gan_scores, write_run
from gans import NOISE, save_generator
from ganscribe.core.files import file_sha256
from ganscribe.core.length import Length
from ganscribe.gan.common.sampling import load_generator
from ganscribe.report import comparison, shown
from ganscribe.report.sides import PLACES, Side

BLEU = [4.0, 4, 4, 3, 2, 1, 3, 2, 1, 0]
SURE = {"CIDEr": {"low": 0.25, "high": 0.75}}


class Page(HTMLParser):
    """The rows of the tables, what a browser would fetch, and the pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[str]] = {}
        self.marked: set[tuple[str, int]] = set()
        self.fetched: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self._cells: list[str] = []
        self._is_in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [
            values[key] or "" for key in ("src", "href", "xlink:href", "srcset") if key in values
        ]
        if tag in ("img", "svg"):
            self.pictures.append({"tag": tag} | values)
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th"):
            self._cells.append("")
            self._is_in_cell = True
            if "best" in (values.get("class") or ""):
                self.marked.add((self._cells[0].rstrip("↑↓\xa0"), len(self._cells) - 1))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_in_cell = False
            self._cells[-1] = self._cells[-1].strip()
        if tag == "tr":
            self.rows[self._cells[0].rstrip("↑↓\xa0")] = self._cells[1:]

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self._cells[-1] += data


@pytest.fixture
def gans(tmp_path: Path) -> tuple[Side, Side]:
    one = write_run(tmp_path, "gan", "one", {"scores": gan_scores()}, objective="lsgan", options={"a": 1})
    other = write_run(tmp_path, "gan", "other", {"scores": gan_scores(fid=2.5)}, objective="wgan", options={})
    for seed, side in enumerate((one, other)):
        save_generator(side.path(PLACES["gan"].model, "generator.safetensors"), noise="normal", seed=seed)
        rows = "judge,judge_sha256,fid,num_samples\nlenet5,aa,3.25,100\nresnet20,bb,{},100\n"
        side.path(PLACES["gan"].scores, "judges.csv").write_text(rows.format(0.5 + seed))
    return one, other


@pytest.fixture
def captioners(tmp_path: Path) -> tuple[Side, Side]:
    sides = []
    pictures, listed, people = tmp_path / "pictures", [], []
    pictures.mkdir()
    for key in range(20):
        Image.new("RGB", (400, 200), (key, 0, 0)).save(pictures / f"{key}.png")
        listed.append({"image_id": key, "sha256": file_sha256(pictures / f"{key}.png")})
        people.append({"image_id": key, "caption": f"a person's {key}"})
    for name, rows in (("coco/images", listed), ("captions/captions", people)):
        path = tmp_path / f"data/{name}.parquet"
        path.parent.mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(path)
    for run, ciders in (("one", np.linspace(0, 2, 20)), ("other", np.ones(20))):
        facts = {"num_images": 20, "num_references": 20, "tokeniser": "tutorial", "data_sha256": "d1"}
        facts |= {"CIDEr": float(ciders.mean()), "intervals": SURE, "SPICE": "not installed"}
        sides.append(write_run(tmp_path, "captioner", run, {"greedy": facts}, dropout=len(run)))
        ids = range(20)
        table = pd.DataFrame({"image_id": ids, "file_name": [f"{key}.png" for key in ids], "CIDEr": ciders})
        table = table.assign(METEOR=0.1, BLEU=[BLEU] * 20, caption=[f"{run} says {key}" for key in ids])
        path = tmp_path / "data/captioned" / run / "greedy.parquet"
        table.assign(**{"ROUGE-L": 0.2}).to_parquet(path)
    return sides[0], sides[1]


def render(sides: tuple[Side, Side]) -> str:
    return comparison.render(
        *sides, images=sides[0].root / "pictures", code="Made by the code of commit abc1234."
    )


def change(side: Side, name: str = "scores", **facts: object) -> None:
    path = side.path(side.places.scores, f"{name}.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_the_page_says_what_the_files_say(gans: tuple[Side, Side]) -> None:
    text = render(gans)
    page = Page(text)
    assert page.rows["objective"] == ["lsgan", "wgan"] and page.rows["options.a"] == ["1", "–"]
    assert not {"seed", "options"} & set(page.rows)
    assert page.rows["trained"] == ["90 of 100 steps", "90 of 100 steps", ""]
    assert page.rows["modes"] == ["9", "9", "+0"]
    head, first, second = re.split("Judged by", text)
    assert "key of one" in head and "key of other" in head and "trained for 90 of 100 steps" in head
    assert Page(first).rows["fid"] == ["3.25", "2.5", "+0.75"] and Page(first).marked == {("fid", 2)}
    assert Page(second).rows["fid"] == ["0.5", "1.5", "-1"]
    assert "therefore compared" not in text, "what was scored is known of the second judge, too"
    assert (
        "Only one has only one here; Only other has only other here." in text and "Made by the code" in text
    )
    assert "objectives are different quantities" in text
    assert comparison.differences({}, {"a": 1}) == [("a", "–", "1")]


def test_a_run_and_itself_differ_in_nothing(gans: tuple[Side, Side]) -> None:
    text = render((gans[0], gans[0]))
    assert "No parameter differs." in text and 'class="best"' not in text and "Only one has" not in text
    assert "objectives are different quantities" not in text
    assert Page(text).rows["fid"] == ["0.5", "0.5", "+0"]
    grids = re.findall(r'<img src="([^"]*)"', text)
    assert len(grids) == 2 and grids[0] == grids[1]


def test_the_page_needs_no_other_file(
    gans: tuple[Side, Side], captioners: tuple[Side, Side], tmp_path: Path
) -> None:
    for sides in (gans, captioners):
        page = Page(render(sides))
        assert [url for url in page.fetched if not url.startswith(("data:image/webp;base64,", "#"))] == []
        assert len(page.pictures) > 2
        for each in page.pictures:
            assert each.get("alt") or each.get("aria-label"), each["tag"]
            assert re.match(r"[1-9]", each["width"] or "") and re.match(r"[1-9]", each["height"] or "")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"judge_sha256": "cc"}, "the checksum of the judge is aa for one, cc for other"),
        (
            {"num_real": 7, "dataset": "cifar10"},
            "the data set is mnist for one, cifar10 for other; the number of",
        ),
        ({"data_sha256": None}, "of other, an earlier version of the project did not record which data"),
    ],
)
def test_scores_that_may_not_be_compared_say_why(
    gans: tuple[Side, Side], facts: dict[str, object], said: str
) -> None:
    change(gans[1], **facts)
    for side in gans:
        side.path(PLACES["gan"].scores, "judges.csv").unlink()
    text = html.unescape(render(gans))
    assert said in text and text.count("cannot be compared") == 1
    assert "A minus B" not in text and 'class="best"' not in text
    assert text.count("<th>score</th>") == 2


def test_gans_of_other_judges_stand_apart(gans: tuple[Side, Side]) -> None:
    change(gans[1], judge="lenet5_cifar10")
    gans[1].path(PLACES["gan"].scores, "judges.csv").unlink()
    assert "the judge is lenet5 for one, lenet5_cifar10 for other" in render(gans)


def test_what_is_not_known_to_be_of_the_same_data_is_taken_to_be_in_one_folder_alone(
    gans: tuple[Side, Side], tmp_path: Path
) -> None:
    for side in gans:
        change(side, data_sha256=None)
    here = render(gans)
    assert "are therefore compared" in here and "cannot be compared" not in here
    shutil.copytree(gans[0].root, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("elsewhere"))
    apart = render((gans[0], replace(gans[1], root=tmp_path / "elsewhere")))
    assert "of one and other, an earlier version" in apart and "therefore compared" not in apart


def test_an_exercised_run_is_never_the_better_one(gans: tuple[Side, Side]) -> None:
    change(gans[1], **Length(1, 100).scores)
    gans[1].path(PLACES["gan"].scores, "judges.csv").unlink()
    text = render((gans[1], gans[0]))
    assert "Only exercised:" in text and 'class="best"' not in text
    assert "Only one has scores by resnet20" in text


def test_samples_come_from_the_same_noise(gans: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[torch.Tensor] = []
    save = shown.save_grid
    monkeypatch.setattr(
        shown, "save_grid", lambda images, *rest, **more: (drawn.append(images), save(images, *rest, **more))
    )
    found = shown.sample_grids(*gans)
    assert "from the same noise: 4 normal numbers" in found["note"]
    for side, images in zip(gans, drawn, strict=True):
        assert side.generator is not None
        network = load_generator(side.generator).network
        noise = torch.randn(256, NOISE, generator=shown_stream())[: shown.DRAWN]
        expected = ((network(noise).detach() + 1) * 127.5).round().clamp(0, 255)
        assert (images.float() - expected).abs().max() <= 1
    save_generator(gans[1].path(PLACES["gan"].model, "generator.safetensors"))
    note = shown.sample_grids(*gans)["note"]
    assert "The noise is not the same: one draws from 4 normal numbers, other from 4 uniform numbers" in note
    gans[1].path(PLACES["gan"].model, "generator.safetensors").unlink()
    assert "the model of other is not available" in shown.sample_grids(*gans)["note"]


def shown_stream() -> torch.Generator:
    from ganscribe.core.seeds import random_stream

    return random_stream(shown.SEED, "gan", "samples")


def test_captioners_are_compared_on_the_same_images(captioners: tuple[Side, Side]) -> None:
    text = html.unescape(render(captioners))
    page = Page(text)
    assert page.rows["CIDEr"][:2] == ["10.250 to 0.750"] * 2 and page.rows["dropout"] == ["3", "5"]
    assert page.rows["CIDEr"][2].startswith("+0.000-")
    chosen = re.findall(r"Test image (\d+)\n", text)
    assert chosen == ["19", "18", "17", "16", "15", "14", "5", "4", "3", "2", "1", "0"]
    for key in chosen:
        assert f"one says {key} " in text and f"other says {key} " in text and f"a person's {key}<" in text
    assert 'width="299" height="150"' in text and "(2.00)" in text
    path = captioners[1].path(PLACES["captioner"].scores, "greedy.parquet")
    table = pd.read_parquet(path)
    table.assign(image_id=range(1, 21)).to_parquet(path)
    assert shown.caption_figures(captioners, "greedy", Path()) == [], "they are of other images"
    path.unlink()
    assert Page(render(captioners)).rows["CIDEr"][2] == "+0", "without an interval"


def test_no_image_is_said_to_be_captioned_better_where_it_is_not(captioners: tuple[Side, Side]) -> None:
    path = captioners[1].path(PLACES["captioner"].scores, "greedy.parquet")
    table = pd.read_parquet(path)
    table.assign(CIDEr=np.linspace(0, 2, 20) - 0.1 * (np.arange(20) > 16)).to_parquet(path)
    assert re.findall(r"Test image (\d+)\n", render(captioners)) == ["17", "18", "19"]
    one, other = (each.captions("greedy") for each in captioners)
    assert one is not None and other is not None and shown.choose_images(other, one) == [17, 18, 19]
    assert "and on which their CIDEr differs" in render((captioners[0], captioners[0]))


def test_a_difference_is_marked_whichever_run_is_better(captioners: tuple[Side, Side]) -> None:
    path = captioners[1].path(PLACES["captioner"].scores, "greedy.parquet")
    table = pd.read_parquet(path)
    table.assign(CIDEr=np.linspace(0.5, 2.5, 20)).to_parquet(path)
    for sides, said in ((captioners, "-0.500"), (captioners[::-1], "+0.500")):
        page = Page(render((sides[0], sides[1])))
        assert page.rows["CIDEr"][2] == f"{said}{said} to {said}" and ("CIDEr", 3) in page.marked
        assert ("ROUGE-L", 3) not in page.marked


def test_a_picture_that_is_not_the_one_that_was_captioned_is_not_shown(captioners: tuple[Side, Side]) -> None:
    Image.new("RGB", (8, 8)).save(captioners[0].root / "pictures/19.png")
    (captioners[0].root / "pictures/0.png").unlink()
    text = render(captioners)
    assert text.count("<img") == 10 and text.count("The picture is not in this folder") == 2


def test_captions_of_other_images_are_not_laid_side_by_side(captioners: tuple[Side, Side]) -> None:
    change(captioners[1], "greedy", data_sha256="d2")
    text = render(captioners)
    assert "the checksum of the scored data is d1 for one, d2 for other" in text and "<img" not in text
    assert "There are no test images that both runs captioned with the same decoding" in text


def test_classifiers_have_scores_and_curves(tmp_path: Path, figures: list[Figure]) -> None:
    facts = {"dataset": "mnist", "source": "sample", "num_images": 5, "data_sha256": "d"}
    one, other = (
        write_run(tmp_path, "classifier", run, {"scores": {"error": error, **facts}}, network=run)
        for run, error in (("one", 0.25), ("other", 0.5))
    )
    for run in ("one", "other"):  # what is in the zoo counts where there is no other
        shutil.copytree(tmp_path / "plots/classifiers/other", tmp_path / "zoo/plots/classifiers" / run)
    shutil.rmtree(tmp_path / "plots/classifiers/other")
    one.path(PLACES["classifier"].curve).write_text("step,epoch,train_loss\n1,1,0.5\n2,2,\n3,3,0.25\n")
    page = Page(render((one, other)))
    assert np.asarray(figures[0].axes[0].lines[0].get_xydata()).tolist() == [[1, 0.5], [3, 0.25]]
    assert page.rows["error"] == ["0.25", "0.5", "-0.25"] and page.rows["network"] == ["one", "other"]
    assert [each["tag"] for each in page.pictures] == ["svg"]


def test_inputs_that_differ_are_named(gans: tuple[Side, Side]) -> None:
    one, other = gans
    inputs = {"src/ganscribe/core": "a" * 32, "data/mnist": "d" * 32}
    page = render((replace(one, inputs=inputs), replace(other, inputs=inputs | {"data/mnist": "e" * 32})))
    assert Page(page).rows["data/mnist"] == ["dddddddd", "eeeeeeee"] and "src/ganscribe/core" not in page
    assert "by the same code on the same data" in render(
        (replace(one, inputs=inputs), replace(other, inputs=inputs))
    )


def test_the_same_files_give_the_same_bytes(captioners: tuple[Side, Side]) -> None:
    assert render(captioners) == render(captioners)
