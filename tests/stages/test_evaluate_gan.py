"""evaluate_gan: which judges score a GAN, on which images, and that the first one's scores are the headline."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import gans
import publications
from ganscribe import convnets
from ganscribe.config.stages import GanEvaluation
from ganscribe.core.devices import choose_device
from ganscribe.core.files import file_sha256, write_json
from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.core.weights import save_weights
from ganscribe.datasets.images import Images, read_images
from ganscribe.datasets.prepare import write_images
from ganscribe.gan.common.sampling import load_generator
from ganscribe.metrics.comparable import SAME
from ganscribe.metrics.gan.images import (
    Extractor,
    classifier_extractor,
    frechet_distance,
    judge_images,
    sliced_wasserstein,
)
from ganscribe.metrics.gan.scores import GAN_SCORES, score_gan
from ganscribe.records import outbox
from ganscribe.sources.acquire import acquire

CLASSES = list("abcdefghij")
SAMPLES, SNAPSHOT_SAMPLES, SEED = 30, 12, 5
JUDGES = ("of_cifar10", "first", "second")
RUN = GanEvaluation(judges=JUDGES, num_samples=SAMPLES, snapshot_samples=SNAPSHOT_SAMPLES, seed=SEED)
FULL_SCORES = {score.name for score in GAN_SCORES if not score.name.endswith("_inception")}
INCEPTION_SCORES = {f"{kind}_inception" for kind in ("fid", "kid", "isc", "precision", "recall")}


def write_judge(name: str, dataset: str, seed: int) -> None:
    """An untrained LeNet-5, as stage collect_judge leaves it."""
    torch.manual_seed(seed)
    shape = (1, 28, 28) if dataset == "mnist" else (3, 32, 32)
    saved = {"network": "lenet5", "options": {}, "num_classes": 10, "image_shape": list(shape)}
    model = convnets.build("lenet5", num_classes=10, image_shape=shape)
    save_weights(f"data/judges/{name}/model.safetensors", model.state_dict(), saved)
    write_json(f"data/judges/{name}/training.json", {"recipe": {"network": "lenet5", "dataset": dataset}})


def write_gan(
    name: str, *, classes: list[int] | None = None, splits: tuple[str, ...] = ("train",), steps: int = 200
) -> None:
    """An untrained generator and two snapshots of it, as stage train_gan leaves them."""
    folder = Path("models/gan", name)
    for seed, file in enumerate(
        ("generator.safetensors", "snapshots/step-000005.safetensors", "snapshots/step-000020.safetensors")
    ):
        gans.save_generator(folder / file, seed=seed)
    recipe = {"dataset": "mnist", "splits": splits, "classes": classes}
    write_json(folder / "training.json", {"recipe": recipe, "trained_steps": steps, "recipe_steps": 800})
    write_json(folder / "run_key.json", {"family": "gan", "name": name, "run_key": f"the key of {name}"})


def get_fid_weights(source: str, path: Path | None = None) -> None:
    """What download@fid_inception leaves."""
    destination = "data/raw/fid_inception"
    acquire("fid_inception", source=source, folder=path, destination=destination, scenes=1, seed=0)


def write_digits(split: str, count: int, seed: int) -> None:
    write_images(
        f"data/mnist/{split}.parquet",
        gans.pictures(count, seed=seed).numpy(),
        (torch.arange(count) % 10).to(torch.uint8).numpy(),
        range(count),
        dataset="mnist",
        classes=CLASSES,
        source="sample",
    )


@pytest.fixture
def folder(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a few pictures, three judges and two generators; nothing of it is trained."""
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    monkeypatch.setenv("TORCH_HOME", str(workplace / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for seed, (split, count) in enumerate({"train": 60, "val": 20, "test": 50}.items()):
        write_digits(split, count, seed)
    write_judge("of_cifar10", "cifar10", 0)
    write_judge("first", "mnist", 1)
    write_judge("second", "mnist", 2)
    get_fid_weights("none")
    write_gan("mine")
    write_gan("chosen", classes=[7, 3], splits=("train", "val"))
    return workplace


@pytest.fixture
def stage(folder: Path, load_stage: Any) -> dict[str, Any]:
    return load_stage("evaluate_gan")


def distance_by(judge: str, real: Tensor, generated: Tensor) -> float:
    extractor = classifier_extractor(convnets.load_classifier(f"data/judges/{judge}/model.safetensors"))
    return frechet_distance(*(judge_images(part, extractor).features for part in (real, generated)))


def test_judges_are_those_of_the_data_set_in_the_order_of_the_parameters(stage: dict[str, Any]) -> None:
    Path("data/judges/.DS_Store").touch()  # which macOS leaves wherever somebody looks
    assert stage["judges_of"]("mnist", JUDGES) == ["first", "second"]
    assert stage["judges_of"]("cifar10", JUDGES) == ["of_cifar10"]
    assert stage["judges_of"]("mnist", ("second", "first")) == ["second", "first"]
    left = sorted(path.name for path in Path("data/judges").glob("*/"))
    assert left == ["first", "second"], "DVC would take the others for an input"


def test_images_of_a_run_on_every_class_are_held_against_the_test_images(stage: dict[str, Any]) -> None:
    images = stage["collect_images"](Path("models/gan/mine"), RUN)
    saved = load_generator("models/gan/mine/generator.safetensors")
    assert torch.equal(images.generated, saved.sample(SAMPLES, seed=SEED, device=gans.CPU))
    train, test = (read_images(f"data/mnist/{split}.parquet") for split in ("train", "test"))
    assert torch.equal(images.reference.images, test.images)
    assert torch.equal(images.reference.labels, test.labels)
    assert torch.equal(images.training, train.images) and images.has_every_class
    chosen = torch.randperm(60, generator=random_stream(SEED, "gan", "floor"))[:SAMPLES]
    assert torch.equal(images.other_real, train.images[chosen])  # the floor: as many as were generated


def test_images_of_a_run_on_chosen_classes_are_held_against_what_it_was_trained_on(
    stage: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    images = stage["collect_images"](Path("models/gan/chosen"), RUN)
    assert "Warning" not in capsys.readouterr().err, "its block says which classes it lacks"
    assert len(images.training) == 12 + 4  # of train and val, those of two classes in ten
    assert torch.equal(images.reference.images, images.training) and not images.has_every_class
    assert set(images.reference.labels.tolist()) == {3, 7}
    assert len(images.reference.rows) == 16 and images.reference.class_names == CLASSES
    test = read_images("data/mnist/test.parquet", [7, 3])
    order = torch.randperm(10, generator=random_stream(SEED, "gan", "floor"))
    assert torch.equal(images.other_real, test.images[order])


def test_what_depends_on_no_judge_is_the_first_one_s(stage: dict[str, Any]) -> None:
    images = stage["collect_images"](Path("models/gan/mine"), RUN)
    settings: dict[str, Any] = {"seed": SEED, "weights": None}
    first, second = (
        stage["ask"](judge, images, is_first=judge == "first", **settings) for judge in ("first", "second")
    )
    facts = stage["facts_of"](images, None)
    one, other = first.scores(facts), second.scores(facts)
    assert one.keys() - other.keys() == {"swd"}
    assert one["swd"] == sliced_wasserstein(images.reference.images, images.generated, seed=SEED)
    for scores in (one, other):
        judge = scores["judge"]
        assert scores["fid"] == pytest.approx(
            distance_by(judge, images.reference.images, images.generated), rel=1e-9
        )
        floor = distance_by(judge, images.reference.images, images.other_real)
        assert scores["floor_fid"] == pytest.approx(floor, rel=1e-9)
        assert scores["judge_sha256"] == file_sha256(f"data/judges/{judge}/model.safetensors")
        assert (scores["num_samples"], scores["num_real"], scores["num_floor"]) == (SAMPLES, 50, SAMPLES)
        assert (scores["dataset"], scores["source"], scores["resize"]) == ("mnist", "sample", "none")
        assert set(SAME["gan"]) <= scores.keys()
    assert one["fid"] != other["fid"]


def test_the_scored_data_are_the_real_images_and_their_labels(stage: dict[str, Any]) -> None:
    """Another pixel or another label makes other data; other samples, or another floor, do not."""
    images = stage["collect_images"](Path("models/gan/mine"), RUN)

    def digest(**changes: Any) -> str:
        return str(stage["facts_of"](dataclasses.replace(images, **changes), None)["data_sha256"])

    def other(name: str) -> Images:
        values = getattr(images.reference, name).clone()
        values.flatten()[-1] ^= 1
        return dataclasses.replace(images.reference, **{name: values})

    first = digest()
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first == digest(generated=images.generated + 1, other_real=images.other_real + 1)
    again = read_images("data/mnist/test.parquet")
    assert first == digest(reference=again), "the file's other bytes do not count"
    assert len({first, digest(reference=other("images")), digest(reference=other("labels"))}) == 3


def test_shares_of_classes_are_known_of_a_run_on_every_class(stage: dict[str, Any]) -> None:
    images = stage["collect_images"](Path("models/gan/mine"), RUN)
    scored = stage["ask"]("first", images, seed=SEED, is_first=False, weights=None).scored
    shares = pd.DataFrame(stage["class_shares"](scored, CLASSES))
    assert list(shares["class"]) == CLASSES
    assert list(shares["real"]) == pytest.approx([0.1] * 10)
    assert shares["generated"].sum() == pytest.approx(1)
    made = scored.generated.logits.argmax(1)
    assert list(shares["generated"]) == [float((made == label).double().mean()) for label in range(10)]

    images = stage["collect_images"](Path("models/gan/chosen"), RUN)
    scored = stage["ask"]("first", images, seed=SEED, is_first=True, weights=None).scored
    assert {"modes", "kl"}.isdisjoint(score_gan(scored))
    unknown = [{"class": name, "generated": None, "real": None} for name in CLASSES]
    assert stage["class_shares"](scored, CLASSES) == unknown


def test_a_class_without_test_images_is_said_and_not_scored(
    stage: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The GAN has been trained by then, so whatever can be scored is scored."""
    test = read_images("data/mnist/test.parquet", [*range(9)])
    pixels, labels = test.images.numpy(), test.labels.to(torch.uint8).numpy()
    facts: dict[str, Any] = {"dataset": "mnist", "classes": CLASSES, "source": "local"}
    write_images("data/mnist/test.parquet", pixels, labels, test.rows.tolist(), **facts)
    images = stage["collect_images"](Path("models/gan/mine"), RUN)
    assert "no test image of mnist is of class j" in capsys.readouterr().err
    scored = stage["ask"]("first", images, seed=SEED, is_first=True, weights=None).scored
    assert score_gan(scored).keys() == FULL_SCORES - {"modes", "kl"}


def extract(batch: Tensor) -> tuple[Tensor, Tensor]:
    """A stand-in for the Inception network; tests/metrics/gan/test_images.py has the real one."""
    pixels = batch.flatten(1).float() / 255
    return pixels[:, 300:304], pixels[:, :10]


def test_the_inception_network_scores_where_its_weights_are(
    stage: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Path, torch.device]] = []

    def open_network(path: Path, device: torch.device) -> Extractor:
        opened.append((path, device))
        return extract

    monkeypatch.setitem(stage["by_inception"].__globals__, "inception_extractor", open_network)
    images = stage["collect_images"](Path("models/gan/mine"), RUN)
    assert stage["by_inception"](images, None, SEED) is None
    assert "not available (no weights" in stage["facts_of"](images, None)["inception"]
    assert "inception_resize" not in stage["facts_of"](images, None)

    weights = folder / "weights.pth"
    weights.write_bytes(b"weights")
    facts = stage["facts_of"](images, weights)
    assert facts["inception"] == file_sha256(weights) and "299" in facts["inception_resize"]
    for is_first in (True, False):
        verdict = stage["ask"]("first", images, seed=SEED, is_first=is_first, weights=weights)
        found = INCEPTION_SCORES & verdict.scores(facts).keys()
        assert found == (INCEPTION_SCORES if is_first else set())
        if is_first:
            expected = frechet_distance(
                *(extract(part)[0].double() for part in (images.reference.images, images.generated))
            )
            assert verdict.scores(facts)["fid_inception"] == pytest.approx(expected, rel=1e-9)
    assert opened == [(weights, choose_device())]


def write_parameters(project: Path, samples: int = SAMPLES) -> None:
    """The project's own, with the judges and the numbers of images of these tests, at the tiny scale."""
    shutil.copytree(project / "params", "params")
    text = re.sub(r"(?m)^scale: \w+", "scale: tiny", (project / "params.yaml").read_text())
    for old, new in {"lenet5": "first", "resnet20": "second", "lenet5_cifar10": "of_cifar10"}.items():
        text = re.sub(rf"(?m)^    {old}:$", f"    {new}:", text)
    text = re.sub(r"(?m)^judges:\n(- .*\n)*", f"judges: [{', '.join(JUDGES)}]\n", text)
    text = re.sub(r"(?m)^gan:\n  seed: \d+$", f"gan:\n  seed: {SEED}", text)
    Path("params.yaml").write_text(text)
    scale = Path("params/tiny.yaml").read_text()
    for name, count in {"gan_samples": samples, "snapshot_samples": SNAPSHOT_SAMPLES}.items():
        scale = re.sub(rf"{name}: \d+", f"{name}: {count}", scale)
    Path("params/tiny.yaml").write_text(scale)


def use_local_weights(path: Path) -> None:
    entry, text = "fid_inception: {source: scale, folder: null}", Path("params.yaml").read_text()
    assert entry in text
    changed = f"fid_inception: {{source: local, folder: {path}}}"
    Path("params.yaml").write_text(text.replace(entry, changed))
    get_fid_weights("local", path)


def test_weights_of_the_inception_network_are_those_that_the_source_has(
    project: Path, stage: dict[str, Any], folder: Path
) -> None:
    write_parameters(project)
    assert stage["find_weights"]() is None
    weights = folder / "somewhere" / "weights.pth"
    publications.small_fid_weights(weights)
    use_local_weights(weights)
    assert stage["find_weights"]() == weights
    weights.write_bytes(weights.read_bytes() + b"?")
    with pytest.raises(ValueError, match=r"has changed since download: .*download@fid_inception"):
        stage["find_weights"]()
    shutil.rmtree("data/raw/fid_inception")
    with pytest.raises(FileNotFoundError, match="run `dvc repro download@fid_inception`"):
        stage["find_weights"]()


@pytest.mark.slow
def test_scores_by_fid_s_own_network_are_those_of_torch_fidelity_alone(
    project: Path, stage: dict[str, Any], folder: Path
) -> None:
    """Its public function gets the same images and weights (random ones), and uses its own extractor."""
    import torch_fidelity

    class Coloured(torch.utils.data.Dataset[Tensor]):
        def __init__(self, images: Tensor) -> None:
            self.images = images.expand(-1, 3, -1, -1)

        def __getitem__(self, index: int) -> Tensor:
            return self.images[index]

        def __len__(self) -> int:
            return len(self.images)

    samples = 10  # each takes the network a quarter of a second
    write_digits("test", 10, seed=2)
    write_parameters(project, samples)
    weights = folder / "weights.pth"
    torch.save(publications.fid_weights(), weights)
    use_local_weights(weights)
    done = CliRunner().invoke(stage["main"], ["mine"])
    assert done.exit_code == 0, done.output
    scores = json.loads(Path("data/gan_scores/mine/scores.json").read_text())
    generated = load_generator("models/gan/mine/generator.safetensors").sample(
        samples, seed=SEED, device=gans.CPU
    )
    theirs = torch_fidelity.calculate_metrics(
        input1=Coloured(generated),
        input2=Coloured(read_images("data/mnist/test.parquet").images),
        feature_extractor_weights_path=str(weights),
        fid=True,
        kid=True,
        isc=True,
        kid_subset_size=samples,
        rng_seed=stream_seed(SEED, "kid") % 2**32,
        save_cpu_ram=True,
        batch_size=samples,
        cuda=False,
        cache=False,
        verbose=False,
    )
    assert scores["inception"] == file_sha256(weights)
    assert {"fid_inception", "kid_inception", "isc_inception"} <= scores.keys()
    assert scores["fid_inception"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert scores["kid_inception"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
    assert scores["isc_inception"] == pytest.approx(theirs["inception_score_mean"], rel=1e-3)  # other parts
    assert "fid_inception" not in pd.read_csv("data/gan_scores/mine/judges.csv")


def test_a_run_is_scored_by_every_judge_of_its_data_set(project: Path, stage: dict[str, Any]) -> None:
    write_parameters(project)
    done = CliRunner().invoke(stage["main"], ["mine"])
    assert done.exit_code == 0, done.output
    scores = json.loads(Path("data/gan_scores/mine/scores.json").read_text())
    table = pd.read_csv("data/gan_scores/mine/judges.csv")
    assert scores["judge"] == "first" and list(table["judge"]) == ["first", "second"]
    assert {"fid", "kid", "is", "precision", "recall", "modes", "floor_fid"} < set(table.columns)
    assert "swd" in scores and "swd" not in table  # of no judge
    first = table.iloc[0].to_dict()
    assert first == {name: pytest.approx(scores[name]) for name in first}
    test = read_images("data/mnist/test.parquet").images
    samples = load_generator("models/gan/mine/generator.safetensors").sample(
        SAMPLES, seed=SEED, device=gans.CPU
    )
    for judge, fid in zip(table["judge"], table["fid"], strict=True):
        assert fid == pytest.approx(distance_by(judge, test, samples), rel=1e-9)

    snapshots = pd.read_csv("data/gan_scores/mine/snapshots.csv")
    assert list(snapshots["step"]) == [5, 20] and list(snapshots.columns) == ["step", "fid"]
    for step, fid in zip(snapshots["step"], snapshots["fid"], strict=True):
        kept = load_generator(f"models/gan/mine/snapshots/step-{step:06d}.safetensors")
        made = kept.sample(SNAPSHOT_SAMPLES, seed=SEED, device=gans.CPU)
        assert fid == pytest.approx(distance_by("first", test, made), rel=1e-9)

    headline = json.loads(Path("metrics/gan/mine.json").read_text())
    assert headline == {
        "fid": float(f"{scores['fid']:.4g}"),
        "modes": scores["modes"],
        "trained": 0.25,
    }
    assert (scores["trained"], scores["trained_steps"], scores["recipe_steps"]) == (0.25, 200, 800)
    assert list(pd.read_csv("data/gan_scores/mine/classes.csv")["class"]) == CLASSES
    training = read_images("data/mnist/train.parquet").images
    for row in pd.read_csv("data/gan_scores/mine/neighbours.csv").itertuples():
        apart = (samples[row.sample].double() - training.double()).flatten(1).norm(dim=1)
        assert (row.training_image, row.distance) == (int(apart.argmin()), pytest.approx(float(apart.min())))
    assert row.sample == min(SAMPLES, 100) - 1
    assert {path.name for path in Path("plots/gan_scores/mine").iterdir()} == {
        "neighbours.png",
        "samples.png",
    }

    (entry,) = outbox.entries(outbox.outbox_folder())
    events = [event for event, _ in entry.read(0)]
    assert events[0]["run_key"] == "the key of mine"
    told = [(event["scores"]["judge"], event["is_further"]) for event in events if event["event"] == "score"]
    assert told == [("first", False), ("second", True)]


def test_a_run_that_was_only_exercised_is_scored_by_the_first_judge_alone(
    project: Path, stage: dict[str, Any]
) -> None:
    write_parameters(project)
    write_gan("mine", steps=79)
    done = CliRunner().invoke(stage["main"], ["mine"])
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv("data/gan_scores/mine/judges.csv")["judge"]) == ["first"]


def test_a_run_on_chosen_classes_is_scored_without_modes(project: Path, stage: dict[str, Any]) -> None:
    write_parameters(project)
    shutil.rmtree("models/gan/chosen/snapshots")
    done = CliRunner().invoke(stage["main"], ["chosen"])
    assert done.exit_code == 0, done.output
    scores = json.loads(Path("data/gan_scores/chosen/scores.json").read_text())
    assert "fid" in scores and {"modes", "kl"}.isdisjoint(scores)
    assert scores["num_real"] == 16 and scores["num_floor"] == 10
    classes = pd.read_csv("data/gan_scores/chosen/classes.csv")
    assert list(classes["class"]) == CLASSES and classes[["generated", "real"]].isna().all(axis=None)
    assert Path("data/gan_scores/chosen/snapshots.csv").read_text().strip() == ""
