"""Numbers with a unit, as options take them."""

from __future__ import annotations

import re
from typing import Any

import click

_TIMES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Amount(click.FloatRange):
    """A number with a unit; `units`: what each letter stands for."""

    def __init__(self, name: str, units: dict[str, int]) -> None:
        super().__init__(min=0)
        self.name = name
        self._units = units

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]?)", str(value).lower())
        if found is None or found[2] not in self._units:
            units = ", ".join(unit for unit in self._units if unit)
            self.fail(f"{value!r} is no {self.name}: a number, with one of {units}", param, ctx)
        return float(found[1]) * self._units[found[2]]


RATE = Amount("rate", _TIMES)
TIME = Amount("time", _SECONDS)
