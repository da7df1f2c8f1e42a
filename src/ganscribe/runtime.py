"""Seeds, device, precision, progress bars and atomic files."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    import torch


# What torch raises for a file that is none of its own, beside UnpicklingError.
_UNREADABLE: tuple[type[Exception], ...] = (RuntimeError, ValueError, EOFError, TypeError, LookupError)
_UNREADABLE += (AttributeError, AssertionError, struct.error, ArithmeticError, MemoryError)


def project_root() -> Path:
    """The main repository's folder: DVC's own notion inside a stage, the working folder outside one.

    In `dvc exp run --temp` this is the repository, not the temporary copy.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the random stream `names` of `seed`; streams are independent of each other."""
    digest = hashlib.sha256("/".join([str(seed), *map(str, names)]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_stream(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the random stream `names` of `seed`."""
    import torch

    return torch.Generator(device).manual_seed(stream_seed(seed, *names))


def seed_everything(seed: int) -> None:
    """Seed torch's global generator and hold it to deterministic kernels (initialisation, dropout)."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(stream_seed(seed, "global"))
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports the compiler: 2 s
    # Filling what is overwritten anyway takes a tenth of a small network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def choose_device() -> torch.device:
    """The device to compute on: `GANSCRIBE_DEVICE` where it is set, else CUDA where there is one."""
    import torch

    name = os.environ.get("GANSCRIBE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"GANSCRIBE_DEVICE={name}, but torch sees no CUDA device: unset it or set it to cpu")
    return torch.device(name)


# Instructions that multiply bfloat16, by the names of `torch.cpu.get_capabilities`. oneDNN calls bfloat16
# supported on every AVX-512 machine and emulates it where these are missing, two to four times slower than fp32.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's


def explain_bf16(device: torch.device) -> tuple[bool, str]:
    """Return whether `device` is fast at bfloat16, and why, in a few words for people.

    A CPU goes by the instructions that `torch.cpu.get_capabilities` finds, a GPU by its compute capability.
    """
    import torch

    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}, native bfloat16 from 8.0 on"
    # A torch without that function (before 2.11) says nothing of the processor: fp32 is never slow.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    found = [name for name in BF16_INSTRUCTIONS if capabilities.get(name)]
    if found:
        return True, f"the processor has {', '.join(found)}"
    return False, f"the processor has none of {', '.join(BF16_INSTRUCTIONS)}"


@functools.cache
def _warn_of_emulation(device: torch.device) -> None:
    fast, reason = explain_bf16(device)
    if not fast:
        sys.stderr.write(
            f"precision bf16 is emulated on {device} ({reason}) and two to four times slower than fp32: "
            "`precision: auto` would take fp32\n"
        )


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return `bf16` or `fp32`: `auto` takes what the device is fast at, an explicit value never falls back.

    An explicit bf16 that the device can only emulate is warned of, once in a process. Raises ValueError for
    any other word.
    """
    if precision == "auto":
        return "bf16" if explain_bf16(device)[0] else "fp32"
    if precision not in ("bf16", "fp32"):
        raise ValueError(f"precision {precision!r} is unknown: use auto, bf16 or fp32")
    if precision == "bf16":
        _warn_of_emulation(device)
    return precision


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A context in which matrix products run in `precision` (`bf16` or `fp32`)."""
    import torch

    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def progress(total: int | None, description: str, unit: str, initial: int = 0) -> tqdm[Any]:
    """A progress bar on standard error; in a log (no terminal) a line every ten seconds at most."""
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        dynamic_ncols=sys.stderr.isatty(),
        unit_scale=unit == "B",
        unit_divisor=1024,
    )


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary handle whose content appears at `path` only when the block has ended without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as JSON, keys in the order given, one final newline, atomically."""
    with atomic_write(path) as handle:
        handle.write((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_csv(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Write `rows` (all with the same keys) as CSV, floats at full precision, atomically."""
    import pandas as pd

    with atomic_write(path) as handle:
        handle.write(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").encode())


def save_torch(path: str | Path, value: object) -> None:
    """`torch.save` atomically, to a handle: saved to a path, the bytes would hold the file's name."""
    import torch

    with atomic_write(path) as handle:
        torch.save(value, handle)


def load_torch(path: str | Path) -> Any:
    """Load what `save_torch` wrote, on the CPU; tensors and plain containers only, never code.

    Raises ValueError for any other file, one that unpacks to more than it is long among them.
    """
    import torch

    problem = f"{path} is damaged or no PyTorch file of tensors and plain values"
    try:
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > Path(path).stat().st_size:
                raise ValueError("it unpacks to more than it is long, which torch.save never writes")
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{problem} (code in it is never run): get it or make it again") from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{problem} ({reason}): get it or make it again") from error


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `path` only when the block has ended without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def count_parameters(model: torch.nn.Module) -> int:
    """The number of trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
