"""Administrative records (RFC 5050 section 6.1): what agents tell each other about bundles.

The payload of a bundle with the flag ADMINISTRATIVE. First byte: type in the high four bits (1
status report, 2 custody signal), in the low four 1 when the subject is a fragment.

  status report   status byte, reason byte, [SDNV fragment offset, SDNV length], a DTN time for each
                  bit of the status, in the bits' order; then the subject
  custody signal  status byte (0x80 succeeded, reason in the low seven bits), [offset, length], the
                  signal's DTN time; then the subject
  subject         SDNV creation time, SDNV sequence, SDNV length and text of the source EID
  DTN time        SDNV seconds since 2000-01-01 UTC, SDNV nanoseconds; 0, 0 without a clock

IBR-DTN writes a custody signal's status as `reason << 1 | succeeded`, without 0x80: read so only
when the caller knows the sender for an IBR-DTN, never written.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from radics_mesh.clock import Wall, to_dtn
from radics_mesh.dtn.wire import sdnv
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import WireError
from radics_mesh.ids import EID_MAX_BYTES, Eid

_STATUS_REPORT, _CUSTODY_SIGNAL = 1, 2
_ABOUT_A_FRAGMENT = 0x01
_SUCCEEDED = 0x80
_NANOSECONDS = 1_000_000_000


class Status(enum.IntFlag):
    """What a status report says of its subject (RFC 5050 figure 9)."""

    RECEIVED = 0x01
    CUSTODY_ACCEPTED = 0x02
    FORWARDED = 0x04
    DELIVERED = 0x08
    DELETED = 0x10


NOTHING = Status(0)


class Reason(enum.IntEnum):
    """Why (RFC 5050 figures 10 and 12). 1 and 2 are for status reports only, 3 means "transmission
    cancelled" in a report and "redundant reception" in a custody signal."""

    NONE = 0
    EXPIRED = 1
    UNIDIRECTIONAL = 2
    CANCELLED = 3
    REDUNDANT = 3
    DEPLETED_STORAGE = 4
    UNINTELLIGIBLE_EID = 5
    NO_ROUTE = 6
    NO_CONTACT = 7
    UNINTELLIGIBLE_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """DTN time to the nanosecond; 0, 0 from a node without a clock."""

    seconds: int
    nanoseconds: int = 0

    @classmethod
    def of(cls, wall: Wall) -> Moment:
        seconds = to_dtn(wall)
        return cls(seconds, int(wall % 1 * _NANOSECONDS) if seconds else 0)

    def encode(self) -> bytes:
        return sdnv.encode(self.seconds) + sdnv.encode(self.nanoseconds)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """`times` has one moment for each bit of `status`. `reason` may be one of later RFCs."""

    subject: BundleId
    status: Status
    reason: int
    times: tuple[Moment, ...]

    def encode(self) -> bytes:
        return b"".join(
            (
                _head(_STATUS_REPORT, self.subject),
                bytes((self.status, self.reason)),
                _place(self.subject),
                *(moment.encode() for moment in self.times),
                _subject(self.subject),
            )
        )


@dataclass(frozen=True, slots=True)
class CustodySignal:
    """Whether its sender has taken custody of the subject, or why not."""

    subject: BundleId
    succeeded: bool
    reason: int
    time: Moment

    def encode(self) -> bytes:
        status = (_SUCCEEDED if self.succeeded else 0) | self.reason
        return b"".join(
            (
                _head(_CUSTODY_SIGNAL, self.subject),
                bytes((status,)),
                _place(self.subject),
                self.time.encode(),
                _subject(self.subject),
            )
        )

    @property
    def releases(self) -> bool:
        """Whether the earlier custodian may let go: redundant reception says that the signal's
        sender has had the bundle before, and answers for it since."""
        return self.succeeded or self.reason == Reason.REDUNDANT


AdminRecord = StatusReport | CustodySignal


def parse(payload: bytes, *, of_ibr: bool = False) -> AdminRecord:
    """WireError for anything else, also for a record of another type.

    `of_ibr`: its sender is known to be an IBR-DTN, see above.
    """
    reader = _Reader(payload)
    head = reader.byte()
    fragment = bool(head & _ABOUT_A_FRAGMENT)
    kind = head >> 4
    if kind == _STATUS_REPORT:
        record: AdminRecord = _status_report(reader, fragment)
    elif kind == _CUSTODY_SIGNAL:
        record = _custody_signal(reader, fragment, of_ibr)
    else:
        raise WireError(f"administrative record of type {kind}")
    reader.end()
    return record


def _status_report(reader: _Reader, fragment: bool) -> StatusReport:
    status = Status(reader.byte() & 0x1F)
    reason = reader.byte()
    place = (reader.number(), reader.number()) if fragment else None
    times = tuple(reader.moment() for bit in Status if status & bit)
    return StatusReport(reader.subject(place), status, reason, times)


def _custody_signal(reader: _Reader, fragment: bool, of_ibr: bool) -> CustodySignal:
    status = reader.byte()
    succeeded, reason = bool(status & _SUCCEEDED), status & 0x7F
    if of_ibr and not succeeded:
        # No standard success without the high bit, so 0x01 is theirs. Their failure for "no
        # further information" and ours are both 0.
        succeeded, reason = bool(status & 1), status >> 1
    place = (reader.number(), reader.number()) if fragment else None
    time = reader.moment()
    return CustodySignal(reader.subject(place), succeeded, reason, time)


def _head(kind: int, subject: BundleId) -> bytes:
    return bytes((kind << 4 | (_ABOUT_A_FRAGMENT if subject.offset is not None else 0),))


def _place(subject: BundleId) -> bytes:
    if subject.offset is None or subject.length is None:
        return b""
    return sdnv.encode(subject.offset) + sdnv.encode(subject.length)


def _subject(subject: BundleId) -> bytes:
    source = subject.source.encode("ascii")
    stamp = sdnv.encode(subject.created) + sdnv.encode(subject.sequence)
    return stamp + sdnv.encode(len(source)) + source


class _Reader:
    """Takes one thing after the other; WireError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def byte(self) -> int:
        if self._offset >= len(self._data):
            raise WireError("administrative record: ends too early")
        self._offset += 1
        return self._data[self._offset - 1]

    def number(self) -> int:
        taken = sdnv.decode(self._data, self._offset)
        if taken is None:
            raise WireError("administrative record: ends within a number")
        value, self._offset = taken
        return value

    def moment(self) -> Moment:
        return Moment(self.number(), self.number())

    def subject(self, place: tuple[int, int] | None) -> BundleId:
        created, sequence, length = self.number(), self.number(), self.number()
        text = self._data[self._offset : self._offset + length]
        if length > EID_MAX_BYTES or len(text) < length:
            raise WireError("administrative record: no endpoint identifier at its end")
        self._offset += length
        try:
            source = Eid(text.decode("ascii"))
        except UnicodeDecodeError as error:
            raise WireError("administrative record: a source that is not ASCII") from error
        offset, span = place if place else (None, None)
        return BundleId(source, created, sequence, offset, span)

    def end(self) -> None:
        if self._offset != len(self._data):
            raise WireError("administrative record: bytes after its end")
