"""The registry of models: what stands on a version, and who becomes champion."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ganscribe import cli
from ganscribe.records import registry, store

NAME = "ganscribe-gan-dcgan"
FACTS: dict[str, Any] = {
    "dataset": "mnist",
    "judge": "lenet5",
    "judge_sha256": "a" * 64,
    "num_samples": 1000,
    "num_real": 500,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield store.open_client()


@pytest.fixture(autouse=True)
def empty(client: Any) -> None:
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


def add(client: Any, name: str, *scores: dict[str, Any], family: str = "gan") -> str:
    """Register a version whose run has these scores; its number."""
    tags = {f"scores.{number}": json.dumps(each) for number, each in enumerate(scores)}
    tags |= {"git.commit": "c" * 40, "scale": "tiny"}
    if scores and "judge" in scores[0]:
        tags["judge"] = scores[0]["judge"]  # as the first score leaves it on the run
    run = client.create_run(store.experiment_id(client, family), tags=tags)
    if not any(model.name == name for model in client.search_registered_models()):
        client.create_registered_model(name)
    return str(client.create_model_version(name, "nowhere", run_id=run.info.run_id).version)


def champion(client: Any, name: str = NAME) -> str:
    return str(client.get_model_version_by_alias(name, "champion").version)


def test_only_a_version_that_is_no_worse_becomes_champion(client: Any) -> None:
    for fid in (20.0, 25.0, 15.0):
        add(client, NAME, FACTS | {"fid": fid})
    client.set_registered_model_alias(NAME, "candidate", "3")
    assert "the first" in registry.promote(client, NAME, "1")
    with pytest.raises(ValueError, match=r"worse than version 1: fid 25 against the champion's 20 \(--force"):
        registry.promote(client, NAME, "2")
    assert champion(client) == "1"
    assert "in place of version 1: fid 15 against" in registry.promote(client, NAME, "candidate")
    assert champion(client) == "3"
    assert "already" in registry.promote(client, NAME, "3")
    registry.promote(client, NAME, "2", is_forced=True)
    assert champion(client) == "2"


def test_a_worse_version_is_refused_whatever_else_is_registered(client: Any) -> None:
    add(client, NAME, FACTS | {"fid": 20.0})
    add(client, NAME, FACTS | {"fid": 25.0})
    registry.promote(client, NAME, "1")
    path = store.store_file()
    assert path is not None
    with contextlib.closing(sqlite3.connect(path)) as database:
        query = "INSERT INTO registered_models (name, workspace) VALUES (?, 'default')"
        database.executemany(query, [(f"another {number}",) for number in range(1100)])
        database.commit()
        with pytest.raises(ValueError, match="worse than version 1"):
            registry.promote(client, NAME, "2")
        database.execute("DELETE FROM registered_models WHERE name LIKE 'another %'")
        database.commit()
    assert champion(client) == "1"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"judge_sha256": "b" * 64}, "judge_sha256 b+ here, a+ there"),
        ({"num_samples": 10}, "num_samples 10 here, 1000 there"),
    ],
)
def test_different_judges_or_counts_are_not_compared(client: Any, other: dict[str, Any], reason: str) -> None:
    add(client, NAME, FACTS | {"fid": 20.0})
    add(client, NAME, FACTS | other | {"fid": 1.0})
    registry.promote(client, NAME, "1")
    with pytest.raises(ValueError, match=f"cannot be compared with the champion, version 1: {reason}"):
        registry.promote(client, NAME, "2")
    add(client, NAME, FACTS | other | {"fid": 1.0}, FACTS | {"fid": 19.0})
    registry.promote(client, NAME, "3")
    assert champion(client) == "3", "it has been scored by the champion's judge too"


def test_a_captioners_best_decoding_counts_and_more_is_better(client: Any) -> None:
    name = "ganscribe-captioner-captioner"
    for greedy, beam in ((0.5, 0.6), (0.59, 0.4), (0.3, 0.7)):
        counts = {f"{way}.num_{what}": 5 for way in ("greedy", "beam") for what in ("images", "references")}
        add(client, name, counts | {"greedy.CIDEr": greedy, "beam.CIDEr": beam}, family="captioner")
    registry.promote(client, name, "1")
    with pytest.raises(ValueError, match=r"CIDEr 0\.59 against the champion's 0\.6"):
        registry.promote(client, name, "2")
    registry.promote(client, name, "3")
    assert champion(client, name) == "3"


def test_mistakes_are_told(client: Any) -> None:
    add(client, NAME)
    with pytest.raises(ValueError, match=f"no registered model is called 'dcgan': there are {NAME}"):
        registry.promote(client, "dcgan", "1")
    with pytest.raises(ValueError, match="has no version '9': it has 1"):
        registry.promote(client, NAME, "9")
    with pytest.raises(ValueError, match="has no scores"):
        registry.promote(client, NAME, "1")


def test_a_version_bears_commit_hash_and_scores(client: Any) -> None:
    add(client, NAME, FACTS | {"fid": 20.0, "modes": 9}, FACTS | {"judge": "vgg11", "fid": 30.0})
    (version,) = store.read_versions(client, f"name = '{NAME}'")
    run = store.as_record(client.get_run(version.run_id), "gan")
    registry.tag_versions(client, run, folder=Path("models/gan/dcgan"), md5="0f.dir")
    (version,) = store.read_versions(client, f"name = '{NAME}'")
    expected = {"dvc.path": "models/gan/dcgan", "dvc.md5": "0f.dir", "git.commit": "c" * 40, "fid": "20"}
    expected |= {"modes": "9", "vgg11.fid": "30"}
    assert expected.items() <= version.tags.items()


def test_the_commands(client: Any) -> None:
    add(client, NAME, FACTS | {"fid": 20.0, "pipeline": "longer"})
    add(client, NAME, FACTS | {"fid": 25.0, "pipeline": "other"})

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(cli.main, words)

    scored = ["--tag", f"git.commit={'c' * 40}", "--scale", "tiny", "--commit", "ccccccc"]
    (table, *_) = json.loads(invoke("runs", "gan", "--json", *scored).output)
    assert {20.0, 25.0} <= {row["score"] for row in table["rows"]}
    assert "fid" in invoke("runs", "--baseline", "longer").output
    assert "no run with scores" in invoke("runs", "--scale", "full").output
    for words, message in (
        (["runs", "--baseline", "nothing"], "no scored run has this id"),
        (["runs", "--tag", "scale"], "KEY=VALUE"),
        (["promote", NAME, "2"], "worse than version 1"),
    ):
        invoke("promote", NAME, "1")
        done = invoke(*words)
        assert done.exit_code == 1
        assert message in done.output
    assert invoke("promote", NAME, "2", "--force").exit_code == 0
    assert champion(client) == "2"
