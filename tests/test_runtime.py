"""runtime.py: streams of random numbers, precision, files that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganscribe import runtime


def test_random_streams_are_repeatable_and_apart() -> None:
    first = torch.rand(1000, generator=runtime.random_stream(0, "noise"))
    again = torch.rand(1000, generator=runtime.random_stream(0, "noise"))
    other = torch.rand(1000, generator=runtime.random_stream(0, "order"))
    assert torch.equal(first, again)
    assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1].item()) < 0.1


def test_an_explicit_precision_never_falls_back() -> None:
    cpu = torch.device("cpu")
    assert runtime.resolve_precision("fp32", cpu) == "fp32"
    assert runtime.resolve_precision("bf16", cpu) == "bf16"
    with pytest.raises(ValueError, match="use auto, bf16 or fp32"):
        runtime.resolve_precision("fp8", cpu)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), runtime.atomic_write(path) as handle:
        handle.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(RuntimeError), runtime.atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["old"]
    with runtime.atomic_folder(path) as temporary:
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_tensors_saved_under_two_names_have_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "another-name.pt"):
        runtime.save_torch(tmp_path / name, {"weights": torch.ones(3)})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another-name.pt").read_bytes()


def test_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda:0")
    with pytest.raises(ValueError, match="sees no CUDA device"):
        runtime.choose_device()
