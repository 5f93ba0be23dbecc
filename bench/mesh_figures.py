"""Rows of the mesh's benches: a row can also have a least value, and a table names its machine."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Sequence

from bench.rows import Row, processor, row

_STARTED = time.perf_counter()


def at_least(name: str, value: float, unit: str, aim: float, peer: str = "") -> Row:
    """A figure that should be large, such as a share that succeeded."""
    return {**row(name, value, unit, peer=peer), "aim": aim, "met": round(value, 2) >= aim}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def progress(text: str) -> None:
    print(f"{time.perf_counter() - _STARTED:6.0f} s  {text}", file=sys.stderr, flush=True)


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(title: str, rows: Sequence[Row]) -> str:
    lines = [title, f"  {'':58} {'value':>9} {'':14} {'aim':>7} {'met':>4}  peer"]
    for one in rows:
        aim = "" if one["aim"] is None else f"{one['aim']:g}"
        met = {None: "", True: "yes", False: "NO"}[one["met"]]
        figure = f"{one['value']:9g} {one['unit']:14}"
        lines.append(f"  {one['name']:58} {figure} {aim:>7} {met:>4}  {one['peer']}".rstrip())
    return "\n".join(lines)
