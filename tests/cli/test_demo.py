"""`ganscribe demo` as a visitor sees it, in headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio
import numpy as np
import pytest
import requests
from click.testing import CliRunner
from PIL import Image

import gans
from ganscribe import cli
from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.features.pictures import load_image
from ganscribe.gan.common.sampling import load_generator
from ganscribe.serving.demo import Models, build_page
from ganscribe.serving.photographs import caption_photographs, open_captioner
from ganscribe.sources.drawn.scenes import draw_scene
from loopback import free_port, listening, wait_for_page


@pytest.fixture(scope="module")
def folder(captioner_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with a captioner and a generator."""
    folder = tmp_path_factory.mktemp("demo")
    for name, place in (
        ("model.safetensors", "models/captioner/tiny"),
        ("inception.safetensors", "data/features"),
    ):
        (folder / place).mkdir(parents=True)
        shutil.copy(captioner_files / name, folder / place / name)
    for run, fid, steps in (("early", 20, 1), ("tiny", 30, 5), ("long", 40, 20)):
        gans.save_generator(folder / f"models/gan/{run}/generator.safetensors")
        scores = folder / f"data/gan_scores/{run}/scores.json"
        scores.parent.mkdir(parents=True)
        scores.write_text(json.dumps({"fid": fid, "trained_steps": steps, "recipe_steps": 20}))
    (folder / "data/raw/coco/train2014").mkdir(parents=True)
    captions = []
    for number, split in enumerate(("train", "test", "test")):
        captions.append(SelectedCaption(number, number, f"{number}.png", "", "a dog", split, True))
        draw_scene(number, seed=0).picture.save(folder / f"data/raw/coco/train2014/{number}.png")
    (folder / "data/captions").mkdir()
    write_captions(folder / "data/captions/captions.parquet", captions)
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command says in the terminal."""
    return tmp_path_factory.mktemp("log") / "demo.log"


@pytest.fixture(scope="module")
def address(folder: Path, log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, uploads = free_port(), tmp_path_factory.mktemp("uploads")
    interruptible = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # in the background too
    )
    command = [sys.executable, "-c", f"{interruptible}; from ganscribe.cli import main; main()"]
    command += ["demo", "--no-browser", "--port", str(port)]
    environment = os.environ | {"DVC_ROOT": str(folder), "GRADIO_SERVER_NAME": "0.0.0.0"}  # --host decides
    environment["GRADIO_TEMP_DIR"] = str(uploads)
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        wait_for_page(f"http://127.0.0.1:{port}")
        assert listening(process.pid) == {"127.0.0.1"}
        with (folder / "data/raw/coco/train2014/0.png").open("rb") as file:
            requests.post(f"http://127.0.0.1:{port}/gradio_api/upload", files={"files": file}, timeout=60)
        assert [*uploads.rglob("0.png")]
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert not [*uploads.rglob("0.png")], "visitors' pictures are deleted"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(90_000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        strangers = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        browser.close()
    assert strangers == [], "the page needs no other host"


def test_a_photograph_is_captioned(page: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "dog.png"
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    page.locator("input[type=file]").first.set_input_files(path)
    captioner = open_captioner(
        folder / "models/captioner/tiny/model.safetensors", folder / "data/features/inception.safetensors"
    )
    (expected,) = caption_photographs(captioner, load_image(path, crop=captioner.crop)[None])
    page.wait_for_function("document.querySelector('#caption textarea').value != ''")
    assert page.locator("#caption textarea").input_value() == expected.text
    page.locator("#attention img").first.wait_for()


def test_a_file_that_is_no_picture_is_told_of_and_nothing_else(page: Any, log: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "notes.png")
    page.get_by_text("This file has no caption: it is damaged, or not a picture").wait_for()
    page.locator("input[type=file]").first.wait_for(state="attached")  # another one may be dropped
    assert page.get_by_text("Error", exact=True).count() == 0
    assert "Traceback" not in log.read_text()


def test_a_picture_is_read_in_the_same_way_after_another(page: Any, log: Path, tmp_path: Path) -> None:
    page.locator(".gallery-item").last.click()
    page.wait_for_function("document.querySelector('#caption textarea').value != ''")
    (tmp_path / "notes.png").write_text("no picture")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "notes.png")
    page.wait_for_function("document.querySelector('#caption textarea').value == ''")
    page.get_by_text("This file has no caption: it is damaged, or not a picture").wait_for(timeout=10_000)
    assert "Traceback" not in log.read_text(), "gradio has opened the file itself"


def test_examples_of_the_test_set_are_there_to_click(page: Any) -> None:
    page.get_by_text("pictures of the test set: click on one").wait_for()
    page.locator(".gallery-item").last.click()
    page.wait_for_function("document.querySelector('#caption textarea').value != ''")
    page.locator("#attention img").first.wait_for()
    page.get_by_text("its captions of photographs mean little").wait_for()  # random weights


def test_a_walk_through_the_noise(page: Any, folder: Path) -> None:
    page.get_by_role("tab").nth(1).click()
    best = page.get_by_label("generator", exact=True)
    assert best.input_value() == "tiny: FID 30, 5 of 20 steps", "the best of what is no scribble"
    image = page.locator("#samples img")
    image.wait_for()
    first = image.get_attribute("src")
    page.locator("#position input[type=number]").fill("0.5")
    page.keyboard.press("Tab")
    page.wait_for_function(f"document.querySelector('#samples img').src != '{first}'")

    saved = load_generator(folder / "models/gan/tiny/generator.safetensors")
    ends = [saved.between(5, seed=3, position=position) for position in (0, 1)]
    assert (ends[0] == saved.sample(5, seed=3, device=next(saved.network.parameters()).device)).all()
    assert (ends[1] == saved.sample(5, seed=4, device=next(saved.network.parameters()).device)).all()


def test_models_that_cannot_be_opened_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("no model")
    models = Models({"a": path}, {"b": path}, inception=path)
    assert "not a saved captioner" in models.note("a")
    page = build_page(models)
    walks = [each.fn for each in page.fns.values() if len(each.inputs) == 3]
    assert walks
    for walk in walks:
        with pytest.raises(gradio.Error, match="not a saved generator") as caught:
            walk("b", 0, 0.0)
        assert not caught.value.print_exception


def test_a_folder_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    done = CliRunner().invoke(cli.main, ["demo", "--no-browser"])
    assert done.exit_code == 1 and "holds no captioner and no generator: `dvc repro`" in done.output


def test_a_port_that_is_taken(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder has a generator alone, which is enough for a page."""
    for name in ("models/gan/tiny", "data/gan_scores/tiny"):
        shutil.copytree(folder / name, tmp_path / name)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = CliRunner().invoke(cli.main, ["demo", "--no-browser", "--port", port])
    assert done.exit_code == 1
    assert f"no page can be opened at 127.0.0.1:{port}: give another --port" in done.stderr
    assert "launch" not in done.stderr


def test_without_gradio_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    result = CliRunner().invoke(cli.main, ["demo", "--no-browser"])
    assert result.exit_code == 1
    assert result.stderr == 'Error: the page needs gradio: pip install "ganscribe[demo]"\n'
