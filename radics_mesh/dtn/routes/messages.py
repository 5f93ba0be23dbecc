"""What neighbours tell each other about routing: one small signed bundle at a time.

To `dtn://<neighbour>/routing`, a msgpack array:

  version                1
  asks                   whether the sender wants to know what the receiver holds
  held                   digests of the bundles that the sender holds, one after the other
  arrived                digests of bundles that are with their destinations
  left                   for each of those, the seconds left of its life
  modules                name of a module → what it tells (Module.tell)

Items after these are of later versions and are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.routes import digests
from radics_mesh.dtn.routes.neighbours import ARRIVED_MAX, HELD_MAX
from radics_mesh.errors import WireError

# The endpoint that these messages are for.
SERVICE = "routing"
_VERSION = 1
_LIFE_MAX_S = 1 << 40


@dataclass(frozen=True)
class Summary:
    """`arrived`: digest and seconds left."""

    asks: bool
    held: Sequence[bytes] = ()
    arrived: Sequence[tuple[bytes, int]] = ()
    modules: Mapping[str, object] = field(default_factory=dict)

    def pack(self) -> bytes:
        arrived = self.arrived[:ARRIVED_MAX]
        return pack(
            [
                _VERSION,
                self.asks,
                digests.join(self.held[:HELD_MAX]),
                digests.join(one for one, _ in arrived),
                [left_s for _, left_s in arrived],
                dict(self.modules),
            ]
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """WireError."""
        fields = Fields.parse(data, "summary", limit_bytes=4 << 20)
        fields.integer(_VERSION, _VERSION)
        asks = fields.boolean()
        held = digests.split(fields.any(), HELD_MAX)
        arrived = digests.split(fields.any(), ARRIVED_MAX)
        lives = Fields(fields.items(limit=ARRIVED_MAX), "summary")
        left = []
        while lives.has_more:
            left.append(lives.integer(0, _LIFE_MAX_S))
        if len(left) != len(arrived):
            raise WireError("summary: not one life for each arrived bundle")
        return cls(asks, held, list(zip(arrived, left, strict=True)), fields.mapping())
