"""Discovery beacons on the wire (draft-irtf-dtnrg-ipnd as IBR-DTN speaks it).

  version 0x02, flags, sequence number (u16)
  flag 0x01   EID: SDNV length, text
  flag 0x02   services: SDNV count, then for each name and parameters, SDNV length and text each
  flag 0x04   a Bloom filter of neighbours: SDNV length, bytes; not looked into
  flag 0x08   period in seconds: SDNV; IBR-DTN's addition to the draft

A service's parameters are `key=value;` one after the other: `ip=10.0.0.1;port=4556;`.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.dtn.wire import sdnv
from radics_mesh.errors import WireError
from radics_mesh.ids import EID_MAX_BYTES, Eid

PORT = 4551
GROUP_4, GROUP_6 = "224.0.0.142", "ff02::142"

_VERSION = 2
_HEAD_BYTES = 4
_HAS_EID, _HAS_SERVICES, _HAS_BLOOM, _HAS_PERIOD = 1, 2, 4, 8
# A beacon has to fit one frame of any link.
BEACON_MAX_BYTES = 1280
SERVICES_MAX = 32


@dataclass(frozen=True)
class Service:
    """A convergence layer by its name, `tcpcl` say."""

    name: str
    parameters: str

    @property
    def port(self) -> int | None:
        """None when there is none, or none that can be."""
        for part in self.parameters.split(";"):
            key, _, value = part.partition("=")
            if key.strip() == "port" and value.isascii() and value.isdigit() and len(value) < 6:
                return int(value) if 0 < int(value) < 65536 else None
        return None


@dataclass(frozen=True)
class Beacon:
    """`eid` None: a short one that says only that somebody is there."""

    eid: Eid | None
    sequence: int
    services: tuple[Service, ...] = ()
    period_s: int | None = None

    def encode(self) -> bytes:
        flags = _HAS_EID if self.eid is not None else 0
        flags |= _HAS_SERVICES if self.services else 0
        flags |= _HAS_PERIOD if self.period_s is not None else 0
        out = bytearray((_VERSION, flags)) + self.sequence.to_bytes(2, "big")
        if self.eid is not None:
            out += _text(self.eid)
        if self.services:
            out += sdnv.encode(len(self.services))
            for service in self.services:
                out += _text(service.name) + _text(service.parameters)
        if self.period_s is not None:
            out += sdnv.encode(self.period_s)
        return bytes(out)

    @classmethod
    def parse(cls, data: bytes) -> Beacon:
        """WireError. What follows the beacon is not looked at."""
        if len(data) > BEACON_MAX_BYTES:
            raise WireError(f"beacon of {len(data)} bytes")
        if len(data) < _HEAD_BYTES or data[0] != _VERSION:
            raise WireError("not a beacon of version 2")
        flags, sequence = data[1], int.from_bytes(data[2:4], "big")
        reader = _Reader(data, _HEAD_BYTES)
        eid = Eid(reader.text(EID_MAX_BYTES)) if flags & _HAS_EID else None
        services = reader.services() if flags & _HAS_SERVICES else ()
        if flags & _HAS_BLOOM:
            reader.bytes(BEACON_MAX_BYTES)
        period_s = reader.number() if flags & _HAS_PERIOD else None
        return cls(eid, sequence, services, period_s)


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def number(self) -> int:
        found = sdnv.decode(self._data, self._at)
        if found is None:
            raise WireError("beacon that ends in a number")
        value, self._at = found
        return value

    def bytes(self, limit: int) -> bytes:
        count = self.number()
        if count > limit or self._at + count > len(self._data):
            raise WireError(f"beacon with {count} bytes that are not there")
        self._at += count
        return self._data[self._at - count : self._at]

    def text(self, limit: int = BEACON_MAX_BYTES) -> str:
        return self.bytes(limit).decode("ascii", "replace")

    def services(self) -> tuple[Service, ...]:
        count = self.number()
        if count > SERVICES_MAX:
            raise WireError(f"beacon with {count} services")
        return tuple(Service(self.text(), self.text()) for _ in range(count))


def _text(text: str) -> bytes:
    raw = text.encode("ascii")
    return sdnv.encode(len(raw)) + raw
