"""TCPCL version 3 on the wire (RFC 7242): the contact header and the six messages.

contact header   "dtn!" 0x03 flags keepalive(u16) SDNV-length EID              section 4.1
DATA_SEGMENT     0x1_ flags S=2 E=1, SDNV length, data                         section 5.2
ACK_SEGMENT      0x20, SDNV bytes of the current bundle so far                 section 5.3
REFUSE_BUNDLE    0x3_ reason                                                   section 5.4
KEEPALIVE        0x40                                                          section 5.6
SHUTDOWN         0x5_ flags reason=2 delay=1, reason(u8), delay (see `shutdown`) section 6.1
LENGTH           0x60, SDNV length of the bundle that begins next              section 5.5
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag

from radics_mesh.dtn.wire import sdnv
from radics_mesh.errors import WireError
from radics_mesh.ids import EID_MAX_BYTES, Eid

_MAGIC = b"dtn!"
_VERSION = 3
_HEADER_BYTES = 8
_S, _E = 2, 1

# Reasons of REFUSE_BUNDLE (section 5.4).
UNKNOWN, COMPLETED, NO_RESOURCES, RETRANSMIT = 0, 1, 2, 3
# An unassigned one, between members only: the same bundle with the chains
# (radics_mesh.dtn.trust.chains).
CHAIN_UNKNOWN = 4
# Reasons of SHUTDOWN (section 6.1).
IDLE_TIMEOUT, VERSION_MISMATCH, BUSY = 0, 1, 2


class VersionMismatch(WireError):
    """A contact header of another version (section 4.2): the peer is told so."""


class Features(IntFlag):
    """What a contact header offers; in force is what both sides offer."""

    NONE = 0
    ACKNOWLEDGE = 1
    REACTIVE_FRAGMENTATION = 2
    REFUSE = 4
    LENGTH = 8


@dataclass(frozen=True)
class Hello:
    """A contact header. `keepalive_s` 0: no keepalives."""

    eid: Eid
    features: Features
    keepalive_s: int

    def encode(self) -> bytes:
        eid = self.eid.encode("ascii")
        fixed = bytes((_VERSION, self.features)) + self.keepalive_s.to_bytes(2, "big")
        return _MAGIC + fixed + sdnv.encode(len(eid)) + eid


@dataclass(frozen=True)
class Segment:
    """The head of a DATA_SEGMENT; `Data` pieces follow, then one with `last`."""

    start: bool
    end: bool
    length: int


@dataclass(frozen=True)
class Data:
    """A piece of a segment, cut as the bytes came in. `last` closes the segment."""

    content: bytes | memoryview
    last: bool


@dataclass(frozen=True)
class Ack:
    length: int


@dataclass(frozen=True)
class Refuse:
    reason: int


@dataclass(frozen=True)
class Keepalive:
    pass


@dataclass(frozen=True)
class Shutdown:
    """`delay_s`: how long the peer asks us to wait before we connect again; None: no wish. So is
    0, although section 6.1 has it mean for ever: IBR-DTN writes it at each of its goodbyes. What
    DTN2 writes in two bytes, up to 255 s, is no wish either: after one byte who can tell."""

    reason: int | None
    delay_s: int | None


@dataclass(frozen=True)
class Length:
    length: int


Message = Hello | Segment | Data | Ack | Refuse | Keepalive | Shutdown | Length


def segment_head(start: bool, end: bool, length: int) -> bytes:
    return bytes((0x10 | _S * start | _E * end,)) + sdnv.encode(length)


def ack(length: int) -> bytes:
    return b"\x20" + sdnv.encode(length)


def refuse(reason: int) -> bytes:
    return bytes((0x30 | reason,))


KEEPALIVE = b"\x40"


def length(total: int) -> bytes:
    return b"\x60" + sdnv.encode(total)


def shutdown(reason: int, delay_s: int | None = None) -> bytes:
    """`delay_s`: how long the peer is to stay away, up to 255. Never 0: that would be for ever.

    Two bytes, as DTN2 and Wireshark read it; IBR-DTN and its like read an SDNV, so the first one
    being 0 they find no delay, and the second is behind the end for them.
    """
    if delay_s is None:
        return bytes((0x52, reason))
    return bytes((0x53, reason, 0, min(255, max(1, delay_s))))


class Parser:
    """Bytes in, messages out. WireError once, then nothing more can be read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._greeted = False
        self._left = 0  # of the segment that is being read
        self._over = False

    @property
    def left_bytes(self) -> int:
        """Of the segment that is being read, what has not been given."""
        return self._left

    def feed(self, data: bytes | bytearray) -> Iterator[Message]:
        """Lazy, to be exhausted: a message is seen before what follows it is looked at."""
        self._buffer += data
        position = 0
        while not self._over:
            found = self._next(position)
            if found is None:
                break
            message, position = found
            yield message
        del self._buffer[:position]
        if self._over:
            self._buffer.clear()

    def _next(self, at: int) -> tuple[Message, int] | None:
        if self._left:
            return self._data(at)
        if not self._greeted:
            return self._hello(at)
        if at >= len(self._buffer):
            return None
        kind, flags = self._buffer[at] >> 4, self._buffer[at] & 0x0F
        match kind:
            case 1:
                return self._segment(at + 1, flags)
            case 2:
                return _map(Ack, sdnv.decode(self._buffer, at + 1))
            case 3:
                return Refuse(flags), at + 1
            case 4:
                return Keepalive(), at + 1
            case 5:
                return self._shutdown(at + 1, flags)
            case 6:
                return _map(Length, sdnv.decode(self._buffer, at + 1))
        raise WireError(f"TCPCL message of unknown type {kind}")

    def _data(self, at: int) -> tuple[Message, int] | None:
        count = min(self._left, len(self._buffer) - at)
        if not count:
            return None
        self._left -= count
        content = bytes(memoryview(self._buffer)[at : at + count])
        return Data(content, not self._left), at + count

    def _segment(self, at: int, flags: int) -> tuple[Message, int] | None:
        found = sdnv.decode(self._buffer, at)
        if found is None:
            return None
        self._left, at = found
        if not self._left and not flags & _E:
            # An empty last segment closes a bundle whose length was not known; others say nothing.
            raise WireError("TCPCL data segment without data")
        return Segment(bool(flags & _S), bool(flags & _E), self._left), at

    def _hello(self, at: int) -> tuple[Message, int] | None:
        head = bytes(self._buffer[at : at + _HEADER_BYTES])
        if not _MAGIC.startswith(head[:4]):
            raise WireError("not a TCPCL contact header")
        if len(head) > 4 and head[4] != _VERSION:
            raise VersionMismatch(f"TCPCL version {head[4]}, not {_VERSION}")
        found = sdnv.decode(self._buffer, at + _HEADER_BYTES)
        if len(head) < _HEADER_BYTES or found is None:
            return None
        count, start = found
        if count > EID_MAX_BYTES:
            raise WireError(f"TCPCL contact header with an EID of {count} bytes")
        if len(self._buffer) < start + count:
            return None
        text = bytes(self._buffer[start : start + count]).decode("ascii", "replace")
        self._greeted = True
        # Section 4.1: undefined flags are ignored.
        features = Features(head[5] & 0x0F)
        return Hello(Eid(text), features, int.from_bytes(head[6:8], "big")), start + count

    def _shutdown(self, at: int, flags: int) -> tuple[Message, int] | None:
        reason = delay_s = None
        if flags & 2:
            if at >= len(self._buffer):
                return None
            reason, at = self._buffer[at], at + 1
        if flags & 1:
            found = sdnv.decode(self._buffer, at)
            if found is None:
                return None
            delay_s, at = found[0] or None, found[1]
        # Nothing may follow; IBR-DTN's fields that no flag announces do.
        self._over = True
        return Shutdown(reason, delay_s), at


def _map(
    kind: type[Ack] | type[Length], found: tuple[int, int] | None
) -> tuple[Message, int] | None:
    return None if found is None else (kind(found[0]), found[1])
