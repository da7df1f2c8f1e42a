"""evaluate_captioner: what the captions cost is not lost with Java, and the finished stage has everything."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from ganscribe import records
from ganscribe.captioning.inference import load_captioner, save_captioner
from ganscribe.captioning.model import Captioner
from ganscribe.datasets.captions import SelectedCaption, read_captions, write_captions
from ganscribe.datasets.image_files import ImageFile, write_image_files
from ganscribe.datasets.objects import write_objects
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary, write_tokens
from ganscribe.features.pictures import PREPROCESSING
from ganscribe.features.shards import ShardWriter, open_shards
from ganscribe.metrics import captions as scorer
from ganscribe.metrics.comparable import SAME
from ganscribe.sources.objects import SceneObject

VOCABULARY = Vocabulary((PAD, UNK, START, END, "a", "dog", "runs"))
METADATA = {"network": "n", "weights": "w", "weights_sha256": "0", "precision": "fp32"}
METADATA["preprocessing"] = PREPROCESSING["none"]


def list_images(sha256: dict[str, str]) -> None:
    """What fetch_images leaves: the digest of each picture."""
    files = [ImageFile(number, name, 1, digest) for number, (name, digest) in enumerate(sha256.items())]
    write_image_files("data/coco/images.parquet", files)


@pytest.fixture
def folder(project: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with six images, a captioner and its run; nothing of it is trained."""
    shutil.copytree(project / "params", workplace / "params")
    recipes = (project / "params.yaml").read_text().splitlines()
    kept = [line for line in recipes if "{method: sample" not in line]  # greedy and beam will do
    (workplace / "params.yaml").write_text("\n".join(kept).replace("max_length: 40", "max_length: 3"))
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    ids, names = list(range(6)), [f"{number}.jpg" for number in range(6)]
    writer = ShardWriter(
        folder=Path("data/features"),
        shape=(64, 2048),
        metadata=METADATA | {"preprocessing": PREPROCESSING["none"]},
    )
    features = torch.randn(6, 64, 2048, generator=torch.Generator().manual_seed(0)).half()
    writer.write(0, image_ids=ids, file_names=names, features=features)
    writer.write_index(1)
    splits = ["train", "train", "test", "test", "test", "test"]
    texts = [("a dog", [2, 4, 5, 3]), ("a dog runs", [2, 4, 5, 6, 3])]
    rows = [(image, 10 * image + k, *texts[k]) for image in ids for k in (0, 1) if image > 1 or k == 0]
    kept = [image != 4 or number == 40 for image, number, *_ in rows]  # one is a reference alone
    write_captions(
        "data/captions/captions.parquet",
        [
            SelectedCaption(i, n, names[i], "", text, splits[i], is_kept)
            for (i, n, text, _), is_kept in zip(rows, kept, strict=True)
        ],
    )
    write_tokens(
        "data/tokens/tokens.parquet",
        image_ids=[image for image, *_ in rows],
        caption_ids=[number for _, number, *_ in rows],
        splits=[splits[image] for image, *_ in rows],
        kept=kept,
        tokens=[tokens for *_, tokens in rows],
    )
    Path("data/raw/coco/train2014").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (40, 30), "red").save(Path("data/raw/coco/train2014", name))
    list_images(dict.fromkeys(names, "of red"))
    torch.manual_seed(0)
    options = {"vocabulary_size": 7, "embedding_dim": 4, "units": 8, "encoder_dim": 8}
    save_captioner(
        "models/captioner/best/model.safetensors",
        options=options,
        vocabulary=VOCABULARY,
        features=open_shards("data/features").metadata,
        state_dict=Captioner(**options).state_dict(),
    )
    key = {"family": "captioner", "name": "best", "run_key": "k"}
    Path("models/captioner/best/run_key.json").write_text(json.dumps(key))
    length = {"trained_steps": 30, "recipe_steps": 40}
    Path("models/captioner/best/training.json").write_text(json.dumps(length))
    with records.training_run(family="captioner", name="best", run_key="k", params={}, inputs=[]):
        pass
    return workplace


