"""The registry of models: the tags of a version, and which version becomes the champion."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ganscribe import cli
from ganscribe.cli.records import _pairs
from ganscribe.core.length import Length
from ganscribe.records import leaderboard, registry, store
from ganscribe.records.runs import TrackedRun

NAME = "ganscribe-gan-dcgan"
FACTS: dict[str, Any] = {
    "dataset": "mnist",
    "judge": "lenet5",
    "judge_sha256": "a" * 64,
    "num_samples": 1000,
    "num_real": 500,
    "data_sha256": "d" * 64,
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
    """Register a version whose run has been scored so, by further judges after the first; its number."""
    tags = {"git.commit": "c" * 40, "git.dirty": "false", "scale": "tiny"}
    run = client.create_run(store.experiment_id(client, family), tags=tags)
    tracked = TrackedRun(client, run, registered_name=name, is_reopened=True)
    for each in ({key: value for key, value in each.items() if value is not None} for each in scores):
        is_further = "judge" in each and each["judge"] != scores[0]["judge"]
        tracked.score(each, pipeline=each.get("pipeline", "p"), is_further=is_further)
    if not any(model.name == name for model in client.search_registered_models()):
        client.create_registered_model(name)
    return str(client.create_model_version(name, "nowhere", run_id=run.info.run_id).version)


def champion(client: Any, name: str = NAME) -> str:
    return str(client.get_model_version_by_alias(name, "champion").version)


def test_only_a_version_that_is_no_worse_becomes_champion(client: Any) -> None:
    for fid in (20.0, 25.0, 15.0):
        add(client, NAME, FACTS | {"fid": fid})
    client.set_registered_model_alias(NAME, "candidate", "3")
    assert "the first: fid 20 by lenet5" in registry.promote(client, NAME, "1")
    with pytest.raises(
        ValueError, match=r"worse than version 1: fid 25 against the champion's 20 by lenet5 \(--force"
    ):
        registry.promote(client, NAME, "2")
    assert champion(client) == "1"
    assert "in place of version 1: fid 15 against" in registry.promote(client, NAME, "candidate")
    assert champion(client) == "3"
    assert "already" in registry.promote(client, NAME, "3")
    registry.promote(client, NAME, "2", is_forced=True)
    assert champion(client) == "2"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"judge_sha256": "b" * 64}, "judge_sha256 b+ here, a+ there"),
        ({"num_samples": 10}, "num_samples 10 here, 1000 there"),
        ({"data_sha256": "e" * 64}, "data_sha256 e+ here, d+ there"),
        (
            {"data_sha256": None},
            "of this version, an earlier version of the project did not record which data were",
        ),
    ],
)
def test_different_judges_counts_or_data_are_not_compared(
    client: Any, other: dict[str, Any], reason: str
) -> None:
    add(client, NAME, FACTS | {"fid": 20.0})
    add(client, NAME, FACTS | other | {"fid": 1.0})
    registry.promote(client, NAME, "1")
    with pytest.raises(ValueError, match=f"cannot be compared with the champion, version 1: {reason}"):
        registry.promote(client, NAME, "2")
    add(client, NAME, FACTS | other | {"fid": 1.0}, FACTS | {"fid": 19.0})
    registry.promote(client, NAME, "3")
    assert champion(client) == "3", "it has been scored by the champion's judge too"


def test_scores_of_unknown_data_are_compared_with_their_like_alone(client: Any) -> None:
    old = {key: value for key, value in FACTS.items() if key != "data_sha256"}
    add(client, NAME, old | {"fid": 20.0})
    add(client, NAME, old | {"fid": 25.0})
    add(client, NAME, old | {"fid": 19.0})
    add(client, NAME, FACTS | {"fid": 1.0})
    add(client, NAME, old | {"fid": 99.0}, FACTS | {"fid": 0.5})
    registry.promote(client, NAME, "1")
    with pytest.raises(ValueError, match="it is worse than version 1"):
        registry.promote(client, NAME, "2")
    registry.promote(client, NAME, "3")
    reason = "of the champion, an earlier version of the project did not record which data were scored"
    with pytest.raises(ValueError, match=reason):
        registry.promote(client, NAME, "4")
    registry.promote(client, NAME, "4", is_forced=True)
    assert "fid 0.5 against the champion's 1" in registry.promote(client, NAME, "5"), "known data decide"


def test_the_differences_are_those_to_the_scores_with_the_most_in_common(client: Any) -> None:
    """Each fact occurs somewhere among the champion's scores, but not together with the others."""
    add(client, NAME, FACTS | {"fid": 20.0}, FACTS | {"judge": "vgg11", "judge_sha256": "b" * 64, "fid": 3.0})
    add(client, NAME, FACTS | {"judge_sha256": "b" * 64, "fid": 1.0})
    registry.promote(client, NAME, "1")
    with pytest.raises(
        ValueError, match=r"version 1: (judge lenet5 here, vgg11 there|judge_sha256 b+ here, a+ there)"
    ):
        registry.promote(client, NAME, "2")
    add(client, NAME, FACTS | {"fid": 25.0}, FACTS | {"judge": "vgg11", "judge_sha256": "b" * 64, "fid": 2.0})
    with pytest.raises(ValueError, match=r"worse than version 1: .*fid 25 .* 20 by lenet5; fid 2 against"):
        registry.promote(client, NAME, "3")  # by one judge, though not by the other


