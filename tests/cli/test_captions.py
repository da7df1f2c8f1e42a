"""`ganscribe caption` on pictures of every kind, with a small network in Inception's place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from ganscribe import cli, records
from ganscribe.captioning.inference import decode, load_captioner, save_captioner
from ganscribe.captioning.model import Captioner
from ganscribe.cli.captions import caption
from ganscribe.cli.photographs import figure_paths, find_photographs
from ganscribe.config.reading import DECODING_OPTIONS
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary
from ganscribe.features.inception import Inception
from ganscribe.features.pictures import PREPROCESSING, load_image
from ganscribe.serving import photographs
from ganscribe.sources.drawn.scenes import draw_scene
from parameters import copy_params

WORDS = ("red", "blue", "dog", "ball", "on", "the", "grass", "runs")
VOCABULARY = Vocabulary((PAD, UNK, START, END, *WORDS))
OPTIONS = {"vocabulary_size": len(VOCABULARY.words), "embedding_dim": 6, "units": 16, "encoder_dim": 8}


class SmallNetwork(nn.Module):
    """Colours of 8 x 8 cells times rows of weights: (N, 3, 299, 299) uint8 to (N, 64, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2048, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        cells = nn.functional.adaptive_avg_pool2d(images.float() / 255, 8)
        return cells.flatten(2).transpose(1, 2) @ self.weight


def save_model(path: Path, *, weights_sha256: str = "small", crop: str = "none") -> None:
    torch.manual_seed(10)
    model = Captioner(**OPTIONS)
    with torch.no_grad():  # so that captions differ, and end
        for parameter in model.parameters():
            parameter.mul_(1.5)
        model.embedding.weight.mul_(10)
        model.gru.weight_hh.mul_(3)
        model.output.bias[3] = 1.0
    features = {"weights": "small", "weights_sha256": weights_sha256, "preprocessing": PREPROCESSING[crop]}
    save_captioner(
        path, options=OPTIONS, vocabulary=VOCABULARY, features=features, state_dict=model.state_dict()
    )


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose run `best` has a captioner."""
    copy_params(project, tmp_path)
    save_model(tmp_path / "models/captioner/best/model.safetensors")
    (tmp_path / "data/features").mkdir(parents=True)
    (tmp_path / "data/features/inception.safetensors").touch()
    monkeypatch.setattr(
        photographs, "read_inception", lambda path, device: Inception(SmallNetwork(), "small", "small")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    return tmp_path


@pytest.fixture
def album(folder: Path) -> Iterator[list[Path]]:
    """Twenty-one pictures of many sizes, modes and formats: more than a batch."""
    rng = np.random.default_rng(0)
    (folder / "album").mkdir()
    paths = []
    for number in range(12):
        size = [int(side) for side in rng.integers(1, 400, 2)]
        # A few broad patches, so that the pictures differ in what the network sees.
        patches = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        paths.append(folder / f"album/{number:02d}.png")
        patches.resize(size, Image.Resampling.NEAREST).save(paths[-1])
    base = Image.open(paths[3]).resize((60, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    moving = {"save_all": True, "append_images": [Image.new("RGB", (60, 90), "green")]}
    deep = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 256)
    for name, image, options in (
        ("grey.jpg", base.convert("L"), {}),
        ("clear.png", base.convert("RGBA"), {}),
        ("palette.gif", base.convert("P"), {}),
        ("print.jpg", base.convert("CMYK"), {}),
        ("turned.jpg", base, {"exif": exif}),
        ("moving.gif", base, moving),
        ("deep.png", deep, {}),
        ("web.webp", base, {}),
        ("pages.tiff", base, moving),
    ):
        paths.append(folder / "album" / name)
        image.save(paths[-1], **options)
    yield sorted(paths)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["caption", *map(str, words)])


def captions(*words: str | Path) -> dict[str, str]:
    """Return the captions that the command prints, by path; it prints nothing else."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return dict(line.split(": ", 1) for line in result.stdout.splitlines())


def expected(path: Path, **options: object) -> str:
    """Return the caption of one picture by one decoding, from the parts of the package."""
    saved = load_captioner("models/captioner/best/model.safetensors")
    features = SmallNetwork()(load_image(path)[None]).half().float()
    beam = {"method": "beam", "width": 5, "length_penalty": 0.7, "max_length": 40}
    (one,) = decode(saved.model, features, vocabulary=VOCABULARY, image_ids=[0], **(beam | options))
    return VOCABULARY.decode(one.tokens)


def test_pictures_of_every_size_mode_and_format_in_batches_as_one_by_one(album: list[Path]) -> None:
    found = captions(*album)
    assert found == {str(path): expected(path) for path in album} and len(found) == 21
    assert len(set(found.values())) > 5
    assert captions(*reversed(album)) == found and next(iter(captions(*reversed(album)))) == str(album[-1])
    assert captions(album[4], "--decode", "greedy") == {str(album[4]): expected(album[4], method="greedy")}
    wide = captions(album[4], "--width", "30", "--length-penalty", "0", "--max-length", "3")
    assert wide[str(album[4])] == expected(album[4], width=30, length_penalty=0.0, max_length=3)


def test_sampling_is_seeded_and_a_picture_keeps_its_caption_in_any_company(album: list[Path]) -> None:
    way = ("--decode", "sample", "--temperature", "2", "--top-k", "6", "--seed", "1", "--max-length", "8")
    found = captions(*album, *way)
    assert captions(*reversed(album), *way) == found
    assert captions(album[7], *way)[str(album[7])] == found[str(album[7])]
    copy = Path("another name.png")
    shutil.copy(album[7], copy)
    assert captions(copy, *way)[str(copy)] == found[str(album[7])]
    assert captions(*album, *way[:-4], "--seed", "2", "--max-length", "8") != found


def test_what_is_no_picture_is_named_and_the_rest_is_done(album: list[Path], folder: Path) -> None:
    Path("notes.txt").write_text("no picture")
    Path("half.png").write_bytes(album[0].read_bytes()[:40])
    os.mkfifo("pipe")
    result = run(album[0], "notes.txt", "half.png", "missing.jpg", "pipe", album[1])
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(album[0]), str(album[1])]
    for name, reason in (
        ("notes.txt", "not a picture"),
        ("half.png", "damaged, or not a picture"),
        ("missing.jpg", "no such file"),
        ("pipe", "neither a file nor a folder"),
    ):
        (line,) = [line for line in result.stderr.splitlines() if name in line]
        assert reason in line and "Traceback" not in line
    only = run("notes.txt", "--json")
    assert only.exit_code == 1 and json.loads(only.stdout) == [] and "notes.txt" in only.stderr


