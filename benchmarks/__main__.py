"""The tutorial's way beside ours, both measured in this run: `make benchmark`."""

from __future__ import annotations

import os
import platform

import torch

import captioner
import features
import gan
import reader
import streaming
from ganscribe.core.devices import choose_device, resolve_precision


def main() -> None:
    device = choose_device()
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}, {device}, "
        f"{resolve_precision('auto', device)}\n"
    )
    print("| work | unit | the tutorial's way | ours | ratio |\n|---|---|---|---|---|")
    for module in (gan, captioner, features, reader, streaming):
        for row in module.rows():
            numbers = f"{row['tutorial']:,.1f} | {row['ours']:,.1f} | {row['ratio']:.1f}x"
            print(f"| {row['work']} | {row['unit']} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