def test_a_version_that_was_only_exercised_takes_no_meaningful_one_s_place(client: Any) -> None:
    def exercised(fid: float) -> str:
        return add(client, NAME, FACTS | {"fid": fid} | Length(15, 3905).scores)

    exercised(30.0)
    add(client, NAME, FACTS | {"fid": 40.0} | Length(350, 1950).scores)
    exercised(1.0)
    exercised(0.5)
    said = r"was only exercised \(15 of 3,905 steps\), so its scores mean nothing"
    with_reason = re.compile(f"version 1 is the champion, the first: fid 30 by lenet5; but it {said}")
    assert with_reason.search(registry.promote(client, NAME, "1"))
    assert re.search(f"in place of version 1: version 1 {said}", registry.promote(client, NAME, "2"))
    assert champion(client) == "2", "whatever the scores of what was only exercised are"
    with pytest.raises(
        ValueError, match=f"version 3 is not promoted: it {said}, and the champion, version 2, was not"
    ):
        registry.promote(client, NAME, "3")
    assert champion(client) == "2"
    assert re.search(f"in place of version 2: it {said}", registry.promote(client, NAME, "3", is_forced=True))
    assert re.search(
        f"fid 0.5 against .* 1 by lenet5; but it {said}, and so was", registry.promote(client, NAME, "4")
    )


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


def tags_of(client: Any, number: str = "1") -> dict[str, str]:
    """Return the tags that link_runs gives to a version."""
    (version,) = (each for each in store.read_versions(client, f"name = '{NAME}'") if each.version == number)
    run = store.as_record(client.get_run(version.run_id), "gan")
    registry.tag_versions(client, run, folder=Path("models/gan/dcgan"), md5="0f.dir")
    (version,) = (each for each in store.read_versions(client, f"name = '{NAME}'") if each.version == number)
    return version.tags


def test_a_version_bears_commit_hash_and_scores_with_what_they_were_made_of(client: Any) -> None:
    length = Length(15, 3905).scores
    add(client, NAME, FACTS | length | {"fid": 20.0, "modes": 9}, FACTS | {"judge": "vgg11", "fid": 30.0})
    expected = {"dvc.path": "models/gan/dcgan", "dvc.md5": "0f.dir", "git.commit": "c" * 40, "fid": "20"}
    expected |= {"modes": "9", "vgg11.fid": "30", "exercised": "true", "budget": "15 of 3,905 steps"}
    expected |= {key: str(value) for key, value in FACTS.items()} | {"vgg11.data_sha256": "d" * 64}
    assert expected.items() <= tags_of(client).items()


