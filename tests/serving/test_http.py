"""`mlflow models serve` over HTTP: a captioner and a generator, with good, bad, large and many requests."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import gans
from ganscribe import records
from ganscribe.features.pictures import load_image
from ganscribe.gan.common.sampling import load_generator
from ganscribe.records import sender
from ganscribe.records.outbox import tracking_uri
from ganscribe.serving.photographs import caption_photographs, open_captioner
from ganscribe.serving.pictures import encode_png
from loopback import free_port, listening, wait_for_page

Ask = Callable[[Any], tuple[int, Any]]


@pytest.fixture(scope="module")
def registry(captioner_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a captioner and a generator, `candidate` both."""
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        gans.save_generator("generator.safetensors")
        with records.training_run(family="captioner", name="tiny", run_key="c", params={}, inputs=[]) as run:
            run.log_model(
                "captioner",
                captioner_files / "model.safetensors",
                inception=captioner_files / "inception.safetensors",
            )
        with records.training_run(family="gan", name="tiny", run_key="g", params={}, inputs=[]) as run:
            run.log_model("generator", "generator.safetensors")
        sender.finish()
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
        yield root


@contextmanager
def served(model: str, folder: Path) -> Iterator[tuple[Ask, psutil.Process, int]]:
    """The command line that a person types; a function that posts JSON, the process that answers, and its port."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{model}@candidate"]
    command += ["--env-manager", "local", "--port", str(port)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / f"{model}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def ask(body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        wait_for_page(f"http://127.0.0.1:{port}/ping")
        assert listening(process.pid) == {"127.0.0.1"}, "it is at this machine alone unless told otherwise"
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        yield ask, max(family, key=lambda each: each.memory_info().rss), port
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def typed(project: Path, port_in_text: int, port: int, folder: Path) -> str:
    """What the example of docs/using.md prints, typed as it stands but for the port."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    blocks = re.findall(r"```sh\n(.*?)```", (project / "docs" / "using.md").read_text(), re.DOTALL)
    (block,) = [text for text in blocks if f"localhost:{port_in_text}/invocations" in text]
    command = block.replace(f":{port_in_text}/", f":{port}/")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


def rows(**columns: list[Any]) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(columns), "data": list(zip(*columns.values(), strict=True))}}


