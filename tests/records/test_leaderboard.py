"""The leaderboard: what is ranked, what may share a table, and the change to a baseline."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ganscribe.records import leaderboard
from ganscribe.records.leaderboard import as_text, build_tables, matches
from ganscribe.records.store import RunRecord
from ganscribe.records.tags import MAX_TAG, score_tags

FACTS: dict[str, Any] = {"dataset": "mnist", "source": "sample", "judge": "lenet5", "judge_sha256": "a" * 64}
FACTS |= {"num_samples": 1000, "num_real": 500, "data_sha256": "d" * 64}


def record(run_id: str, *, started: int = 0, family: str = "gan", **more: Any) -> RunRecord:
    tags = {"git.commit": "c" * 40, "scale": "sample", "git.dirty": "true", "pipeline": "repro-ccccccc"}
    scores = more.pop("scores", [])
    tags |= {f"scores.{number}": json.dumps(each) for number, each in enumerate(scores)}
    return RunRecord(
        run_id=run_id,
        name=more.pop("name", "dcgan-sample"),
        family=family,
        status="FINISHED",
        started=started,
        tags=tags | more.pop("tags", {}),
        **more,
    )


def gan(run_id: str, fid: float, *, facts: dict[str, Any] = FACTS, **more: Any) -> RunRecord:
    return record(run_id, scores=[{"pipeline": "p", "fid": fid, "kid": 1.5, "modes": 10} | facts], **more)


def test_the_best_comes_first_with_its_change_to_the_oldest_of_its_name() -> None:
    records = [
        gan("a1", 20.0, started=20_000),
        gan("b1", 30.0, started=10_000),
        gan("c1", 10.0, started=30_000, name="wgan-sample"),
    ]
    (table,) = build_tables(records, "gan")
    assert [(row.run_id, row.change, row.baseline) for row in table.rows] == [
        ("c1", 0.0, "c1"),
        ("a1", -10.0, "b1"),
        ("b1", 0.0, "b1"),
    ]
    text = as_text(table, "gan")
    assert "judge_sha256 aaaaaaaaaaaa," in text
    assert "-10 (-33.3%)" in text and text.count(" baseline ") == 2
    assert "ccccccc+" in text, "uncommitted changes"
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        "wgan-sample",
        "dcgan-sample",
        "dcgan-sample",
    ]


def test_runs_that_were_only_exercised_stand_below_the_others() -> None:
    def trained(run_id: str, fid: float, steps: int, of: int) -> RunRecord:
        return gan(run_id, fid, facts=FACTS | {"trained_steps": steps, "recipe_steps": of}, name=run_id)

    records = [
        trained("lucky", 1.0, 15, 3905),
        trained("good", 20.0, 350, 1950),
        gan("old", 30.0, name="old"),
    ]
    (table,) = build_tables([*records, trained("whole", 40.0, 9, 9)], "gan")
    assert [(row.name, row.trained, row.is_exercised) for row in table.rows] == [
        ("good", "350 of 1,950 steps", False),
        ("old", "", False),
        ("whole", "9 steps", False),
        ("lucky", "15 of 3,905 steps", True),
    ]
    *others, line, last = as_text(table, "gan").splitlines()
    assert line == "only exercised, with less than 10% of their steps:"
    assert last.split()[0] == "lucky" and "15 of 3,905 steps" in last
    assert "only exercised" not in "".join(others)
    assert leaderboard.as_json(table, "gan")["rows"][3]["is_exercised"] is True


@pytest.mark.parametrize(
    "other",
    [
        {"judge_sha256": "b" * 64},
        {"num_samples": 500},
        {"num_real": 7},
        {"judge": None},
        {"data_sha256": "e" * 64},
        {"data_sha256": None},
    ],
)
def test_scores_by_another_judge_of_another_count_or_on_other_data_have_a_table_of_their_own(
    other: dict[str, Any],
) -> None:
    tables = build_tables([gan("a", 20.0), gan("b", 1.0, facts=FACTS | other)], "gan")
    assert [[row.run_id for row in table.rows] for table in tables] == [["a"], ["b"]]


def test_a_run_scored_by_two_judges_stands_in_both_tables() -> None:
    both = [{"fid": 5.0, "pipeline": "one"} | FACTS, {"fid": 7.0, "pipeline": "two"} | FACTS | {"judge": "x"}]
    tables = build_tables([record("a", scores=both)], "gan")
    assert sorted((t.facts["judge"], t.rows[0].score, t.rows[0].pipeline) for t in tables) == [
        ("lenet5", 5.0, "one"),
        ("x", 7.0, "two"),
    ]


@pytest.mark.parametrize("first", ["lenet5", "x"])
def test_of_tables_as_large_the_one_by_the_first_judge_comes_first(first: str) -> None:
    both = [{"fid": 5.0} | FACTS, {"fid": 7.0} | FACTS | {"judge": "x"}]
    tables = build_tables([record("a", scores=both, tags={"judge": first})], "gan")
    assert [table.facts["judge"] for table in tables] == [first, *({"lenet5", "x"} - {first})]
    assert [table.rows[0].is_headline for table in tables] == [True, False]


def test_seeds_are_shown_where_they_differ() -> None:
    alike = [gan("a", 20.0, params={"seed": "1"}), gan("b", 21.0, params={"seed": "1"})]
    (table,) = build_tables(alike, "gan")
    assert "seed" not in as_text(table, "gan")
    (table,) = build_tables([*alike, gan("c", 22.0, params={"seed": "3"})], "gan")
    _, head, *lines = as_text(table, "gan").splitlines()
    assert [row.seed for row in table.rows] == ["1", "1", "3"]
    assert all(
        row.seed == line[: head.index("seed") + 4].split()[-1]
        for row, line in zip(table.rows, lines, strict=True)
    )


def test_as_many_other_test_images_are_not_compared() -> None:
    """Captioners of two data seeds, and classifiers of drawn pictures: the second is not a change to the first."""
    cases = {
        "captioner": ({"greedy.num_images": 80, "greedy.num_references": 400}, "greedy.", "CIDEr"),
        "classifier": ({"dataset": "cifar10", "source": "sample", "num_images": 100}, "", "error"),
    }
    for family, (counts, prefix, score) in cases.items():
        runs = [
            record(
                seed,
                family=family,
                scores=[counts | {f"{prefix}{score}": value, f"{prefix}data_sha256": seed}],
            )
            for seed, value in (("zero", 0.25), ("one", 0.73))
        ]
        tables = build_tables(runs, family)
        assert [[(row.run_id, row.change) for row in table.rows] for table in tables] == [
            [("zero", 0.0)],
            [("one", 0.0)],
        ], "before, +0.48 (+192.0%)"
        assert build_tables(runs, family, baseline="zero")[1].rows[0].change is None


@pytest.mark.parametrize(
    "change", [{"data_sha256": "e" * 64}, {"num_samples": 7}, {"num_real": 7}, {"judge_sha256": "b" * 64}]
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_scores_are_those_of_the_run_s_plain_metrics(change: dict[str, Any], order: int) -> None:
    before, now = [FACTS | {"fid": 20.0}, FACTS | change | {"fid": 1.0}][::order]
    words = {key: str(value) for key, value in now.items() if isinstance(value, str)}
    numbers = {key: float(value) for key, value in now.items() if not isinstance(value, str)}
    further = [each | {"judge": "vgg11", "judge_sha256": "c" * 64, "fid": 30.0} for each in (before, now)]
    run = record(
        "a",
        scores=[FACTS | {"fid": 20.0}, FACTS | change | {"fid": 1.0}, *further],
        tags=words,
        metrics=numbers,
    )
    first, *others = leaderboard.latest_rows(run, leaderboard.FAMILIES["gan"])
    own = {key: now[key] for key in FACTS}
    assert (first[0], first[1].score) == (own, now["fid"])
    expected = (own | {"judge": "vgg11", "judge_sha256": "c" * 64}, 30.0)
    count = 2 if "judge_sha256" in change else 1  # vgg11 is the same judge in both
    assert [(facts, row.score) for facts, row in others] == [expected] * count


def test_a_run_of_an_earlier_version_is_read_from_its_metrics() -> None:
    """The data that it was scored on are not known, so it is in another table than runs whose data are known."""
    facts = {key: value for key, value in FACTS.items() if key != "data_sha256"}
    words = {key: str(value) for key, value in facts.items() if not key.startswith("num_")}
    numbers = {key: float(value) for key, value in facts.items() if key.startswith("num_")}
    old = record("old", tags=words, metrics=numbers | {"fid": 12.0})
    first, second = build_tables([old, gan("younger", 11.0, facts=facts), gan("new", 10.0)], "gan")
    assert [row.run_id for row in first.rows] == ["younger", "old"]
    assert [row.run_id for row in second.rows] == ["new"]
    reason = "an earlier version of the project did not record which data were scored"
    assert "data_sha256 unknown" in as_text(first, "gan") and reason in as_text(first, "gan")
    assert "data_sha256 dddddddddddd" in as_text(second, "gan") and reason not in as_text(second, "gan")
    again = gan("old", 12.5)
    again.tags["scores.before"] = json.dumps(facts | {"fid": 12.0})
    assert [
        [row.score for row in table.rows] for table in build_tables([again, gan("new", 10.0)], "gan")
    ] == [
        [10.0, 12.5],
        [12.0],
    ], "a run that is scored again stands among the new ones too"
    assert build_tables([record("unscored"), record("odd", metrics={"fid": float("nan")})], "gan") == []


def test_many_decodings_hide_neither_each_other_nor_the_newest_scores() -> None:
    """All scores together are too long for a tag of MLflow."""
    (name, text), *_ = score_tags({"fid": 1 / 3, "judge": "a", "source": "b"}, "p").items()
    assert json.loads(text)["fid"] == 0.33333333 and name in score_tags({"source": "b", "judge": "a"}, "q")
    facts: dict[str, Any] = {"num_images": 5, "num_references": 25, "preprocessing": "x" * 500}
    few = score_tags({"beam": {"CIDEr": 0.5, **facts}}, "p")
    ways = {f"way{number:02}": {"CIDEr": number / 8, **facts} for number in range(20)}
    tags = few | score_tags(ways, "p")
    assert max(map(len, tags.values())) <= MAX_TAG
    (table,) = build_tables([record("run", family="captioner", tags=tags)], "captioner")
    assert [(row.decoding, row.score) for row in table.rows] == sorted(
        [("beam", 0.5), *((way, scores["CIDEr"]) for way, scores in ways.items())],
        key=lambda row: -row[1],
    )


@pytest.mark.parametrize("baseline", ["bbbb", "wgan-sample", "p2", "d" * 7])
def test_a_baseline_by_id_name_pipeline_or_commit(baseline: str) -> None:
    other = gan("bbbbbbbb", 8.0, name="wgan-sample", tags={"git.commit": "d" * 40})
    other.tags["scores.0"] = other.tags["scores.0"].replace('"p"', '"p2"')
    (table,) = build_tables([gan("aaaa", 10.0), other], "gan", baseline=baseline)
    assert [row.change for row in table.rows] == [0.0, 2.0]
    (table,) = build_tables(
        [gan("aaaa", 10.0), other], "gan", baseline=baseline, shown=lambda each: each.run_id == "aaaa"
    )
    assert [row.change for row in table.rows] == [2.0], "the baseline need not be shown"
    (table,) = build_tables([gan("aaaa", 10.0), other], "gan", baseline="d" * 6)
    assert [row.change for row in table.rows] == [None, None], "too few digits for a commit"
    third = gan("cccccccc", 9.0, name="lsgan-sample", tags={"git.commit": "d" * 40})
    (table,) = build_tables([gan("aaaa", 10.0), other, third], "gan", baseline="d" * 7)
    assert [row.change for row in table.rows] == [0.0, 0.0, None], "which of the two is not said"


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (None, "run fid kid modes trained pipeline commit started id"),
        (110, "run fid kid modes trained pipeline commit started id"),
        (86, "run fid kid modes trained pipeline commit id"),
        (70, "run fid kid modes trained pipeline id"),
        (60, "run fid kid modes trained id"),
        (53, "run fid kid trained id"),
        (20, "run fid trained id"),
    ],
)
def test_a_table_has_the_columns_that_say_something_and_fit(width: int | None, shown: str) -> None:
    """Each name has one run, which is its own baseline. Precision, recall and others are not known."""
    length = {"trained_steps": 350, "recipe_steps": 1950}
    runs = [gan(name * 8, 20.0, name=f"{name}-sample", facts=FACTS | length) for name in ("dcgan", "wgan")]
    (table,) = build_tables(runs, "gan")
    _, head, *lines = as_text(table, "gan", width).splitlines()
    assert head.split() == shown.split()
    assert {len(line) for line in lines} == {len(head)} and len(lines) == 2
    assert width is None or width < 50 or len(head) <= width


def test_each_decoding_of_a_captioner_is_a_row_and_more_is_better() -> None:
    scores = {"pipeline": "p"}
    for decoding, cider in (("greedy", 0.5), ("beam", 0.6)):
        scores |= {f"{decoding}.CIDEr": cider, f"{decoding}.num_images": 4, f"{decoding}.num_references": 20}
    (table,) = build_tables([record("a", family="captioner", scores=[scores])], "captioner")
    assert [(row.decoding, row.score) for row in table.rows] == [("beam", 0.6), ("greedy", 0.5)]
    assert "decoding" in as_text(table, "captioner")


def test_captions_that_were_split_otherwise_have_a_table_of_their_own() -> None:
    """Scores of an earlier version do not say how captions were split, which was by the tutorial's rule."""
    scores = {"pipeline": "p", "greedy.CIDEr": 0.5, "greedy.num_images": 4, "greedy.num_references": 20}
    found = build_tables(
        [
            record(tokeniser, family="captioner", scores=[scores | known])
            for tokeniser, known in {
                "earlier": {},
                "tutorial": {"greedy.tokeniser": "tutorial"},
                "unicode": {"greedy.tokeniser": "unicode"},
            }.items()
        ],
        "captioner",
    )
    assert [[row.run_id for row in table.rows] for table in found] == [["earlier", "tutorial"], ["unicode"]]


def test_filters() -> None:
    run = gan("a", 1.0, tags={"linked.longer": "x", "dvc.exp_name": "deep"})
    assert matches(
        run, pipeline="repro-ccccccc", commit="cccc", scale="sample", tags={"dvc.exp_name": "deep"}
    )
    assert matches(run, pipeline="longer"), "its model was taken from DVC's cache there"
    for wrong in ({"pipeline": "p9"}, {"commit": "d"}, {"scale": "full"}, {"tags": {"dvc.exp_name": "x"}}):
        assert not matches(run, **wrong)


def test_json_keeps_whole_ids_and_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "UTC-9")  # times are those of UTC, wherever somebody looks
            time.tzset()
            (table,) = build_tables([gan("a" * 32, 20.0, started=10_000)], "gan")
    finally:
        time.tzset()
    printed = json.loads(json.dumps(leaderboard.as_json(table, "gan")))
    assert printed["score"] == "fid", "what a row's score is"
    (row,) = printed["rows"]
    assert (row["run_id"], row["commit"], row["score"]) == ("a" * 32, "c" * 40, 20.0)
    assert row["started"] == "1970-01-01 00:00:10"