def test_the_scores_on_a_version_are_those_of_the_last_scoring(client: Any) -> None:
    """This holds for every judge and in either order, because a digest decides which tag of the run comes first."""
    both = [FACTS | {"fid": 20.0}, FACTS | {"fid": 1.0, "data_sha256": "e" * 64, "num_real": 400}]
    for first, last in (both, both[::-1]):
        scored = [first, first | {"judge": "vgg11"}, last, last | {"judge": "vgg11"}]
        tags = tags_of(client, add(client, NAME, *scored))
        for prefix in ("", "vgg11."):
            found = {key: tags[f"{prefix}{key}"] for key in ("fid", "data_sha256", "num_real")}
            assert found == {key: f"{last[key]:.6g}" if key == "fid" else str(last[key]) for key in found}


def test_runs_of_earlier_versions_are_held_against_later_ones(client: Any) -> None:
    """Earlier versions kept counts as metrics, and each checksum as a separate tag."""
    older = client.create_run(
        store.experiment_id(client, "gan"), tags={"git.commit": "c" * 40, "scale": "tiny"}
    )
    for key, value in (FACTS | {"fid": 20.0, "epoch": 3.0}).items():
        is_word = isinstance(value, str)
        (client.set_tag if is_word else client.log_metric)(older.info.run_id, key, value)
    client.create_registered_model(NAME)
    client.create_model_version(NAME, "nowhere", run_id=older.info.run_id)
    registry.promote(client, NAME, "1")
    add(client, NAME, FACTS | {"fid": 25.0})
    newer = client.get_model_version(NAME, "2").run_id
    assert "num_real" not in client.get_run(newer).data.metrics
    with pytest.raises(
        ValueError, match=r"worse than version 1: fid 25 against the champion's 20 by lenet5 \(--force"
    ):
        registry.promote(client, NAME, "2")
    records = [run for run in store.read_runs(client, "gan") if run.run_id in (older.info.run_id, newer)]
    (table,) = leaderboard.build_tables(records, "gan")
    assert [row.score for row in table.rows] == [20.0, 25.0]


def test_models_and_versions_are_described_once(client: Any) -> None:
    add(client, NAME, FACTS | {"fid": 20.0})
    tags_of(client)
    model, version = client.get_registered_model(NAME), client.get_model_version(NAME, "1")
    assert model.description.startswith("The GAN `dcgan` of `params.yaml`, one version for each training.")
    assert "by the code of commit ccccccc." in version.description
    for text in (model.description, version.description):
        assert "reports/index.html" in text
    client.update_registered_model(NAME, "my own")
    client.update_model_version(NAME, "1", "the one for the paper")
    tags_of(client)
    assert client.get_registered_model(NAME).description == "my own"
    assert client.get_model_version(NAME, "1").description == "the one for the paper"


def test_the_commands(client: Any) -> None:
    add(client, NAME, FACTS | {"fid": 20.0, "pipeline": "longer"})
    add(client, NAME, FACTS | {"fid": 25.0, "pipeline": "other"})
    add(client, "ganscribe-gan-few", FACTS | {"num_samples": 30, "fid": 5.0, "pipeline": "few"})

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(cli.main, words)

    assert _pairs(("a=b=c",)) == {"a": "b=c"}
    scored = ["--tag", f"git.commit={'c' * 40}", "--scale", "tiny", "--commit", "ccccccc"]
    (table, *_) = json.loads(invoke("runs", "gan", "--json", *scored).output)
    assert {20.0, 25.0} <= {row["score"] for row in table["rows"]}
    assert "fid" in invoke("runs", "--baseline", "longer").output
    assert "there is no scored run: train" in invoke("runs", "classifier").output
    without = invoke("runs", "--scale", "full", "--tag", "a=b").output
    assert without.startswith("no scored run matches --scale full --tag a=b: `ganscribe runs` lists all")
    for words, message in (
        (["runs", "--baseline", "nothing"], "no scored run has this id"),
        (
            ["runs", "--pipeline", "other", "--baseline", "few"],
            "few: its scores are by another judge, with other",
        ),
        (["runs", "--tag", "scale"], "KEY=VALUE"),
        (["promote", NAME, "2"], "worse than version 1"),
    ):
        invoke("promote", NAME, "1")
        done = invoke(*words)
        assert done.exit_code == 1
        assert message in done.output
    assert invoke("promote", NAME, "2", "--force").exit_code == 0
    assert champion(client) == "2"
