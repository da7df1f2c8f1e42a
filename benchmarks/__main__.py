"""Time whole trainings and an extraction, the tutorials' way and ours in turn: `make benchmark`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars between the lines of the table
try:
    import ganscribe  # before torch: it settles how OpenMP's threads wait, in both ways then
except ModuleNotFoundError:
    sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))
    import ganscribe  # noqa: F401

import torch

import captioner
import convnets
import features
import gan
import reader
import streaming
from ganscribe.core.devices import choose_device, explain_bf16, resolve_precision
from table import describe_machine, format_growth, format_row, growth_head, head
from timing import Setting, TooBusyError

ROWS = gan.ROWS | convnets.ROWS | captioner.ROWS | features.ROWS | reader.ROWS
STREAMING = "streaming"
NAMES = [*ROWS, STREAMING]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="what to compute on (default: cuda if there is a GPU)"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"a row to measure; may be given several times (default: all rows). Rows: {', '.join(NAMES)} "
        f"(on a CPU {' and '.join(convnets.CARD_ONLY)} are measured only if named)",
    )
    parser.add_argument("--turns", type=int, default=3, help="how often each way is measured (default: 3)")
    return parser


def choose_rows(only: list[str] | None, device: torch.device) -> list[str]:
    """Return the names of the rows to measure, in the table's order."""
    if only:
        return [name for name in NAMES if name in only]
    return [name for name in NAMES if device.type == "cuda" or name not in convnets.CARD_ONLY]


def main() -> None:
    parser = build_parser()
    given = parser.parse_args()
    if given.turns < 1:
        parser.error(f"--turns is {given.turns}: give 1 or more")
    if given.device:
        os.environ["GANSCRIBE_DEVICE"] = given.device  # also of the processes of streaming
    try:
        device = choose_device()
    except ValueError as error:
        parser.error(str(error))
    precisions: tuple[str, ...] = (resolve_precision("auto", device),)
    if device.type == "cpu":
        precisions = ("fp32", "bf16") if explain_bf16(device)[0] else ("fp32",)
    setting = Setting(device=device, precisions=precisions, turns=given.turns)
    names = choose_rows(given.only, device)
    print(describe_machine(setting))
    both = [name for name in names if name in ROWS]
    if both:
        print(f"\n{head(setting)}", flush=True)
    for name in both:
        try:
            print(format_row(ROWS[name](setting), setting), flush=True)
        except TooBusyError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    if STREAMING in names:
        print(f"\n{growth_head(streaming.FEW, streaming.MANY)}")
        for growth in streaming.measure_growth():
            print(format_growth(growth), flush=True)


if __name__ == "__main__":
    main()
