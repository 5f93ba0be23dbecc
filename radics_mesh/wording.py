"""Quantities and names as people read them, for whoever must say them. Sans-IO.

Names in answers were chosen by other people's nodes, so everything that reaches a terminal goes
through `printable` first: an escape sequence in a name must not move anybody's cursor.
"""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def printable(text: str) -> str:
    """Without control characters and other unprintables, spaces kept."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def size(count: float) -> str:
    """A number of bytes with three digits or so: 999 B, 1.2 kB, 35 MB. Units of 1000."""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    digits = 1 if unit != "B" and value < 9.95 else 0
    return f"{value:.{digits}f} {unit}"


def memory(count: int) -> str:
    """Guest memory, which people give in MiB."""
    return f"{count / (1 << 20):.0f} MiB"


def duration(seconds: float | None) -> str:
    """3 s, 4 min, 5 h, 6 d; a dash for None."""
    if seconds is None:
        return "-"
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
