"""One line of a bundle store's index, with a checksum over it.

A bundle's bytes have a CRC of their own; without one for the line beside them a flipped bit in a
destination or a lifetime would go unnoticed, and the bundle elsewhere.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from radics_mesh.dtn.wire.bundle import ORDINARY
from radics_mesh.ids import NONE_EID

INDEX_COLUMNS = (
    "key, id, destination, priority, lifetime_s, age_us, received_wall, received_uptime,"
    " previous, signer, size, flags, report_to, custodian, total, row_crc"
)


class Row(NamedTuple):
    """As stored: the columns of INDEX_COLUMNS. `row_crc` None: an earlier version wrote it."""

    key: int
    id: str
    destination: str
    priority: int
    lifetime_s: int
    age_us: int
    received_wall: float
    received_uptime: float
    previous: bytes | None
    signer: bytes | None
    size: int
    flags: int = ORDINARY
    report_to: str = NONE_EID
    custodian: str = NONE_EID
    total: int = 0
    row_crc: int | None = None

    def checked(self) -> Row:
        """The same with its checksum."""
        return self._replace(row_crc=self._crc())

    @property
    def is_intact(self) -> bool:
        return self.row_crc is None or self.row_crc == self._crc()

    def _crc(self) -> int:
        """Over Python's plain values: a damaged one may have any of SQLite's types."""
        return zlib.crc32(repr(tuple(map(_plain, self[:-1]))).encode())


def _plain(value: object) -> object:
    if isinstance(value, str):
        return str(value)
    return bytes(value) if isinstance(value, bytes) else value
