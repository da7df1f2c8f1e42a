"""Served models: loaded by MLflow from the tracking store, with the answers of the library itself."""

from __future__ import annotations

import base64
import importlib
import inspect
import io
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import Image

import gans
from ganscribe import convnets, records
from ganscribe.core.weights import save_weights
from ganscribe.gan.common.sampling import load_generator, sample_images
from ganscribe.records import runs, sender
from ganscribe.records.store import find_run, open_client, tracking_uri
from ganscribe.serving import models
from ganscribe.serving.pictures import decode_image, encode_png, read_file
from ganscribe.serving.refusals import Refused, check_body

CLASSES = ["circle", "square", "triangle"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scratch main repository with one logged generator and one logged classifier."""
    root = tmp_path_factory.mktemp("main repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        gans.save_generator(root / "generator.safetensors")
        network = convnets.build("lenet5", num_classes=3, image_shape=(3, 32, 32))
        classifier = {
            "network": "lenet5",
            "options": {},
            "num_classes": 3,
            "classes": CLASSES,
            "image_shape": [3, 32, 32],
        }
        save_weights(root / "classifier.safetensors", network.state_dict(), classifier)
        for family, kind in (("gan", "generator"), ("classifier", "classifier")):
            with records.training_run(
                family=family, name="tested", run_key=kind, params={}, inputs=[]
            ) as tracked:
                tracked.log_model(kind, root / f"{kind}.safetensors")
        sender.finish()
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
        yield root


def load(name: str) -> Any:
    return mlflow.pyfunc.load_model(f"models:/ganscribe-{name}-tested@candidate")


def pixels(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_generator_same_seed_same_bytes(store: Path) -> None:
    model = load("gan")
    first = model.predict(pd.DataFrame([{"seed": 7, "count": 3}]))
    assert first["image"].tolist() == model.predict(pd.DataFrame([{"seed": 7, "count": 3}]))["image"].tolist()
    other = model.predict(pd.DataFrame([{"seed": 8, "count": 3}]))
    assert first["image"].tolist() != other["image"].tolist()

    saved = load_generator(store / "generator.safetensors")
    images = sample_images(
        saved.network, 3, noise_dim=gans.NOISE, noise="uniform", seed=7, device=torch.device("cpu")
    )
    for text, image in zip(first["image"], images, strict=True):
        assert np.array_equal(pixels(text), image[0].numpy())


def test_generator_answers_several_rows(store: Path) -> None:
    model = load("gan")
    answers = model.predict(pd.DataFrame({"seed": [1, 2], "count": [2, 1]}))
    assert answers[["seed", "index"]].to_numpy().tolist() == [[1, 0], [1, 1], [2, 0]]
    alone = model.predict(pd.DataFrame({"seed": [2], "count": [1]}))
    assert answers["image"][2] == alone["image"][0]


def test_generator_refuses_too_many_images_in_all(store: Path) -> None:
    model = load("gan")
    assert len(model.predict(pd.DataFrame({"seed": [1, 2], "count": [999, 1]}))) == 1000
    for counts, message in (
        ([999, 2], "1,001 images: ask for 1 to 1000 in one request"),
        ([3, 0], "0 images in a row: ask for 1 to 1000 in one request"),
    ):
        with pytest.raises(MlflowException, match=message):
            model.predict(pd.DataFrame({"seed": [1, 2], "count": counts}))


def test_classifier_gives_the_networks_probabilities(store: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    texts = [encode_png(image) for image in images]
    answers = load("classifier").predict(pd.DataFrame({"image": texts}))

    network = convnets.load_classifier(store / "classifier.safetensors")
    with torch.no_grad():
        expected = network(torch.from_numpy(images) / 127.5 - 1).softmax(1).numpy()
    np.testing.assert_allclose(answers[CLASSES].to_numpy(), expected, rtol=1e-4)
    assert answers["label"].tolist() == [CLASSES[index] for index in expected.argmax(1)]


def test_classifier_refuses_other_sizes_and_other_text(store: Path) -> None:
    model = load("classifier")
    small = encode_png(np.zeros((3, 8, 8), dtype=np.uint8))
    with pytest.raises(MlflowException, match="8 x 8 pixels: send 32 x 32"):
        model.predict(pd.DataFrame({"image": [small]}))
    with pytest.raises(MlflowException, match="base64"):
        model.predict(pd.DataFrame({"image": ["no image!"]}))
    with pytest.raises(MlflowException, match="not a picture"):
        model.predict(pd.DataFrame({"image": [base64.b64encode(b"text").decode()]}))


def test_one_bad_picture_does_not_fail_the_others(store: Path) -> None:
    good = encode_png(np.random.default_rng(1).integers(0, 256, (3, 32, 32), dtype=np.uint8))
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (32, 32)).save(turned, "jpeg", exif=exif)  # a square stays one
    heic = base64.b64encode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").decode()
    rows = [good, heic, base64.b64encode(turned.getvalue()).decode(), "", good[:200]]
    answers = load("classifier").predict(pd.DataFrame({"image": rows}))
    assert answers["error"].isna().tolist() == [True, False, True, False, False]
    assert answers["label"].isna().tolist() == [False, True, False, True, True]
    alone = load("classifier").predict(pd.DataFrame({"image": [good]}))
    assert answers.iloc[0][CLASSES].tolist() == pytest.approx(alone.iloc[0][CLASSES].tolist())
    assert "HEIC" in answers["error"][1] and "empty" in answers["error"][3]


def test_other_models_are_asked_as_before(tmp_path: Path, store: Path) -> None:
    """Loading one of our models changes only what MLflow does with requests to our models."""
    load("gan")

    class Other(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame) -> list[int]:
            return [len(model_input.columns)]

    mlflow.pyfunc.save_model(tmp_path / "other", python_model=Other())
    other = mlflow.pyfunc.load_model(str(tmp_path / "other"))
    assert other.predict(pd.DataFrame({"anything": [1]}), params={"unknown": 1}) == [1]
    with pytest.raises(MlflowException, match="'anything' is unknown"):
        load("gan").predict(pd.DataFrame({"anything": [1], "seed": [1], "count": [1]}))
    with pytest.raises(MlflowException, match="parameter 'unknown' is unknown"):
        load("gan").predict(pd.DataFrame({"seed": [1], "count": [1]}), params={"unknown": 1})


def test_signature_example_and_run(store: Path) -> None:
    client = open_client()
    version = client.get_model_version_by_alias("ganscribe-gan-tested", "candidate")
    run = find_run(client, "generator")
    assert run is not None and version.run_id == run.info.run_id
    model = load("gan")
    assert model.metadata.signature.inputs.input_names() == ["seed", "count"]
    assert model.metadata.signature.outputs.input_names() == ["seed", "index", "image"]
    assert model.input_example.to_dict("records") == [{"seed": 0, "count": 2}]
    for path in store.glob("mlartifacts/**/requirements.txt"):
        needed = set(path.read_text().split())
        assert {f"{name}=={metadata.version(name)}" for name in ("torch", "mlflow", "pillow")} <= needed
    assert not (store / "mlruns").exists(), "artifacts belong in mlartifacts"


def spawned(*modules: str) -> list[int | None]:
    """The exit codes of spawned processes that each import one module, all at once."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=importlib.import_module, args=(module,)) for module in modules]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_loading_a_model_leaves_the_path_to_the_package_as_it_was(store: Path, tmp_path: Path) -> None:
    """Workers of a later training inherit this path, and need rooms that do not travel with a model."""
    before = list(sys.path)
    load("gan")
    assert sys.path == before
    damaged = Path(
        mlflow.artifacts.download_artifacts("models:/ganscribe-gan-tested@candidate", dst_path=str(tmp_path))
    )
    next(damaged.glob("data/*/model.safetensors")).write_bytes(b"?")
    with pytest.raises(ValueError, match="is damaged"):
        mlflow.pyfunc.load_model(str(damaged))
    assert sys.path == before
    assert spawned("ganscribe.training") == [0]


ELSEWHERE = """
import importlib, json, multiprocessing, sys
from pathlib import Path
import mlflow.pyfunc, pandas
SPAWNED
before = list(sys.path)
for name in ("classifier", "gan"):
    model = mlflow.pyfunc.load_model(f"models:/ganscribe-{name}-tested@candidate")
    model.predict(model.input_example)
assert sys.path == before, "the project is installed"
assert spawned("ganscribe.training") == [0]
importlib.import_module("ganscribe.convnets.networks.vgg11")  # later, and still the model's own
sys.path[:] = [path for path in sys.path if not Path(path, "ganscribe", "__init__.py").is_file()]
model = mlflow.pyfunc.load_model(model_uri=f"models:/ganscribe-{name}-tested@candidate")
model.predict(model.input_example)
assert spawned("ganscribe.serving", "ganscribe.training") == [0, 1], "where it is not, the model's code is all there is"
print(json.dumps([module.__file__ for name, module in sys.modules.items() if name.startswith("ganscribe")]))
""".replace("SPAWNED", inspect.getsource(spawned))


def test_the_code_that_travels_is_enough(store: Path) -> None:
    """In a process of its own a model runs on the code that it came with; rooms that it does not need stay behind."""
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [Path(file).relative_to(store.resolve()) for file in json.loads(done.stdout.splitlines()[-1])]
    assert files
    travelled = {path.name for path in store.glob("mlartifacts/**/code/ganscribe/*")}
    assert travelled == {*models.ROOMS, "__init__.py"}


def test_wrong_files(store: Path) -> None:
    found = find_run(open_client(), "generator")
    assert found is not None
    tracked = runs.resume_run(open_client(), found.info.run_id, family="gan", name="wrong")
    arguments = {"experiment_id": tracked.experiment_id, "run_id": tracked.run_id, "registered_name": "wrong"}
    save_weights(store / "other.safetensors", {}, {"weights": 1})
    for kind, name, message in (
        ("classifier", "generator.safetensors", "holds a generator"),
        ("generator", "other.safetensors", "not a model"),
    ):
        with pytest.raises(ValueError, match=message):
            models.log_model(tracked.client, kind, store / name, **arguments)
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors"):
        models.log_model(tracked.client, "generator", store / "missing.safetensors", **arguments)


def test_a_captioner_alone_is_logged_with_the_network_of_its_features(
    captioner_files: Path, store: Path
) -> None:
    arguments: dict[str, Any] = {"experiment_id": "0", "run_id": "0", "registered_name": "wrong"}
    captioner, network = (captioner_files / f"{name}.safetensors" for name in ("model", "inception"))
    for kind, path, inception in (
        ("captioner", captioner, None),
        ("generator", store / "generator.safetensors", network),
    ):
        with pytest.raises(ValueError, match="a captioner, and nothing else, is logged with its `inception`"):
            models.log_model(None, kind, path, inception=inception, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    assert np.array_equal(decode_image(encode_png(image), channels), image)


def test_captioner_captions_a_picture(
    captioner_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganscribe.serving.photographs import caption_photographs, open_captioner

    noise = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8)
    picture = encode_png(noise[0].numpy())
    served = models.Served(str(captioner_files))
    answers = served.predict(pd.DataFrame({"image": [picture, picture]}), {"attention": True})
    assert answers["caption"][0] == " ".join(answers["words"][0]) == answers["caption"][1]
    attention = np.array(answers["attention"][0])
    assert attention.shape == (len(answers["words"][0]), 64)
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-3)
    assert list(served.predict(pd.DataFrame({"image": [picture]}))) == ["caption", "words"]
    monkeypatch.setattr("ganscribe.serving.kinds.BATCH_SIZE", 2)
    several = served.predict(pd.DataFrame({"image": [picture, "no picture", picture]}))
    assert several["caption"].tolist() == [answers["caption"][0], None, answers["caption"][0]]
    assert several["error"].isna().tolist() == [True, False, True]

    captioner = open_captioner(
        captioner_files / "model.safetensors", captioner_files / "inception.safetensors"
    )
    (one,) = caption_photographs(captioner, noise)  # the command line's way
    assert one.text == answers["caption"][0]
    np.testing.assert_allclose(one.attention, attention, rtol=1e-5)
    for name in ("model.safetensors", "inception.safetensors"):
        (tmp_path / name).write_bytes((captioner_files / name).read_bytes()[: 1000 if "in" in name else None])
    with pytest.raises(ValueError, match="is damaged, or not a feature network"):
        models.Served(str(tmp_path))


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 25,000,000 bytes"):
        read_file("A" * 33_333_336)
    with pytest.raises(ValueError, match="not a picture"):
        read_file("A" * 33_333_332)  # 24,999,999 bytes


@pytest.mark.parametrize("body", [b"", b"\xff", b"1" * 5000, b"[" * 100_000, b'{"inputs":' * 100_000])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="the request is not JSON: "):
        check_body(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([1], "the request has to be an object with its rows in one of dataframe_records, "),
        ({"params": {}}, "the request has to be an object with its rows in one of"),
        ({"inputs": [], "instances": []}, "the request has to be an object with its rows in one of"),
        ({"inputs": [], "seed": 1}, "'seed' is unknown: besides its rows, a request may have only params"),
    ],
)
def test_what_is_not_one_request_is_refused(body: object, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check_body(json.dumps(body).encode())
    check_body(b'{"inputs": [], "params": {}}')
