"""What the benches print: rows with a value, what was aimed at, and what a peer does."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Times = dict[str, float]


def row(name: str, value: float, unit: str, aim: float | None = None, peer: str = "") -> Row:
    met = None if aim is None else value <= aim
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "aim": aim,
        "met": met,
        "peer": peer,
    }


async def rounds(*measurements: Callable[[], Awaitable[Times]], count: int) -> list[Times]:
    """Medians of each, taken by turns."""
    taken: list[list[Times]] = [[] for _ in measurements]
    for _ in range(count):
        for times, once in zip(taken, measurements, strict=True):
            times.append(await once())
    return [
        {key: statistics.median(one[key] for one in times) for key in times[0]} for times in taken
    ]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