def test_a_file_that_may_not_be_read(album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ganscribe.features.pictures.open_image", refuse)
    assert "left out: Permission denied" in run(album[0]).stderr


def test_a_bomb_is_refused(album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (500, 500)).save("bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90_000)
    result = run("bomb.png", album[0])
    assert result.exit_code == 1 and result.stdout.count("\n") == 1
    assert "bomb.png is left out: " in result.stderr and "exceeds limit" in result.stderr
    Image.new("1", (400, 400)).save("large.png")  # over the limit, not over twice the limit
    result = run("large.png")
    assert result.exit_code == 0 and "Warning" not in result.stderr


def test_folders_and_patterns(album: list[Path], folder: Path) -> None:
    whole = captions(*(path.relative_to(folder) for path in album))
    Path("album/notes.txt").write_text("passed over")
    Path("album/.hidden.png").write_text("passed over")
    for name in ("album/.thumbnails/00.png", "album/figures/00.attention.png", "album/00.attention-2.png"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(album[0], name)  # passed over
    assert captions("album") == whole == captions("album/", "album/0*", album[0].relative_to(folder))
    Path("album/inner/most").mkdir(parents=True)
    shutil.copy(album[0], "album/inner/most/deep.png")
    assert captions("album") == whole | {"album/inner/most/deep.png": whole["album/00.png"]}
    assert captions("album/inner") == {"album/inner/most/deep.png": whole["album/00.png"]}
    assert list(captions("album/1?.png")) == ["album/10.png", "album/11.png"]
    assert list(captions(folder / "album" / "10*")) == [str(folder / "album/10.png")]
    assert list(captions("album/**/*.png"))[-1] == "album/inner/most/deep.png"
    shutil.copy(album[0], "odd[1].png")
    assert list(captions("odd[1].png")) == ["odd[1].png"]  # a file of that name comes before the pattern


def test_a_pattern_may_begin_with_a_hidden_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, hidden = tmp_path / ".cache/trip/a.png", tmp_path / ".cache/trip/.thumbnails/b.png"
    hidden.parent.mkdir(parents=True)
    for path in (shown, hidden):
        Image.new("RGB", (8, 8)).save(path)
    for name in ("", "*.png", "*/*.png", "**/*.png"):
        paths, unread = find_photographs([str(shown.parent / name)])
        assert (paths, len(unread)) == (([], 1) if name == "*/*.png" else ([shown], 0))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_photographs(["~/.cache/trip"]) == ([shown], [])


def test_a_picture_that_no_reader_is_for_is_named(album: list[Path], folder: Path) -> None:
    Path("trip/phone").mkdir(parents=True)
    shutil.copy(album[0], "trip/a.png")
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for name, content in (
        ("phone/IMG.HEIC", heic),
        ("phone/sent.jpg", heic),
        ("raw.cr2", b"II"),
        ("0.png", b""),
    ):
        Path("trip", name).write_bytes(content)
    for words in (("trip",), ("trip/**",), ("trip/a.png", "trip/phone", "trip/raw.cr2", "trip/0.png")):
        result = run(*words)
        assert result.exit_code == 1 and result.stdout.startswith("trip/a.png: ")
        reasons = dict(line.split(" is left out: ") for line in result.stderr.splitlines())
        assert reasons.keys() == {
            f"Error: trip/{name}" for name in ("phone/IMG.HEIC", "phone/sent.jpg", "raw.cr2", "0.png")
        }
        assert all("HEIC" in reasons[f"Error: trip/phone/{name}"] for name in ("IMG.HEIC", "sent.jpg"))
        assert reasons["Error: trip/0.png"] == "the file is empty"
    only = run("trip/phone/IMG.HEIC", "--json")
    assert only.exit_code == 1 and json.loads(only.stdout) == [] and "HEIC" in only.stderr
    Path("trip/phone/sent.jpg").unlink()
    assert "trip/phone/IMG.HEIC: HEIC" in refused("trip/phone")


def test_a_model_of_drawn_scenes_says_so_of_photographs(
    album: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(album[0]).stderr == "", "a model of photographs has nothing to say"
    scenes = [draw_scene(index, seed=3) for index in range(300)]
    words = sorted({word for scene in scenes for caption in scene.captions for word in caption.split()})
    monkeypatch.setattr(f"{__name__}.VOCABULARY", Vocabulary((PAD, UNK, START, END, *words)))
    monkeypatch.setitem(OPTIONS, "vocabulary_size", len(VOCABULARY.words))
    save_model(folder / "models/captioner/best/model.safetensors")
    result = run(album[0])
    assert result.exit_code == 0 and result.stdout.count("\n") == 1
    assert result.stderr.startswith("Note: this model knows only drawn scenes of coloured shapes")
    assert "`dvc exp run -S scale=full train_captioner`" in result.stderr and result.stderr.count("\n") == 1
    Path("data/raw").mkdir()
    scenes[0].picture.save("data/raw/scene.png")
    assert run("data/raw/scene.png").stderr == "", "it is right about the project's own pictures"
    assert "drawn scenes" in run("data/raw/scene.png", album[0]).stderr


def test_features_of_random_weights_are_said(album: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        photographs, "read_inception", lambda path, device: Inception(SmallNetwork(), "random-init", "small")
    )
    note = run(album[0]).stderr
    assert "random weights" in note and "`dvc exp run -S sources.inception.source=download" in note


def test_json_takes_no_file(album: list[Path]) -> None:
    for words in (("--json", "out.json", album[0]), (album[0], "--json", "out.json")):
        assert "leave out out.json, and end the command with `> out.json`" in refused(*words)
    assert not Path("out.json").exists()
    assert "out.json is left out: there is no such file" in run(album[0], "out.json").stderr


def test_nothing_to_caption_is_said(folder: Path) -> None:
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/notes.txt").touch()
    for words, message in (
        (("empty",), "empty: this folder has no pictures"),
        (("texts",), "texts: this folder has no pictures"),
        (("*.jpg",), "*.jpg: no picture has a name that fits this pattern"),
        (("none.jpg", "empty"), "none.jpg: there is no such file; empty: this folder has no pictures"),
    ):
        result = run(*words)
        assert result.exit_code == 1 and result.stdout == ""
        assert result.stderr.startswith("Error: ") and message in result.stderr
    assert run().exit_code == 2


@pytest.mark.parametrize("crop", ["none", "center"])
def test_json_names_words_and_their_peaks(album: list[Path], folder: Path, crop: str) -> None:
    save_model(folder / "models/captioner/best/model.safetensors", crop=crop)
    wide = Path("wide.png")
    longest = max(captions(*album).items(), key=lambda found: len(found[1]))[0]
    Image.open(longest).convert("RGB").resize((600, 300)).save(wide)
    result = run(wide, album[2], "--json", "--attention", "figures", "--max-length", "4")
    first, second = json.loads(result.stdout)
    assert result.exit_code == 0 and first["image"] == "wide.png" and second["image"] == str(album[2])
    assert (first["width"], first["height"], first["features"]) == (600, 300, "small")
    assert Path(first["figure"]).is_file() and Path(second["figure"]).is_file()
    captioner = photographs.open_captioner(
        "models/captioner/best/model.safetensors", "data/features/inception.safetensors"
    )
    (one,) = photographs.caption_photographs(captioner, load_image(wide, crop=crop)[None], max_length=4)
    assert first["caption"] == one.text == " ".join(entry["word"] for entry in first["words"]) != ""
    side = 300 * 299 / 342
    left, top, width, height = (
        (0, 0, 600, 300) if crop == "none" else (300 - side / 2, 150 - side / 2, side, side)
    )
    for entry, attention in zip(first["words"], one.attention, strict=True):
        row, column = np.unravel_index(attention.argmax(), (8, 8))
        x, y = left + (37.5 + 32 * column) / 299 * width, top + (37.5 + 32 * row) / 299 * height
        assert entry["peak"] == pytest.approx([x, y], abs=0.1)
        assert entry["weight"] == pytest.approx(attention.max(), abs=1e-4)


def test_figures_have_names_of_their_own(album: list[Path], folder: Path) -> None:
    Path("other").mkdir()
    for name in ("other/00.jpg", "album/00.attention.png"):
        shutil.copy(album[0], name)
    before = Path("album/00.attention.png").read_bytes()
    paths = [Path(name) for name in ("album/00.png", "other/00.jpg", "album/00.attention.png")]
    figures = figure_paths(paths, Path("album"))
    assert [path.name for path in figures.values()] == [
        "00.attention-2.png",
        "00.attention-3.png",
        "00.attention.attention.png",
    ]
    assert run(*paths, "--attention", "album", "--max-length", "2").exit_code == 0
    assert Path("album/00.attention.png").read_bytes() == before
    for path in figures.values():
        assert Image.open(path).size[0] > 900
    Path("file").touch()
    assert "--attention file is a file" in run(album[0], "--attention", "file").stderr


def test_progress_is_on_standard_error(album: list[Path]) -> None:
    few, many = run(*album[:3], "--json"), run(*album, "--json")
    assert few.stderr == "" and "captions" in many.stderr and "21/21" in many.stderr
    assert len(json.loads(many.stdout)) == 21


def refused(*words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == 1 and result.stdout == "", result.output
    assert result.stderr.startswith("Error: ") and "Traceback" not in result.stderr
    return result.stderr


def test_options_of_another_decoding(album: list[Path]) -> None:
    assert "--width belongs to --decode beam" in refused(album[0], "--decode", "greedy", "--width", "3")
    assert "--seed belongs to --decode sample" in refused(album[0], "--seed", "3")
    for temperature in ("0", "1e-309", "9e-7", "inf", "nan"):
        words = album[0], "--decode", "sample", "--temperature", temperature
        assert f"--temperature {float(temperature)} is not a number from 1e-06 up" in refused(*words)
    for penalty in ("nan", "-inf", "1000", "-1000"):
        assert f"--length-penalty {float(penalty)} is not" in refused(album[4], "--length-penalty", penalty)
    assert run(album[0], "--width", "0").exit_code == 2


def test_the_options_of_decodings_are_those_of_params() -> None:
    assert set().union(*DECODING_OPTIONS.values()) <= {each.name for each in caption.params}


def test_models_by_run_and_by_file(album: list[Path], folder: Path) -> None:
    found = captions(album[0])
    assert captions(album[0], "--model", "best") == found
    assert captions(album[0], "--model", "models/captioner/best/model.safetensors") == found
    assert "no captioner run 'bset': choose one of best, tutorial" in refused(album[0], "--model", "bset")
    assert "`dvc repro train_captioner@tutorial`" in refused(album[0], "--model", "tutorial")
    assert "none/model.safetensors is missing" in refused(album[0], "--model", "none/model.safetensors")
    Path("text.safetensors").write_text("no model")
    assert "not a saved captioner" in refused(album[0], "--model", "text.safetensors")
    whole = Path("models/captioner/best/model.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "not a saved captioner" in refused(album[0], "--model", "half.safetensors")


def test_the_network_of_the_features_must_be_there_and_the_right_one(
    album: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(folder / "other/model.safetensors", weights_sha256="another")
    assert "use the network that belongs to the model" in refused(
        album[0], "--model", "other/model.safetensors"
    )
    Path("data/features/inception.safetensors").unlink()
    assert "`dvc repro extract_features`" in refused(album[0])
    beside = Path("models/captioner/best/inception.safetensors")
    beside.touch()  # beside the model is as good
    assert captions(album[0])
    Path("data/features/inception.safetensors").touch()
    opened: list[Path] = []

    def note(path: Path, device: torch.device) -> Inception:
        opened.append(path)
        return Inception(SmallNetwork(), "small", "small")  # type: ignore[arg-type]

    monkeypatch.setattr(photographs, "read_inception", note)
    assert captions(album[0]) and [path.resolve() for path in opened] == [beside.resolve()], "it goes first"


def test_a_model_of_the_registry(album: list[Path], folder: Path) -> None:
    with records.training_run(family="captioner", name="best", run_key="k", params={}, inputs=[]) as tracked:
        tracked.log_model(
            "captioner",
            "models/captioner/best/model.safetensors",
            inception="data/features/inception.safetensors",
        )
    found = captions(album[0])
    shutil.rmtree("data")
    shutil.rmtree("models")
    assert captions(album[0], "--model", "models:/ganscribe-captioner-best@candidate") == found
    assert captions(album[0], "--model", "models:/ganscribe-captioner-best/1") == found
    assert "cannot be fetched" in refused(album[0], "--model", "models:/ganscribe-captioner-best/9")
