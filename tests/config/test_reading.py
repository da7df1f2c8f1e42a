"""config.py: the project's own files load; every kind of mistake is named, all of them at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ganscribe import config


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    shutil.copy(project / "params.yaml", tmp_path)
    shutil.copytree(project / "params", tmp_path / "params")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("scale", ["sample", "full", "tiny"])
def test_every_section_of_the_projects_own_files_loads(folder: Path, scale: str) -> None:
    edit(folder / "params.yaml", "scale: sample ", f"scale: {scale} ")
    for section, name in [
        ("source", "mnist"),
        ("place", "coco"),
        ("captions", None),
        ("vocabulary_size", None),
        ("features", None),
        ("max_bad_images", None),
        ("classifier_evaluation", "lenet5"),
        ("classifier", "lenet5"),
        ("gan", "dcgan"),
        ("gan_evaluation", "dcgan"),
        ("captioner", "tutorial"),
        ("captioner_evaluation", None),
    ]:
        config.load(section, name, folder)


def test_recipes_are_those_of_the_specification(project: Path) -> None:
    run = config.load("gan", "dcgan", project)
    assert (run.steps, run.batch_size, run.noise_dim, run.noise) == (1950, 128, 96, "uniform")
    assert (run.optimiser, run.learning_rate, run.betas) == ("adam", 1e-3, (0.5, 0.999))
    captioner = config.load("captioner", "tutorial", project)
    assert (captioner.embedding_dim, captioner.units, captioner.batch_size, captioner.epochs) == (
        256,
        512,
        64,
        20,
    )


def test_all_problems_come_in_one_message(folder: Path) -> None:
    edit(folder / "params.yaml", "  crop: none", "  crap: none")
    edit(folder / "params.yaml", "units: 512", "units: lots")
    edit(folder / "params.yaml", "steps: 1950, ", "")
    edit(folder / "params" / "sample.yaml", "captioner: {tutorial: 100", "captioner: {tutorial: -4")
    with pytest.raises(ValueError) as raised:
        config.load("features", folder=folder)
    message = str(raised.value)
    assert "features.crap: unknown key, did you mean 'crop'?" in message
    assert "captioner.runs.tutorial.units: 'lots' is wrong" in message
    assert "gan.runs.dcgan.steps: missing" in message
    assert "sample.yaml: max_updates.captioner.tutorial: -4 is wrong" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("split: [0.8, 0.1, 0.1]", "split: [0.8, 0.1, 0.2]", "must add up to 1"),
        ("judge: lenet5", "judge: resnet99", "'resnet99' is not trained on mnist"),
        ("scale: sample ", "scale: huge ", "'huge' is unknown, choose one of full, sample, tiny"),
        ("steps: 3900", "steps: 3.9e3", "3900.0 is wrong"),
        ("steps: 3900", 'steps: "3900"', "'3900' is wrong"),
        ("noise: uniform", "noise: unifrom", "'unifrom' is wrong"),
        ("    lsgan: {", "    hinge: {", "max_updates.gan.hinge: missing"),
        ("    tutorial: {", "    course: {", "max_updates.captioner.course: missing"),
        ("tutorial: {embedding", "tutorial: {dropout: 1.0, embedding", "runs.tutorial.dropout: 1.0 is wrong"),
        ("tutorial: {embedding", "tutorial: {drop_out: 0.1, embedding", "did you mean 'dropout'?"),
        ("sources: ", "sources: [", "is no valid YAML"),
        ("length_penalty: 0.7", "length_penalty: .nan", "length_penalty: nan is wrong"),
        ("betas: [0.5", "betas: [.inf", "betas.0: inf is wrong"),
        ("mnist: {source: scale", "mnist: {source: local", "sources.mnist.folder is null"),
    ],
)
def test_one_mistake_is_named(folder: Path, old: str, new: str, expected: str) -> None:
    edit(folder / "params.yaml", old, new)
    with pytest.raises(ValueError, match="params") as raised:
        config.load("source", "mnist", folder)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [*a]", "is no valid YAML"),
        ("a: " + "[" * 2000 + "]" * 2000, "is no valid YAML: maximum recursion"),
        ("[1]", "scale: None is unknown"),
        ("? [a]\n: 1", "keys must be str"),
        ("2001-01-01: 1", "keys must be str"),
        ("a: 2001-99-99", "is no valid YAML"),
        ("a: 0x" + "f" * 6000, "is no valid YAML"),
        ("a: !!bool x", "is no valid YAML"),
        ("scale: " + "a" * 1000, "is unknown, choose one of"),
        ("scale: ../params/tiny", "is unknown, choose one of"),
        ('scale: "\\0"', "is unknown, choose one of"),
        ("#" * 1_000_001, "more than 1,000,000 characters"),
    ],
)
def test_odd_yaml_is_named(folder: Path, text: str, expected: str) -> None:
    (folder / "params.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"params\.yaml") as raised:
        config.read(folder)
    assert expected in str(raised.value) and len(str(raised.value)) < 2000


def test_aliases_that_write_out_to_ten_billion_values_are_refused(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (folder / "params.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"params\.yaml .* more than 1,000,000 characters, aliases written"):
        config.read(folder)


def test_a_few_aliases_are_fine(folder: Path) -> None:
    parsed = config.parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}")
    assert parsed == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}


def test_scientific_notation_is_a_number_as_it_is_to_dvc(folder: Path) -> None:
    edit(folder / "params.yaml", "learning_rate: 1.0e-3, betas: [0.5", "learning_rate: 2e-3, betas: [0.5")
    assert config.load("gan", "gan", folder).learning_rate == 0.002


def test_a_stage_ends_with_the_message_and_no_traceback(folder: Path, project: Path) -> None:
    edit(folder / "params.yaml", "  crop: none", "  crap: none")
    done = subprocess.run(
        [sys.executable, project / "stages" / "download.py", "mnist"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "did you mean 'crop'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["params", "params.yaml"]