def test_the_captioner(
    registry: Path, captioner_files: Path, test_data: Path, project: Path, tmp_path: Path
) -> None:
    photographs = sorted((test_data / "coco" / "train2014").glob("*.jpg"))[:8]
    texts = [base64.b64encode(path.read_bytes()).decode() for path in photographs]
    captioner = open_captioner(
        captioner_files / "model.safetensors", captioner_files / "inception.safetensors"
    )
    expected = [
        caption_photographs(captioner, load_image(path, crop=captioner.crop)[None])[0] for path in photographs
    ]
    large = io.BytesIO()
    Image.new("L", (12_000, 6_000)).save(large, "png")

    with served("ganscribe-captioner-tiny", registry) as (ask, process, port):
        status, answer = ask(rows(image=texts[:2]) | {"params": {"attention": True}})
        assert status == 200
        for found, one in zip(answer["predictions"], expected, strict=False):
            assert found["caption"] == one.text
            np.testing.assert_allclose(found["attention"], one.attention, rtol=1e-3, atol=1e-5)
        status, answer = ask(rows(image=texts[:1]))
        assert (status, list(answer["predictions"][0])) == (200, ["caption", "words"])

        status, answer = ask(rows(image=[texts[0], "no picture", 5, texts[1]]))  # a bad one spoils no other
        found = [row["caption"] for row in answer["predictions"]]
        assert (status, found) == (200, [expected[0].text, None, None, expected[1].text])
        reasons = [row["error"] for row in answer["predictions"]]
        assert (
            reasons[0] is reasons[3] is None and "not base64 text" in reasons[1] and reasons[1] != reasons[2]
        )

        for body, message in (
            (rows(image=[base64.b64encode(photographs[0].read_bytes()[:500]).decode()]), "image"),
            (rows(image=[base64.b64encode(b"text").decode()]), "not a picture"),
            (rows(image=["no picture"]), "not base64 text"),
            (rows(image=["no picture", 5]), "none of the 2 rows"),
            (rows(image=[5]), "not base64 text"),
            (rows(image=[None]), "missing"),
            (rows(image=texts[:1], width=[5]), "'width' is unknown"),
            (rows(image=texts[:1]) | {"params": {"beam": 3}}, "parameter 'beam' is unknown"),
            (rows(image=texts[:1]) | {"params": {"attention": "yes"}}, "send true or false"),
            ({"inputs": texts[0]}, "rows with named columns"),
            (rows(image=[base64.b64encode(large.getvalue()).decode()]), "12000 x 6000 pixels"),
            (rows(image=["A" * 40_000_000]), "25,000,000 bytes"),
            (rows(image=[]), "no rows"),
            (rows(image=texts[:1]) | {"attention": True}, "'attention' is unknown"),
            ({}, "an object with its rows"),
            ([1], "an object with its rows"),
            (b"", "not JSON"),
            (b"\xff not JSON", "not JSON"),
            (rows(picture=texts[:1]), "image"),
        ):
            status, answer = ask(body)
            assert 400 <= status < 500, (message, status, answer)
            assert message in answer, answer[:500]
            assert not any(mark in answer for mark in ("Traceback", "stack_trace", " object at 0x"))
            assert len(answer) < 2000, "what was sent is not sent back"

        noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "dog.jpg", quality=95)
        assert (tmp_path / "dog.jpg").stat().st_size > 128 << 10, "more than an argument of a command may be"
        (found,) = json.loads(typed(project, 5001, port, tmp_path))["predictions"]
        pixels = load_image(tmp_path / "dog.jpg", crop=captioner.crop)
        assert found["caption"] == caption_photographs(captioner, pixels[None])[0].text
        assert np.shape(found["attention"]) == (len(found["words"]), 64)

        with ThreadPoolExecutor(50) as pool:
            first = list(pool.map(ask, [rows(image=[texts[n % 8]]) for n in range(50)]))
            before = process.memory_info().rss
            second = list(pool.map(ask, [rows(image=[texts[n % 8]]) for n in range(20)]))
        for number, (status, answer) in enumerate([*first, *second]):
            assert status == 200
            assert answer["predictions"][0]["caption"] == expected[number % 50 % 8].text
        assert process.memory_info().rss < before + 100e6


def test_the_generator(registry: Path, project: Path, tmp_path: Path) -> None:
    with served("ganscribe-gan-tiny", registry) as (ask, _, port):
        status, answer = ask(rows(seed=[3, 4], count=[2, 1]))
        assert status == 200
        found = [row["image"] for row in answer["predictions"]]
        saved = load_generator(registry / "generator.safetensors")
        images = [*saved.sample(2, seed=3, device=torch.device("cpu"))]
        images += saved.sample(1, seed=4, device=torch.device("cpu"))
        assert found == [encode_png(image.numpy()) for image in images]
        typed(project, 5002, port, tmp_path)
        for number, image in enumerate(saved.sample(4, seed=7, device=torch.device("cpu"))):
            assert (np.asarray(Image.open(tmp_path / f"{number}.png")) == image[0].numpy()).all()
        for body, message in (
            (rows(seed=[1], count=[0]), "1 to 1000"),
            (rows(seed=[1], count=[10**9]), "1 to 1000"),
            (rows(seed=["one"], count=[1]), "'seed' has to be a whole number"),
            (rows(seed=[7.5], count=[1]), "7.5 is not a whole number"),
            (rows(seed=[1]), "'count' is missing"),
            (rows(seed=[1], count=[1]) | {"params": {"truncation": 0.5}}, "this model has none"),
            (rows(seed=[], count=[]), "no rows"),
        ):
            status, answer = ask(body)
            assert 400 <= status < 500, (message, status, answer)
            assert message in answer