@pytest.fixture
def stage(folder: Path, load_stage: Any) -> dict[str, Any]:
    return load_stage("evaluate_captioner")


def evaluate(stage: dict[str, Any]) -> Result:
    return CliRunner().invoke(stage["main"], ["best"])


def test_a_java_that_dies_loses_no_caption(
    stage: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = folder / "java"
    java.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    java.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(scorer, "_java", lambda: str(java))
        done = evaluate(stage)
    assert done.exit_code == 1 and "the PTB tokenizer failed (exit status 1): no memory" in done.output
    assert "Traceback" not in done.output and not Path("metrics/captioner").exists()
    tables = {way: Path(f"data/captioned/best/{way}.parquet") for way in ("greedy", "beam")}
    kept = {way: pd.read_parquet(path) for way, path in tables.items()}
    assert all(list(table["image_id"]) == [2, 3, 4, 5] for table in kept.values())
    assert len(list(Path("plots/captioner/best").glob("*.png"))) == 4

    # METEOR's own Java takes seconds a decoding; its scores are tested elsewhere.
    monkeypatch.setattr(scorer, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 5))
    done = evaluate(stage)
    assert done.exit_code == 0, done.output
    for way, path in tables.items():
        scored = pd.read_parquet(path)
        assert list(scored["caption"]) == list(kept[way]["caption"]) and "CIDEr" in scored
        assert "METEOR" in json.loads(path.with_suffix(".json").read_text())
    assert set(json.loads(Path("metrics/captioner/best.json").read_text())) == {"CIDEr", "trained"}


