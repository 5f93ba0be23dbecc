"""PRoPHET's table over a restart: a file, and how much older it has become meanwhile.

The file is a msgpack array: version, wall clock at writing (0 where that cannot have been right),
node, P, seconds since that node was met, node, P, ... (P a float; seconds -1: never met).

While the node is down nothing counts time but the wall clock. The table ages by what that says has
passed, where it can have been right before and is now, and has not gone back; else not at all: an
old P that is too great costs a copy in vain, and its like on neighbours corrects it at the next
meeting. A file that is damaged is begun anew, and that is told.
"""

from __future__ import annotations

from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.routes.prophet import Predictabilities, Remembered
from radics_mesh.durable import write_durably
from radics_mesh.errors import CapacityError, WireError
from radics_mesh.ids import NodeId

log = structlog.get_logger(__name__)

_VERSION = 1
_LIMIT_BYTES = 1 << 20
_NEVER = -1.0


class Kept:
    """One node's table, written with each `flushed` and with `close`. Reading blocks."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._table: Predictabilities | None = None
        self._writing = trio.Lock()

    def attach(self, table: Predictabilities) -> None:
        """Take in what was kept, as old as it is by now; from now on this one is kept."""
        self._table = table
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        try:
            wall, rows = parse(content)
        except WireError as error:
            log.error("PRoPHET's table was damaged", path=str(self._path), error=str(error))
            return
        table.restore(rows, self._since(wall), self._clock.monotonic())

    def _since(self, wall: float) -> float:
        """Seconds, as far as that can be known."""
        now = self._clock.wall()
        return max(0.0, now - wall) if wall > 0 and is_plausible(now) else 0.0

    async def flushed(self) -> None:
        """What it is now is on the medium. CapacityError: it cannot be written."""
        if self._table is None:
            return
        async with self._writing:
            content = self._content(self._table)
            try:
                await trio.to_thread.run_sync(write_durably, self._path, content)
            except OSError as error:
                raise CapacityError(f"cannot keep PRoPHET's table: {error}") from error

    def close(self) -> None:
        """The same, as far as that can be done."""
        if self._table is not None:
            try:
                write_durably(self._path, self._content(self._table))
            except OSError as error:
                log.error("PRoPHET's table cannot be written", error=str(error))

    def _content(self, table: Predictabilities) -> bytes:
        wall = self._clock.wall()
        return packed(wall if is_plausible(wall) else 0.0, table.state(self._clock.monotonic()))


def packed(wall: float, rows: list[Remembered]) -> bytes:
    words: list[object] = [_VERSION, wall]
    for row in rows:
        words += bytes(row.node), row.p, _NEVER if row.met_ago_s is None else row.met_ago_s
    return pack(words)


def parse(content: bytes) -> tuple[float, list[Remembered]]:
    """WireError."""
    fields = Fields.parse(content, "PRoPHET's table", limit_bytes=_LIMIT_BYTES)
    fields.integer(_VERSION, _VERSION)
    wall = _number(fields)
    rows = []
    while fields.has_more:
        node = NodeId(fields.blob(limit=20))
        p, met_ago_s = _number(fields), _number(fields)
        if not 0.0 <= p <= 1.0:
            raise WireError("PRoPHET's table: a P that is none")
        rows.append(Remembered(node, p, None if met_ago_s < 0 else met_ago_s))
    return wall, rows


def _number(fields: Fields) -> float:
    value = fields.any()
    if not isinstance(value, float) or value != value:
        raise WireError("PRoPHET's table: not a number")
    return value
