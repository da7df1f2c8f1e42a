"""The device, and the precision that it is fast at."""

from __future__ import annotations

import pytest
import torch

from ganscribe.core import devices

CPU = torch.device("cpu")


def test_an_explicit_precision_never_falls_back() -> None:
    cpu = torch.device("cpu")
    assert devices.resolve_precision("fp32", cpu) == "fp32"
    assert devices.resolve_precision("bf16", cpu) == "bf16"
    with pytest.raises(ValueError, match="use auto, bf16 or fp32"):
        devices.resolve_precision("fp8", cpu)


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
    assert devices.resolve_precision("auto", CPU) == precision


def test_auto_on_a_torch_that_cannot_name_instructions_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert devices.resolve_precision("auto", CPU) == "fp32"


def test_a_card_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("cuda", "cuda:0", "cuda:1"):
        monkeypatch.setenv("GANSCRIBE_DEVICE", name)
        assert devices.choose_device() == torch.device(name)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda:2")
    with pytest.raises(ValueError, match=r"GANSCRIBE_DEVICE=cuda:2, but the last CUDA device .* is cuda:1$"):
        devices.choose_device()


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_on_a_gpu_goes_by_its_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert devices.resolve_precision("auto", torch.device("cuda")) == precision


def test_an_emulated_bf16_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    devices._warn_of_emulation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert [devices.resolve_precision("bf16", CPU) for _ in range(3)] == ["bf16"] * 3
    assert capsys.readouterr().err.count("emulated") == 1
    devices._warn_of_emulation.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    devices.resolve_precision("bf16", CPU)
    assert capsys.readouterr().err == ""
    devices._warn_of_emulation.cache_clear()


def test_products_are_in_the_precision_that_is_asked_for() -> None:
    ones = torch.ones(2, 2)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with devices.autocast(precision, CPU):
            assert (ones @ ones).dtype == dtype


def test_unknown_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda:0")
    with pytest.raises(ValueError, match="sees no CUDA device"):
        devices.choose_device()
    monkeypatch.setenv("GANSCRIBE_DEVICE", "gpu")
    with pytest.raises(ValueError, match="GANSCRIBE_DEVICE=gpu is no device: unset it"):
        devices.choose_device()