def test_what_is_known_of_the_images_is_scored(
    stage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are computed again from the tables of captions and attention that the stage leaves."""
    monkeypatch.setattr(scorer, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 5))
    path = Path("models/captioner/best/model.safetensors")
    saved = load_captioner(path)
    saved.model.output.weight.data.mul_(30)  # so that captions differ
    saved.model.attention_score.weight.data.mul_(30)
    state = saved.model.state_dict()
    save_captioner(
        path, options=saved.options, vocabulary=VOCABULARY, features=saved.features, state_dict=state
    )
    assert evaluate(stage).exit_code == 0
    assert "objects" not in json.loads(Path("metrics/captioner/best.json").read_text())

    captions = list(pd.read_parquet("data/captioned/best/greedy.parquet")["caption"])
    pairs = [pair for caption in captions for pair in itertools.pairwise(caption.split())]
    colour, shape = max(pairs, key=pairs.count)  # whatever the captioner likes to say
    known = [
        SceneObject(image, *words, *box, 400, 300)
        for image in range(6)
        for words, box in ((("no", "thing"), (0, 0, 9, 9)), ((colour, shape), (40, 30, 200, 60)))
    ]
    write_objects("data/captions/objects.parquet", known)
    done = evaluate(stage)
    assert done.exit_code == 0, done.output
    found, longest = {}, 0
    for way in ("greedy", "beam"):
        table = pd.read_parquet(f"data/captioned/best/{way}.parquet")
        named, hits = [], []
        for words, maps in zip(table["caption"].str.split(), table["attention"], strict=True):
            at = [i for i in range(1, len(words)) if words[i - 1 : i + 1] == [colour, shape]]
            named.append(bool(at))
            if at:
                row, column = np.unravel_index(np.argmax(maps[at[0]]), (8, 8))
                x, y = 400 / 299 * (37.5 + 32 * column), 300 / 299 * (37.5 + 32 * row)
                hits.append(40 <= x <= 240 and 30 <= y <= 90)
        scores = json.loads(Path(f"data/captioned/best/{way}.json").read_text())
        assert scores["object_accuracy"] == np.mean(named) and list(table["object_accuracy"]) == named
        assert scores.get("attention_on_object") == (np.mean(hits) if hits else None)
        assert scores["trained"] == 0.75 and set(SAME["captioner"]) <= scores.keys()
        assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
        assert (scores["num_images"], scores["num_references"]) == (4, 8)
        statistics = {"mean_length": 2.5, "vocabulary": 3, "distinct": 0.25, "copied": 0.5}
        assert scores["references"] == statistics  # of training, "a dog" alone is known
        longest = max(longest, *map(len, table["caption"].str.split()))
        interval = scores["intervals"]["object_accuracy"]
        assert interval["low"] <= scores["object_accuracy"] <= interval["high"]
        found[way] = named
    assert any(found["greedy"]) and longest == 3, "max_length"
    headlines = json.loads(Path("metrics/captioner/best.json").read_text())
    assert headlines["objects"] == pytest.approx(np.mean(found["greedy"]), abs=1e-4), "of the first decoding"

    write_objects("data/captions/objects.parquet", known[:6])
    done = evaluate(stage)
    assert done.exit_code == 1 and "no object on image 3" in done.output


@pytest.mark.filterwarnings("ignore:Glyph")  # of the figure's font
def test_captions_are_scored_as_the_captioner_splits_them(
    stage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 5))
    monkeypatch.setattr(scorer, "_java", lambda: pytest.fail("the PTB tokenizer is asked"))
    path = Path("models/captioner/best/model.safetensors")
    saved = load_captioner(path)
    vocabulary = Vocabulary((*VOCABULARY.words[:4], "犬", "が", "走"), "unicode")
    state = saved.model.state_dict()
    state["output.bias"][3:] = torch.tensor([-99.0, 99, 0, 0])  # 犬 and nothing else
    save_captioner(
        path, options=saved.options, vocabulary=vocabulary, features=saved.features, state_dict=state
    )
    table = pd.read_parquet("data/captions/captions.parquet")
    table.assign(caption="犬犬犬。").to_parquet("data/captions/captions.parquet", index=False)
    done = evaluate(stage)
    assert done.exit_code == 0, done.output
    scores = json.loads(Path("data/captioned/best/greedy.json").read_text())
    assert scores["BLEU-3"] == pytest.approx(1) and scores["tokeniser"] == "unicode"


def test_what_cannot_be_scored_is_named(stage: dict[str, Any]) -> None:
    model = Path("models/captioner/best/model.safetensors")
    captions = read_captions("data/captions/captions.parquet")
    write_captions("data/captions/captions.parquet", [each for each in captions if each.split == "train"])
    with pytest.raises(
        ValueError, match=r"no test images with features: raise the last share of captions\.split"
    ):
        stage["open_exam"](model, precision="fp32")
    saved = load_captioner(model)
    other = saved.features | {"weights_sha256": "1"}
    state = saved.model.state_dict()
    save_captioner(model, options=saved.options, vocabulary=VOCABULARY, features=other, state_dict=state)
    with pytest.raises(
        ValueError, match="trained on other features than those in data/features: run `dvc repro`"
    ):
        stage["open_exam"](model, precision="fp32")


def test_the_scored_data_are_the_test_pictures_and_their_references(stage: dict[str, Any]) -> None:
    """Another test picture or reference makes other data; another training picture or caption does not."""

    def digest(blue: int | None = None) -> str:
        list_images({f"{number}.jpg": "of blue" if number == blue else "of red" for number in range(6)})
        exam = stage["open_exam"](Path("models/captioner/best/model.safetensors"), precision="fp32")
        return str(stage["data_sha256"](exam.references))

    first = digest()
    assert re.fullmatch("[0-9a-f]{64}", first) and first == digest() == digest(blue=0)
    assert digest(blue=3) != first
    captions = read_captions("data/captions/captions.parquet")
    for number, is_other in ((0, False), (-1, True)):  # of training, of test
        changed = list(captions)
        changed[number] = changed[number]._replace(caption="a cat")
        write_captions("data/captions/captions.parquet", changed)
        assert (digest() != first) == is_other
    list_images({f"{number}.jpg": "of red" for number in range(3)})
    with pytest.raises(
        ValueError, match=r"images\.parquet does not list image 3: run `dvc repro -f fetch_images`"
    ):
        stage["data_sha256"]({2: ["a dog"], 3: ["a dog"]})
