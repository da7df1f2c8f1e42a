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


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, "bf16"),  # Zen 4, Cooper Lake
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"neon": True, "bf16": True}, "bf16"),  # Arm from v8.6 on
        (
            {"avx512_f": True, "avx512_vnni": True, "avx512_bf16": False, "amx_bf16": False},
            "fp32",
        ),  # Cascade Lake
        ({"avx2": True}, "fp32"),
        ({"neon": True, "bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_on_a_cpu_goes_by_the_instructions_that_multiply_bf16(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert runtime.resolve_precision("auto", CPU) == precision


def test_auto_on_a_torch_that_cannot_name_instructions_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert runtime.resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_on_a_gpu_goes_by_its_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert runtime.resolve_precision("auto", torch.device("cuda")) == precision


def test_an_emulated_bf16_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime._warn_of_emulation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert [runtime.resolve_precision("bf16", CPU) for _ in range(3)] == ["bf16"] * 3
    assert capsys.readouterr().err.count("emulated") == 1
    runtime._warn_of_emulation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    runtime.resolve_precision("bf16", CPU)
    assert capsys.readouterr().err == ""
    runtime._warn_of_emulation.cache_clear()


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
