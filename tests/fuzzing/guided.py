"""A small coverage-guided fuzzer: what reaches new pairs of lines is kept and mutated further.

Lines are seen by sys.settrace, only in the package under test, so the rest runs at its usual
speed. Inputs are picked at random, the newest more often.
"""

from __future__ import annotations

import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from tests.fuzzing.targets import Target, fed

_TRACED = "/radics_mesh/dtn/"
INPUT_MAX_BYTES = 4096
HANG_S = 20
# Memory that an input may take at its peak: so much, and so many times its length. A Session and
# its objects are most of it.
_MEMORY_BYTES, _MEMORY_FACTOR = 1 << 20, 4000
_EDGES = (0, 1, 0x7F, 0x80, 0xFF)
_SDNVS = (b"\x00", b"\x7f", b"\x81\x00", b"\xff\x7f", b"\x81" + b"\x80" * 8 + b"\x00")
_TOO_LONG = b"\x82" + b"\x80" * 8 + b"\x00"


class Hang(Exception):
    """An input that takes HANG_S."""


@dataclass(frozen=True)
class Finding:
    target: str
    data: bytes
    error: str


@dataclass
class Fuzzer:
    target: Target
    random: Random
    corpus: list[bytes] = field(default_factory=list)
    runs: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._seen: set[tuple[int, int, int]] = set()
        self._kinds: set[str] = set()
        for seed in (b"", *self.target.seeds):
            self._try(seed)

    @property
    def edges(self) -> int:
        return len(self._seen)

    def step(self) -> None:
        """One input."""
        size = len(self.corpus)
        newest = size - 1 - int(size * self.random.random() ** 2)
        data = self.corpus[newest]
        for _ in range(1 << self.random.randrange(5)):
            data = self._mutated(data)
        self._try(data[:INPUT_MAX_BYTES])

    def _try(self, data: bytes) -> None:
        self.runs += 1
        edges: set[tuple[int, int, int]] = set()
        with _tracing(edges):
            error = fed(self.target, data)
        if error is not None:
            self._report(data, error)
        if not edges <= self._seen or not self.corpus:
            self._seen |= edges
            self.corpus.append(data)
            self._weigh(data)

    def _weigh(self, data: bytes) -> None:
        tracemalloc.start()
        try:
            fed(self.target, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        if peak > _MEMORY_BYTES + _MEMORY_FACTOR * len(data):
            self._report(data, MemoryError(f"{peak} bytes for an input of {len(data)}"))

    def _report(self, data: bytes, error: BaseException) -> None:
        """One of each kind, by the place where it was raised."""
        kind = f"{type(error).__name__} at {_place(error)}"
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.findings.append(Finding(self.target.name, data, f"{kind}: {error}"))

    # --- mutations ---

    def _mutated(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data) + 1)
        mutate = self.random.choice(_MUTATIONS)
        return mutate(self, data, at)

    def _flip(self, data: bytes, at: int) -> bytes:
        return self._set(data, at, lambda byte: byte ^ 1 << self.random.randrange(8))

    def _edge(self, data: bytes, at: int) -> bytes:
        return self._set(data, at, lambda _: self.random.choice(_EDGES))

    def _shift(self, data: bytes, at: int) -> bytes:
        return self._set(data, at, lambda byte: (byte + self.random.randrange(-8, 9)) & 0xFF)

    def _set(self, data: bytes, at: int, change: Callable[[int], int]) -> bytes:
        if at >= len(data):
            return data
        return data[:at] + bytes((change(data[at]),)) + data[at + 1 :]

    def _cut(self, data: bytes, at: int) -> bytes:
        return data[:at] + data[at + self.random.randrange(1, 9) :]

    def _end(self, data: bytes, at: int) -> bytes:
        return data[:at]

    def _insert(self, data: bytes, at: int) -> bytes:
        words = (*self.target.words, *_SDNVS, _TOO_LONG, self.random.randbytes(3))
        return data[:at] + self.random.choice(words) + data[at:]

    def _overwrite(self, data: bytes, at: int) -> bytes:
        word = self.random.choice((*self.target.words, *_SDNVS, _TOO_LONG))
        return data[:at] + word + data[at + len(word) :]

    def _repeat(self, data: bytes, at: int) -> bytes:
        piece = data[at : at + self.random.randrange(1, 33)]
        return data[:at] + piece * self.random.randrange(2, 6) + data[at:]

    def _splice(self, data: bytes, at: int) -> bytes:
        other = self.random.choice(self.corpus)
        return data[:at] + other[self.random.randrange(len(other) + 1) :]


_MUTATIONS: tuple[Callable[[Fuzzer, bytes, int], bytes], ...] = (
    Fuzzer._flip,
    Fuzzer._edge,
    Fuzzer._shift,
    Fuzzer._cut,
    Fuzzer._end,
    Fuzzer._insert,
    Fuzzer._overwrite,
    Fuzzer._repeat,
    Fuzzer._splice,
)


@contextmanager
def _tracing(edges: set[tuple[int, int, int]]) -> Iterator[None]:
    """Collect which line follows which, in the traced package."""
    last: dict[int, int] = {}

    def lines(frame: FrameType, event: str, _: Any) -> Any:
        code = id(frame.f_code)
        edges.add((code, last.get(code, 0), frame.f_lineno))
        last[code] = frame.f_lineno
        return lines

    def calls(frame: FrameType, event: str, _: Any) -> Any:
        return lines if _TRACED in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        yield
    finally:
        sys.settrace(before)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "the end"
    code = trace.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"


@contextmanager
def _no_hang() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {HANG_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(fuzzer: Fuzzer, seconds: float) -> None:
    """For so long; Hang is a finding like any other."""
    until = time.monotonic() + seconds
    with _no_hang():
        while time.monotonic() < until:
            signal.alarm(HANG_S)
            for _ in range(50):
                fuzzer.step()
