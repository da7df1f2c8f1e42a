"""Served models: loaded by MLflow from the tracking store, with the answers of the library itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ganscribe import convnets, serving, tracking
from ganscribe.gan.networks import build_generator
from ganscribe.gan.sampling import load_generator, sample_images, save_network
from ganscribe.runtime import save_torch

CLASSES = ["circle", "square", "triangle"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scratch main repository with one logged generator and one logged classifier."""
    root = tmp_path_factory.mktemp("main repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        torch.manual_seed(0)
        generator = build_generator("mlp", noise_dim=8, image_shape=(1, 28, 28))
        settings: dict[str, Any] = {"noise_dim": 8, "noise": "uniform", "image_shape": (1, 28, 28)}
        save_network(root / "generator.pt", generator.state_dict(), networks="mlp", **settings)
        network = convnets.build("lenet5", num_classes=3, image_shape=(3, 32, 32))
        classifier = {
            "network": "lenet5",
            "options": {},
            "num_classes": 3,
            "classes": CLASSES,
            "image_shape": [3, 32, 32],
            "state_dict": network.state_dict(),
        }
        save_torch(root / "classifier.pt", classifier)
        for family, kind in (("gan", "generator"), ("classifier", "classifier")):
            with tracking.training_run(
                family=family, name="tested", run_key=kind, params={}, inputs=[]
            ) as tracked:
                tracked.log_model(kind, root / f"{kind}.pt")
        patch.setenv("MLFLOW_TRACKING_URI", tracking.tracking_uri())
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

    saved = load_generator(store / "generator.pt")
    images = sample_images(saved.network, 3, noise_dim=8, noise="uniform", seed=7, device=torch.device("cpu"))
    for text, image in zip(first["image"], images, strict=True):
        assert np.array_equal(pixels(text), image[0].numpy())


def test_generator_answers_several_rows(store: Path) -> None:
    answers = load("gan").predict(pd.DataFrame({"seed": [1, 2], "count": [2, 1]}))
    assert answers[["seed", "index"]].to_numpy().tolist() == [[1, 0], [1, 1], [2, 0]]


def test_classifier_gives_the_networks_probabilities(store: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    texts = [serving.encode_png(image) for image in images]
    answers = load("classifier").predict(pd.DataFrame({"image": texts}))

    network = convnets.load_classifier(store / "classifier.pt")
    with torch.no_grad():
        expected = network(torch.from_numpy(images) / 127.5 - 1).softmax(1).numpy()
    np.testing.assert_allclose(answers[CLASSES].to_numpy(), expected, rtol=1e-4)
    assert answers["label"].tolist() == [CLASSES[index] for index in expected.argmax(1)]


def test_classifier_refuses_other_sizes_and_other_text(store: Path) -> None:
    model = load("classifier")
    small = serving.encode_png(np.zeros((3, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"\(3, 8, 8\)"):
        model.predict(pd.DataFrame({"image": [small]}))
    with pytest.raises(ValueError, match="base64"):
        model.predict(pd.DataFrame({"image": ["no image!"]}))
    with pytest.raises(ValueError, match="no image file"):
        model.predict(pd.DataFrame({"image": [base64.b64encode(b"text").decode()]}))


def test_signature_example_and_run(store: Path) -> None:
    client = tracking.open_client()
    version = client.get_model_version_by_alias("ganscribe-gan-tested", "candidate")
    run = tracking.find_run(client, "generator")
    assert run is not None and version.run_id == run.info.run_id
    model = load("gan")
    assert model.metadata.signature.inputs.input_names() == ["seed", "count"]
    assert model.metadata.signature.outputs.input_names() == ["seed", "index", "image"]
    assert model.input_example.to_dict("records") == [{"seed": 0, "count": 2}]
    assert not (store / "mlruns").exists(), "artifacts belong in mlartifacts"


def test_wrong_files(store: Path) -> None:
    with tracking.reopened_run("generator", family="gan", name="tested") as tracked:
        with pytest.raises(ValueError, match="holds a generator"):
            tracked.log_model("classifier", store / "generator.pt")
        with pytest.raises(FileNotFoundError, match=r"missing\.pt"):
            tracked.log_model("generator", store / "missing.pt")
        save_torch(store / "other.pt", {"weights": 1})
        with pytest.raises(ValueError, match="no model"):
            tracked.log_model("generator", store / "other.pt")


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    assert np.array_equal(serving.decode_image(serving.encode_png(image), channels), image)


@pytest.mark.slow
def test_captioner_captions_a_picture(tmp_path: Path) -> None:
    from ganscribe.captioning.inference import save_captioner
    from ganscribe.captioning.model import Captioner
    from ganscribe.captioning.photographs import caption_photographs, open_captioner
    from ganscribe.data.tokens import Vocabulary
    from ganscribe.metrics.inception import load_inception, prepare, write_inception
    from ganscribe.metrics.inception_input import PREPROCESSING

    noise = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8)
    inception = load_inception(None, calibration_images=noise)
    prepared = prepare(inception, precision="fp32", device=torch.device("cpu"))
    write_inception(tmp_path / "inception.pt", prepared)
    options = {"vocabulary_size": 14, "embedding_dim": 8, "units": 8}
    network = Captioner(**options)
    network.output.bias.data[3] = -50
    facts = {"weights": prepared.label, "weights_sha256": prepared.sha256}
    save_captioner(
        tmp_path / "model.pt",
        options=options,
        vocabulary=Vocabulary(("<pad>", "<unk>", "<start>", "<end>", *"abcdefghij")),
        features=facts | {"preprocessing": PREPROCESSING["none"]},
        state_dict=network.state_dict(),  # it never chooses `<end>`
    )

    picture = serving.encode_png(noise[0].numpy())
    answers = serving._load_pyfunc(str(tmp_path)).predict(pd.DataFrame({"image": [picture, picture]}))
    assert answers["caption"][0] == " ".join(answers["words"][0]) == answers["caption"][1]
    attention = np.array(answers["attention"][0])
    assert attention.shape == (len(answers["words"][0]), 64)
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-3)

    captioner = open_captioner(tmp_path / "model.pt", tmp_path / "inception.pt")  # the command line's way
    (one,) = caption_photographs(captioner, noise[:1])
    assert one.text == answers["caption"][0]
    np.testing.assert_allclose(one.attention, attention, rtol=1e-5)
    (tmp_path / "inception.pt").write_bytes((tmp_path / "inception.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match="or a damaged one"):
        serving._load_pyfunc(str(tmp_path))
