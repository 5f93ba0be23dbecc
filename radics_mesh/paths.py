"""Names of sources and services, and the patterns that people ask by.

A name is a path: 1 to LEVELS_MAX levels with "/" between them ("camera/hall/door"). A level is
printable text without "*". A pattern is a name, or what stands before a last "*": "camera/*" means
all names below camera/, at any depth, and "*" all there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.errors import UsageError

NAME_MAX_BYTES = 200
LEVELS_MAX = 8


def fault(name: str) -> str:
    """What is wrong with a name; empty: nothing."""
    levels = name.split("/")
    if not name.isprintable():
        return "a character that cannot be printed"
    if not name or len(name.encode()) > NAME_MAX_BYTES:
        return f"not 1 to {NAME_MAX_BYTES} bytes"
    if "*" in name:
        return "a *, which is for patterns"
    if not all(level.strip() for level in levels):
        return "an empty level: a / at an end, or two in a row"
    return f"more than {LEVELS_MAX} levels" if len(levels) > LEVELS_MAX else ""


def directories(name: str) -> list[tuple[str, str]]:
    """(directory, what of the name stands in it), from the root "" on. In "" and in "camera/" of
    "camera/door" stand "camera/" and "door"."""
    levels = name.split("/")
    ways = ["".join(f"{level}/" for level in levels[:depth]) for depth in range(len(levels))]
    return list(zip(ways, [f"{level}/" for level in levels[:-1]] + levels[-1:], strict=True))


@dataclass(frozen=True)
class Pattern:
    """`text`: a name, or (`below`) the directory that all names asked for lie in."""

    text: str
    below: bool

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """UsageError for what is neither a name nor a prefix with a * behind it."""
        if text == "*":
            return cls("", True)
        below = text.endswith("/*")
        wrong = fault(text.removesuffix("/*"))
        if wrong:
            raise UsageError(f"{text[:80]!r} is no NAME, NAME/* or *: {wrong}")
        return cls(text[:-1] if below else text, below)

    def matches(self, name: str) -> bool:
        return name.startswith(self.text) if self.below else name == self.text

    def __str__(self) -> str:
        return f"{self.text}*" if self.below else self.text
