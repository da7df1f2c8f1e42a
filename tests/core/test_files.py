"""Files that are whole or absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ganscribe.core import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as handle:
        handle.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(RuntimeError), files.atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["old"]
    with files.atomic_folder(path) as temporary:
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_tensors_saved_under_two_names_have_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "another-name.pt"):
        files.save_torch(tmp_path / name, {"weights": torch.ones(3)})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another-name.pt").read_bytes()


def test_digests_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert files.file_md5(tmp_path / "file") == "900150983cd24fb0d6963f7d28e17f72"
    assert files.file_sha256(tmp_path / "file").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_json_has_the_keys_in_their_order_and_text_as_it_is(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": 1, "a": "\u72ac"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "b": 1,\n  "a": "\u72ac"\n}\n'.encode()


def test_the_project_s_folder_is_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "link"))
    assert files.project_root() == tmp_path / "real"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_of_every_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    value = {"captions": ["ein Hund", "\u72ac"]}
    (tmp_path / "a.json").write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
    assert files.read_json(tmp_path / "a.json") == value


def test_only_json_that_was_cut_off_is_to_be_fetched_again(tmp_path: Path) -> None:
    """A file cut off at any length is to be fetched again; one that is complete but wrong is to be corrected."""
    whole = json.dumps(
        {"images": [{"id": 1, "name": "\u72ac"}, {"id": -1.5, "ok": True}]}, ensure_ascii=False
    ).encode()
    cut = {whole[:length]: "was perhaps cut off: get it again" for length in range(len(whole))}
    wrong = {
        whole.replace(b",", b"", 1): "correct it there",
        whole + b"}": "correct it there",
        whole.replace(b"true", b"True"): "correct it there",
        whole.replace("\u72ac".encode(), b"caf\xe9"): "save it in the encoding UTF-8",
    }
    for content, remedy in (cut | wrong).items():
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.json is not valid JSON.*{remedy}$"):
            files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_not_written(tmp_path: Path, value: float) -> None:
    """Python would write NaN and Infinity, which other readers of JSON refuse."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"score": value})
    assert list(tmp_path.iterdir()) == []


def test_csv_is_what_pandas_writes_and_reads(tmp_path: Path) -> None:
    rows = [
        {"step": 1, "loss": 0.1 + 0.2, "name": "a, b", "share": None},
        {"step": 2, "loss": float("nan"), "name": 'he said "no"', "share": 1e-300},
        {"step": 3, "loss": np.float64(1 / 3), "name": "two\nlines", "share": float("inf")},
    ]
    files.write_csv(tmp_path / "table.csv", rows)
    expected = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    assert (tmp_path / "table.csv").read_text() == expected
    read = pd.read_csv(
        tmp_path / "table.csv", float_precision="round_trip"
    )  # exact in every version of pandas
    assert read.equals(pd.DataFrame(rows))
    files.write_csv(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == pd.DataFrame([]).to_csv(index=False, lineterminator="\n")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_second_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    """Of the same file where the file system has links, of a copy elsewhere; its folder is made."""

    def refuse(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "shard").write_bytes(b"abc")
    files.link_or_copy(tmp_path / "shard", tmp_path / "out" / "shard")
    assert (tmp_path / "out" / "shard").read_bytes() == b"abc"
    assert (tmp_path / "out" / "shard").samefile(tmp_path / "shard") == has_links
