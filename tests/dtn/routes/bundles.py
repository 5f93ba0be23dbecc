"""Bundles and nodes for the tests of routing modules."""

from __future__ import annotations

import itertools

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid, NodeId

A, B, C, D, E = NODES = tuple(NodeId(bytes((n,)) * 20) for n in range(5))
NOW = Monotonic(1000.0)
_numbers = itertools.count(1)


def held(
    destination: Eid,
    *,
    source: NodeId = A,
    previous: NodeId | None = None,
    sequence: int | None = None,
    size_bytes: int = 1000,
    copies: int = 0,
    custodian: Eid | None = None,
) -> Held:
    number = next(_numbers)
    one = Held(
        bundle_id=BundleId(source.eid, 1, number if sequence is None else sequence),
        destination=destination,
        priority=1,
        lifetime_s=3600,
        age_us=0,
        received=NOW,
        previous=previous,
        signer=source,
        size_bytes=size_bytes,
        key=number,
        copies=copies,
    )
    if custodian is not None:
        one.custodian = custodian
    return one
