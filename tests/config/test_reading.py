"""config/: the project's own files load; every kind of mistake is named, and all of them at once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ganscribe import config
from ganscribe.config import files
from ganscribe.config.selection import cut_short
from ganscribe.core.registry import Registry, option_names
from ganscribe.training.schedules import SCHEDULES
from parameters import copy_params, edit


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    copy_params(project, tmp_path)
    return tmp_path


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
        ("gan_evaluation", None),
        ("gradients", "dcgan_deep"),
        ("parallel_lines", None),
        ("captioner", "tutorial"),
        ("captioner_evaluation", None),
    ]:
        config.load(section, name, folder)


def test_every_section_has_the_values_of_its_own_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "params.yaml").read_text().replace("scale: sample ", "scale: tiny ", 1)
    for seed, part in enumerate(("data", "classifier", "gan", "diagnostics", "captioner"), 1):
        text, count = re.subn(rf"(?m)^({part}:.*\n  seed: )0$", rf"\g<1>{seed}", text)
        assert count == 1
    (folder / "params.yaml").write_text(text)
    edit(
        folder / "params.yaml",
        "captioner:\n  seed: 5\n  precision: auto",
        "captioner:\n  seed: 5\n  precision: fp32",
    )
    edit(folder / "params.yaml", "gan:\n  seed: 3\n  precision: auto", "gan:\n  seed: 3\n  precision: bf16")
    edit(folder / "params.yaml", "mnist: {source: scale, folder: null", "mnist: {source: local, folder: mine")
    edit(
        folder / "params.yaml",
        "coco: {source: scale, folder: null, archive: false",
        "coco: {source: local, folder: ~/coco, archive: true",
    )
    edit(folder / "params.yaml", "split_by: image", "split_by: caption")
    edit(folder / "params.yaml", "tokeniser: tutorial", "tokeniser: unicode")
    edit(folder / "params.yaml", "max_bad_images: 0.001", "max_bad_images: 0.25")
    edit(folder / "params/tiny.yaml", "critic: 6", "critic: 7")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder / "params")

    def values(section: str, name: str | None, *keys: str) -> tuple[object, ...]:
        found = config.load(section, name, folder)
        return tuple(getattr(found, key) for key in keys)

    drawn = ("source", "folder", "scenes", "seed")
    assert values("source", "mnist", *drawn) == ("local", str(folder.resolve() / "mine"), 40, 1)
    assert values("source", "cifar10", *drawn) == ("sample", None, 1000, 1)
    at_home = str(folder.resolve() / "home/coco")
    assert values("place", "coco", "source", "folder", "archive") == ("local", at_home, True)
    captions = ("count", "split", "split_by", "seed")
    assert values("captions", None, *captions) == (120, (0.8, 0.1, 0.1), "caption", 1)
    assert config.load("tokeniser", folder=folder) == "unicode"
    assert config.load("max_bad_images", folder=folder) == 0.25
    assert values("classifier_evaluation", "lenet5_cifar10", "dataset") == ("cifar10",)
    assert config.load("vocabulary_size", folder=folder) == 38
    assert values("features", None, "seed", "batch_size") == (1, 32)
    shown = ("judges", "num_samples", "snapshot_samples", "seed")
    judges = ("lenet5", "resnet20", "lenet5_cifar10")
    assert values("gan_evaluation", None, *shown) == (judges, 200, 50, 3)
    caps = ("seed", "precision", "max_gan_updates", "max_critic_updates", "max_num_batches")
    assert values("gradients", "dcgan", *caps) == (4, "bf16", 6, 7, 2)
    assert values("parallel_lines", None, "seed", "max_updates", "critic_steps") == (4, 10, 1000)
    assert values("captioner_evaluation", None, "seed", "precision", "figures") == (5, "fp32", 6)
    for section, name, expected in (
        ("classifier", "lenet5", (2, "auto", 30)),
        ("classifier", "vgg11", (2, "auto", 4)),
        ("gan", "gan", (3, "bf16", 20)),
        ("captioner", "best", (5, "fp32", 12)),
    ):
        budget = config.load(section, name, folder).budget
        assert (budget.seed, budget.precision, budget.max_updates) == expected
        assert section == "classifier" or budget.log_every == {"gan": 25, "captioner": 20}[section]
    edit(folder / "params/tiny.yaml", "vocabulary: 38", "vocabulary: null")
    assert config.load("vocabulary_size", folder=folder) == 5000


def test_recipes_are_those_of_the_specification(project: Path) -> None:
    run = config.load("gan", "dcgan", project).recipe
    assert (run.steps, run.batch_size, run.noise_dim, run.noise) == (1950, 128, 96, "uniform")
    assert (run.optimiser, run.learning_rate, run.betas) == ("adam", 1e-3, (0.5, 0.999))
    captioner = config.load("captioner", "tutorial", project).recipe
    assert (captioner.embedding_dim, captioner.units, captioner.batch_size, captioner.epochs) == (
        256,
        512,
        64,
        20,
    )


def test_all_problems_come_in_one_message(folder: Path) -> None:
    edit(folder / "params.yaml", "  crop: none", "  crap: none")
    edit(folder / "params.yaml", "tutorial: {epochs: 20}", "tutorial: {epochs: 20, units: lots}")
    edit(folder / "params.yaml", "      steps: 1950\n", "")
    edit(folder / "params.yaml", "cap: {sample: 175}", "cap: {sample: -4}")
    edit(folder / "params/sample.yaml", "gan_samples: 500", "gan_samples: many")
    with pytest.raises(ValueError) as raised:
        config.load("features", folder=folder)
    message = str(raised.value)
    assert message.count("\n") == 5
    assert "params/sample.yaml: amounts.gan_samples: 'many' is wrong" in message
    assert "features.crap: unknown key, did you mean 'crop'?" in message
    assert "captioner.runs.tutorial.units: 'lots' is wrong" in message
    assert "gan.runs.dcgan.steps: missing" in message
    assert "captioner.runs.best.cap.sample: -4 is wrong" in message


def test_every_number_out_of_its_bounds_is_named(folder: Path) -> None:
    changes = {
        "params.yaml": {
            "vocabulary_size: 5000": ("vocabulary_size: 2", "captions.vocabulary_size: 2"),
            "- 0.8": ("- 1.8", "captions.split.0: 1.8"),
            "batch_size: 32": ("batch_size: 0", "features.batch_size: 0"),
            "max_bad_images: 0.001": ("max_bad_images: 1.001", "features.max_bad_images: 1.001"),
            "precision: auto            # auto": ("precision: fp16  # auto", "features.precision: 'fp16'"),
            "judges:\n- lenet5\n- resnet20\n- lenet5_cifar10": ("judges: []", "judges: []"),
            "    epochs:\n    - 1\n    - 10\n    - 25\n": (
                "    epochs: []\n",
                "diagnostics.gradients.epochs: []",
            ),
            "measure_every: 100": ("measure_every: 0", "diagnostics.gradients.measure_every: 0"),
            "num_batches: 4": ("num_batches: 1", "diagnostics.gradients.num_batches: 1"),
            "width: 5": ("width: 0", "captioner.evaluation.decodings.beam.width: 0"),
            "top_k: 0": ("top_k: -1", "captioner.evaluation.decodings.sample.top_k: -1"),
            "max_length: 40": ("max_length: 0", "captioner.evaluation.max_length: 0"),
            "figures: 6": ("figures: -1", "captioner.evaluation.figures: -1"),
        },
        "params/sample.yaml": {
            "scenes: 800": ("scenes: 0", "amounts.scenes: 0"),
            "captions: 30000": ("captions: 0", "amounts.captions: 0"),
            "vocabulary: 42": ("vocabulary: 0", "amounts.vocabulary: 0"),
            "gan_samples: 500": ("gan_samples: 3", "amounts.gan_samples: 3"),
            "snapshot_samples: 300": ("snapshot_samples: 3", "amounts.snapshot_samples: 3"),
            "critic: 1,": ("critic: 0,", "diagnostics.critic: 0"),
            "noises: 2": ("noises: 1", "diagnostics.noises: 1"),
        },
    }
    for name, edits in changes.items():
        for old, (new, _) in edits.items():
            edit(folder / name, old, new)
    with pytest.raises(ValueError) as raised:
        config.read(folder)
    found = [line.partition(" is wrong: ")[0] for line in str(raised.value).splitlines()]
    expected = [f"{folder / name}: {where}" for name, edits in changes.items() for _, where in edits.values()]
    assert sorted(found) == sorted(expected)


def test_splits_that_add_up_but_for_rounding_are_taken(folder: Path) -> None:
    edit(folder / "params.yaml", "  - 0.8\n  - 0.1\n", "  - 0.7\n  - 0.2\n")
    assert sum(config.load("captions", folder=folder).split) < 1


def test_a_decoding_takes_all_that_its_method_uses(folder: Path) -> None:
    options = "temperature: 0.7, top_k: 9, seed: 3"
    edit(folder / "params.yaml", "temperature: 1.0, top_k: 0, seed: 0", options)
    found = config.load("captioner_evaluation", folder=folder).decodings
    assert (found["sample"].temperature, found["sample"].top_k, found["sample"].seed) == (0.7, 9, 3)
    assert (found["beam"].width, found["beam"].length_penalty) == (5, 0.7)


@pytest.mark.parametrize(("section", "where"), [("gan", "gan"), ("gradients", "diagnostics.gradients")])
def test_a_run_that_does_not_exist_is_named(project: Path, section: str, where: str) -> None:
    with pytest.raises(ValueError, match=rf"{where}\.runs has no 'dcgam': choose one of .*dcgan, "):
        config.load(section, "dcgam", project)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  - 0.1\n  split_by", "  - 0.2\n  split_by", "must add up to 1"),
        (
            "judges:\n- lenet5\n",
            "judges:\n- resnet99\n",
            "there is no classifier 'resnet99': choose from alexnet",
        ),
        (
            "- resnet20\n- lenet5_cifar10\n",
            "- resnet20\n",
            "is trained on cifar10, which gan.runs",
        ),
        (
            "objective: wgan_gp",
            "objective: wasserstein",
            "objective 'wasserstein' is unknown: choose one of hinge, lsgan",
        ),
        (
            "objective: wgan_gp\n",
            "objective: wgan_gp\n      objective_options: {clip: 1}\n",
            "it takes gradient_penalty",
        ),
        (
            "networks: dcgan_nobn",
            "networks: stylegan",
            "GAN network 'stylegan' is unknown: choose one of dcgan",
        ),
        ("network: resnet20", "network: resnet99", "convnet 'resnet99' is unknown: choose one of alexnet"),
        (
            "options: {k: 36",
            "options: {kay: 36",
            "classifier.zoo.cliquenet: convnet 'cliquenet' has no option 'kay': it takes T",
        ),
        ("    alexnet:\n", "    lenet5:\n", "classifier.zoo.lenet5: classifier.runs has this name too"),
        (
            "epochs: 1.5\n",
            "epochs: 1.5\n      cap: {big: 1}\n",
            "classifier.zoo.vgg11.cap.big: there is no such scale",
        ),
        (
            "    dcgan_bn:\n        objective",
            "    dcgan.bn:\n        objective",
            "diagnostics.gradients.runs: 'dcgan.bn' cannot be the name of a run",
        ),
        (
            "networks: dcgan_bn\n        dataset: mnist\n",
            "networks: dcgan_bm\n        dataset: mnist\n",
            "diagnostics.gradients.runs.dcgan_bn: GAN network 'dcgan_bm' is unknown",
        ),
        ("scale: sample ", "scale: huge ", "'huge' is unknown, choose one of full, sample, tiny"),
        (
            "networks: dcgan_sn\n      dataset: mnist\n",
            "networks: dcgan_sn\n",
            "gan.runs.sngan.dataset: missing, add it",
        ),
        ("    lsgan:\n", "    my run:\n", "gan.runs: 'my run' cannot be the name of a run: use letters"),
        ("    lsgan:\n", "    a/b:\n", "gan.runs: 'a/b' cannot be the name of a run"),
        ("    lsgan:\n", "    lsgan.2:\n", "gan.runs: 'lsgan.2' cannot be the name of a run"),
        ("    lsgan:\n", "    -x:\n", "gan.runs: '-x' cannot be the name of a run"),
        ("    vgg11:\n", "    vgg;11:\n", "classifier.zoo: 'vgg;11' cannot be the name of a run"),
        ("tutorial: {epochs", '"": {epochs', "captioner.runs: '' cannot be the name of a run"),
        ("greedy: {", "greedy/1: {", "captioner.evaluation.decodings: 'greedy/1' names files"),
        ("- resnet20\n- lenet5_", "- lenet5\n- lenet5_", "judges: 'lenet5' is listed twice: remove one"),
        (
            "schedule: cosine",
            "schedule: cosine\n      schedule_options: {warm_pu: 9}",
            "captioner.runs.best.schedule_options: warm_pu: unknown key, did you mean 'warm_up'?",
        ),
        (
            "schedule: linear",
            "schedule: linear\n      schedule_options: {at: [0.5]}",
            "gan.runs.r3gan.schedule_options: at: unknown key: remove it",
        ),
        (
            "schedule: step",
            "schedule: step\n      schedule_options: {at: 0.5}",
            "classifier.runs.resnet20.schedule_options: at: 0.5 is wrong",
        ),
        (
            "schedule: step",
            "schedule: step\n      schedule_options: {at: [0.5, 75]}",
            "schedule_options: at.1: 75 is wrong",
        ),
        (
            "schedule: step",
            "schedule: step\n      schedule_options: {factor: -1}",
            "schedule_options: factor: -1 is wrong",
        ),
        (
            "{method: greedy}",
            "{method: greedy, width: 5}",
            "captioner.evaluation.decodings.greedy.width: greedy does not use it: remove it",
        ),
        ("length_penalty: 0.7", "top_k: 9", "decodings.beam.top_k: beam does not use it"),
        (
            "steps: 3900",
            "steps: 3900\n      snapshot_steps: [30, 3901]",
            "gan.runs.gan.snapshot_steps: 3901 is more than the 3900 steps of the run: lower it",
        ),
        (
            "steps: 3900",
            "steps: 3900\n      r1_penalty: 1.0",
            "gan.runs.gan.r1_penalty: unknown key: put it under objective_options",
        ),
        ("steps: 3900", "steps: 3900\n      dropout: 0.5", "unknown key: put it under network_options"),
        ("steps: 3900", "steps: 3.9e3", "3900.0 is wrong"),
        ("steps: 3900", 'steps: "3900"', "'3900' is wrong"),
        ("noise: normal", "noise: nromal", "'nromal' is wrong"),
        (
            "cap: {sample: 10, tiny: 8, full: null}",
            "cap: {sample: 10, tiny: 8}",
            "gan.cap.full: missing, add it",
        ),
        (
            "cap: {sample: 175}",
            "cap: {smaple: 160}",
            "runs.best.cap.smaple: there is no such scale, choose from",
        ),
        ("tutorial: {epochs", "tutorial: {dropout: 1.0, epochs", "runs.tutorial.dropout: 1.0 is wrong"),
        ("tutorial: {epochs", "tutorial: {drop_out: 0.1, epochs", "did you mean 'dropout'?"),
        ("sources: ", "sources: [", "is not valid YAML"),
        ("length_penalty: 0.7", "length_penalty: .nan", "length_penalty: nan is wrong"),
        ("temperature: 1.0", "temperature: 9.0e-7", "temperature: 9e-07 is wrong"),
        ("length_penalty: 0.7", "length_penalty: 1000.0", "length_penalty: 1000.0 is wrong"),
        ("- 0.4\n", "- .inf\n", "betas.0: inf is wrong"),
        ("mnist: {source: scale", "mnist: {source: local", "sources.mnist.folder is null"),
        ("mnist: {source: scale", "mnist: {source: none", "sources.mnist.source: 'none' is wrong"),
        (
            "fid_inception: {source: scale",
            "fid_inception: {source: sample",
            "sources.fid_inception.source: 'sample' is wrong",
        ),
    ],
)
def test_one_mistake_is_named(folder: Path, old: str, new: str, expected: str) -> None:
    edit(folder / "params.yaml", old, new)
    with pytest.raises(ValueError, match="params") as raised:
        config.load("source", "mnist", folder)
    assert expected in str(raised.value)


def test_a_file_that_is_not_python_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lsgan.py").write_text("\ndef build(:\n")
    monkeypatch.setattr(Registry, "file", lambda registry, name: tmp_path / "lsgan.py")
    with pytest.raises(ValueError, match="lsgan") as raised:
        config.read(folder)
    expected = (
        "gan.runs.lsgan: ganscribe/gan/objectives/lsgan.py, line 2, is not valid Python: invalid syntax"
    )
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [*a]", "is not valid YAML"),
        ("a: " + "[" * 2000 + "]" * 2000, "is not valid YAML: maximum recursion"),
        ("[1]", "scale: None is unknown"),
        ("a: 1\nb: 2\na: 3", 'is not valid YAML: line 3: found duplicate key "a": remove one of the two'),
        ("? [a]\n: 1", "keys must be str"),
        ("2001-01-01: 1", "keys must be str"),
        ("a: 2001-99-99", "is not valid YAML"),
        ("a: 0x" + "f" * 6000, "is not valid YAML"),
        ("a: !!bool x", "is not valid YAML"),
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


@pytest.mark.parametrize("value", ["x", "[]"])
def test_aliases_that_write_out_to_ten_billion_values_are_refused(folder: Path, value: str) -> None:
    lines = [f"a0: &a0 [{', '.join([value] * 10)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (folder / "params.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"params\.yaml .* more than 1,000,000 characters, aliases written"):
        config.read(folder)


def test_a_few_aliases_are_fine(folder: Path) -> None:
    parsed = config.parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}}")
    assert parsed == {"a": [1, 2], "b": [1, 2], "c": {"d": 1}}


def test_what_a_caller_changes_is_the_caller_s_own() -> None:
    config.parse_yaml("a: [1, 2]")["a"].append(3)
    assert config.parse_yaml("a: [1, 2]") == {"a": [1, 2]}


def test_a_file_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "params.yaml").write_bytes(b"scale: \xfc")
    with pytest.raises(ValueError, match=r"params\.yaml is not valid YAML: .*utf-8"):
        config.read(folder)


def test_scientific_notation_is_a_number_as_it_is_to_dvc(folder: Path) -> None:
    edit(folder / "params.yaml", "    lsgan:\n", "    lsgan:\n      learning_rate: 2e-3\n")
    assert config.load("gan", "lsgan", folder).recipe.learning_rate == 0.002


def give_cap(folder: Path, updates: int) -> None:
    """Have the sample scale end `dcgan` after so many updates."""
    path = folder / "params.yaml"
    cap = r"(?m)(^    dcgan:\n(?:      .*\n)*?      cap: \{sample: )\d+"
    text, count = re.subn(cap, rf"\g<1>{updates}", path.read_text())
    assert count == 1
    path.write_text(text)


def test_a_run_has_its_own_cap_or_its_family_s(folder: Path) -> None:
    give_cap(folder, 350)
    caps = {name: config.load("gan", name, folder).budget.max_updates for name in ("dcgan", "gan_nobn")}
    assert caps == {"dcgan": 350, "gan_nobn": 10}
    edit(folder / "params.yaml", "scale: sample ", "scale: full ")
    assert config.load("gan", "dcgan", folder).budget.max_updates is None


def test_a_cap_that_ends_a_recipe_early_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise, people who ask for more steps would wonder where they are."""
    give_cap(folder, 350)
    run = config.load("gan", "dcgan", folder)
    said = (
        f"dcgan: steps {run.recipe.steps:,}, of which the sample scale trains 350 (`cap.sample` of its block"
    )
    assert said in capsys.readouterr().err
    config.load("classifier", "lenet5", folder)
    assert "lenet5: epochs " in (said := capsys.readouterr().err) and " steps at most" in said
    recipe = replace(run.recipe, steps=350)
    assert cut_short(replace(run, recipe=recipe), "sample") == ""
    slower = replace(run, recipe=replace(recipe, critic_steps=5))
    assert cut_short(slower, "sample") == "steps 350, of which the sample scale trains 70"
    warmed_up = replace(
        run, recipe=replace(recipe, objective="wgan")
    )  # 12 updates in each of 8 steps, 1 in others
    assert cut_short(warmed_up, "sample") == "steps 350, of which the sample scale trains 262"
    edit(folder / "params.yaml", "scale: sample ", "scale: full ")
    for section, name in (
        ("gan", "dcgan"),
        ("classifier", "lenet5"),
        ("captioner", "tutorial"),
        ("scale", None),
    ):
        config.load(section, name, folder)
    assert capsys.readouterr().err == ""


def test_reading_parameters_imports_no_torch(project: Path) -> None:
    """Otherwise, stages that need no torch would start two seconds later."""
    code = "import sys; from ganscribe import config; config.read(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=project).returncode == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_options_of_every_schedule_are_checked(name: str) -> None:
    shape = files.StepOptions if name == "step" else files.ScheduleOptions
    assert sorted(each.name for each in fields(shape)) == sorted([*option_names(SCHEDULES[name]), "warm_up"])


def test_good_options_of_a_schedule_are_accepted(folder: Path) -> None:
    options = {"at": [0.25, 0.5], "factor": 0.2, "warm_up": 50}
    edit(folder / "params.yaml", "schedule: step", f"schedule: step\n      schedule_options: {options}")
    assert config.load("classifier", "resnet20", folder).recipe.schedule_options == options
