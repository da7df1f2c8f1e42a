"""The tables that are printed, and what they say of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ganscribe.core.devices import explain_bf16
from streaming import Growth
from timing import Row, Setting


def table_line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table_head(cells: Sequence[str]) -> str:
    """Return the first two lines of a Markdown table."""
    return f"{table_line(cells)}\n|{'---|' * len(cells)}"


def format_number(value: float) -> str:
    """Return three digits of a number below 100, and all before the point of a larger one."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def processor() -> str:
    """Return the processor's name, as far as the machine tells."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.M) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def describe_machine(setting: Setting) -> str:
    """Return the facts that the numbers depend on, in a line."""
    device = setting.device
    card = [torch.cuda.get_device_name(device)] if device.type == "cuda" else []
    facts = [
        f"{os.cpu_count()} cores ({torch.get_num_threads()} threads)",
        processor(),
        f"torch {torch.__version__}",
        *card,
        f"ours in {' and '.join(setting.precisions)} ({explain_bf16(device)[1]})",
        f"OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY')}",
        f"medians over turns: {setting.turns}",
        datetime.datetime.now(datetime.UTC).date().isoformat(),
    ]
    return ", ".join(facts)


def head(setting: Setting) -> str:
    """Return the head of the table of both ways."""
    name = "CPU" if setting.device.type == "cpu" else "CUDA"
    ours = [cell for precision in setting.precisions for cell in (f"ours, {name} {precision}", "ratio")]
    return table_head(["work", "unit", f"tutorial, {name} fp32", *ours])


def format_row(row: Row, setting: Setting) -> str:
    """Return a line of the table of both ways; a cell is empty where a precision makes no difference."""
    cells = [row.work, row.unit, format_number(row.tutorial)]
    for precision in setting.precisions:
        if precision in row.ours:
            cells += [format_number(row.ours[precision]), f"{row.ratios[precision]:.1f}x"]
        else:
            cells += ["", ""]
    return table_line(cells)


def growth_head(few: int, many: int) -> str:
    """Return the head of the table of streaming."""
    return table_head(["work", "unit", f"{few:,} images", f"{many:,} images", "ratio"])


def format_growth(growth: Growth) -> str:
    """Return a line of the table of streaming."""
    numbers = [format_number(growth.few), format_number(growth.many)]
    return table_line([growth.work, growth.unit, *numbers, f"{growth.many / growth.few:.2f}x"])
