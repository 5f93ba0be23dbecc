"""Scheduled contacts, from a text file that people write.

    # Words separated by blanks; from a # on a line is a comment. Numbers may have decimals.
    node  ferry  mfrggzdfmztwq2lknnwg23tpob3w2zti      a short name for a node's id
    start 2026-11-24T08:00:00Z                         what +N counts from, in seconds
    contact FROM UNTIL NODE NODE RATE [delay N] [every N times N] [oneway]

FROM and UNTIL: +N, Unix time, or 2026-11-24T08:00:00Z (always UTC). RATE: bytes a second, with k, M
or G for thousands, millions, milliards; the contact carries as much in each direction, with
`oneway` only from the first node to the second. `delay N`: seconds from a byte's leaving to its
arrival. `every N times N`: the same again, that many times in all, one beginning every N seconds. A
node is an id, a name given by a `node` line, or what its owner called it (`join --name`).

    contact +0 +300 harbour ferry 125k delay 0.1 every 7200 times 12
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from radics_mesh.clock import Wall
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NodeId

CONTACTS_MAX = 200_000
FILE_MAX_BYTES = 16 << 20
_SCALES = {"k": 1e3, "M": 1e6, "G": 1e9}

# A node's own name → its id; None while that is not known.
Resolve = Callable[[str], NodeId | None]


@dataclass(frozen=True, slots=True)
class Contact:
    """One direction of one contact. Seconds of Unix time; `rate` in bytes a second."""

    start: Wall
    end: Wall
    sender: str
    receiver: str
    rate: float
    delay_s: float = 0.0

    @property
    def volume_bytes(self) -> float:
        return (self.end - self.start) * self.rate


@dataclass(frozen=True)
class ContactPlan:
    """In order of their starts. Nodes are as written there: ids in text, or names."""

    contacts: tuple[Contact, ...] = ()
    nodes: dict[str, NodeId] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> ContactPlan:
        """UsageError: the file is not there, or not a plan."""
        try:
            if path.stat().st_size > FILE_MAX_BYTES:
                raise UsageError(f"{path}: larger than {FILE_MAX_BYTES >> 20} MB")
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "contact plan") -> ContactPlan:
        """UsageError with the name and the number of the line that makes no sense."""
        reader = _Reader()
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].split()
            try:
                if words:
                    reader.take(words)
            except UsageError as error:
                raise UsageError(f"{name}, line {number}: {error}") from error
        contacts = sorted(reader.contacts, key=lambda one: (one.start, one.end))
        return cls(tuple(contacts), reader.nodes)

    def node_of(self, word: str, resolve: Resolve) -> NodeId | None:
        """The node behind a word of the plan."""
        named = self.nodes.get(word)
        if named is not None:
            return named
        try:
            return NodeId.parse(word)
        except WireError:
            return resolve(word)


@dataclass(slots=True)
class _Options:
    """What may follow on a contact line."""

    delay_s: float = 0.0
    period_s: float = 0.0
    times: int = 1
    oneway: bool = False

    @classmethod
    def parse(cls, words: Iterator[str]) -> _Options:
        found = cls()
        for word in words:
            if word == "delay":
                found.delay_s = _seconds(next(words, ""))
            elif word == "every":
                found.period_s = _seconds(next(words, ""))
                found.times = _times(next(words, ""), next(words, ""))
            elif word == "oneway":
                found.oneway = True
            else:
                raise UsageError(f"{word}: not delay, every or oneway")
        return found


class _Reader:
    """Lines so far. Every method raises UsageError."""

    def __init__(self) -> None:
        self.contacts: list[Contact] = []
        self.nodes: dict[str, NodeId] = {}
        self._start: float | None = None

    def take(self, words: list[str]) -> None:
        what, rest = words[0], words[1:]
        if what == "node":
            self._node(rest)
        elif what == "start" and len(rest) == 1:
            self._start = self._moment(rest[0])
        elif what == "contact" and len(rest) >= 5:
            self._contact(rest[:5], iter(rest[5:]))
        elif what in ("start", "contact"):
            raise UsageError(f"not all of a {what} line: {' '.join(words)}")
        else:
            raise UsageError(f"{what}: not node, start or contact")

    def _node(self, rest: list[str]) -> None:
        if len(rest) != 2:
            raise UsageError("a node line is: node NAME ID")
        name, text = rest
        try:
            node = NodeId.parse(text)
        except WireError as error:
            raise UsageError(str(error)) from error
        if self.nodes.setdefault(name, node) != node:
            raise UsageError(f"{name} is two nodes")

    def _contact(self, words: list[str], options: Iterator[str]) -> None:
        start, end = self._moment(words[0]), self._moment(words[1])
        one, other, rate = words[2], words[3], _rate(words[4])
        if end <= start:
            raise UsageError("a contact ends after it begins")
        if one == other:
            raise UsageError("a contact is between two nodes")
        said = _Options.parse(options)
        if said.times > 1 and said.period_s < end - start:
            raise UsageError("a contact that begins again before it has ended")
        ways = ((one, other),) if said.oneway else ((one, other), (other, one))
        for nth in range(said.times):
            later = nth * said.period_s
            begin, until = Wall(start + later), Wall(end + later)
            self.contacts += (Contact(begin, until, *way, rate, said.delay_s) for way in ways)
            if len(self.contacts) > CONTACTS_MAX:
                raise UsageError(f"more than {CONTACTS_MAX} contacts")

    def _moment(self, word: str) -> float:
        if word.startswith("+"):
            if self._start is None:
                raise UsageError(f"{word} counts from a start line, and there is none before it")
            return self._start + _seconds(word[1:])
        if "T" not in word:
            return _seconds(word)
        try:
            moment = datetime.fromisoformat(word)
        except ValueError as error:
            raise UsageError(f"{word}: not a time ({error})") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(word: str) -> float:
    try:
        value = float(word)
    except ValueError as error:
        raise UsageError(f"{word or 'nothing'}: not a number of seconds") from error
    if not 0 <= value < 1e12 or math.isnan(value):
        raise UsageError(f"{word}: not a number of seconds")
    return value


def _times(word: str, count: str) -> int:
    if word != "times" or not count.isdecimal() or not 0 < int(count[:9]) <= CONTACTS_MAX:
        raise UsageError("after every N comes times N")
    return int(count[:9])


def _rate(word: str) -> float:
    scale = _SCALES.get(word[-1:], 1.0)
    text = word[:-1] if word[-1:] in _SCALES else word
    try:
        rate = float(text) * scale
    except ValueError as error:
        raise UsageError(f"{word}: not a number of bytes a second") from error
    if not 0 < rate < 1e15:
        raise UsageError(f"{word}: not a number of bytes a second")
    return rate
