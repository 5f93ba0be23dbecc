"""Bundles: stored, received, looked after, carried."""

from __future__ import annotations

from typing import TypedDict


class BundleRow(TypedDict):
    id: str
    source: str
    destination: str
    payload_bytes: int
    age_s: float
    expires_in_s: float
    # waiting for a route, forwarding, local (waits for its endpoint), ...
    state: str


class BundleCounts(TypedDict):
    stored: int
    stored_bytes: int
    quota_bytes: int
    # received, forwarded, delivered, expired, refused by reason, ...
    counters: dict[str, int]


class Received(TypedDict):
    """One bundle for `recv`. Asking for the next one takes it out of the store for good."""

    id: str
    source: str
    # The node that signed it; None: a foreign peer's, unsigned.
    signer: str | None
    # Of a large one a part, from `offset` on; the others follow.
    payload: bytes
    offset: int
    # Bytes of the whole payload.
    total: int


class SightingRow(TypedDict):
    """What one status report told of a bundle."""

    # Name of the node that told it, or its EID.
    node: str
    # received, custody, forwarded, delivered or deleted
    what: str
    # Why it was deleted, in words; empty otherwise.
    reason: str
    # Unix time by that node's clock; None: it has none.
    at: float | None
    # Identity of the fragment that it was told of; None: of the whole.
    fragment: str | None


class TransferRow(TypedDict):
    node: str
    sent_bytes: int
    bytes: int


class BundleInfo(TypedDict):
    """A bundle that is stored here, in full."""

    row: BundleRow
    # bulk, normal or expedited
    priority: str
    lifetime_s: int
    # Names of nodes, or EIDs; None: nobody, or not known.
    signer: str | None
    came_from: str | None
    custodian: str | None
    report_to: str | None
    # custody; report on received, ...; not to be fragmented; administrative
    asks: list[str]
    # Bytes of its payload (of the whole, if it is a fragment).
    payload_total: int
    # What reports have told of it, in order.
    sightings: list[SightingRow]
    # While it is being handed on: to whom, how many bytes have left, and of how many.
    transfers: list[TransferRow]


class CopyRow(TypedDict):
    """A copy of a bundle as far as is known here. `since`: Unix time, None: not known."""

    node: str
    since: float | None
    # How that is known: stored here, a report, handed on.
    known_by: str


class HopRow(TypedDict):
    """A neighbour, and what becomes of a bundle with it."""

    node: str
    # takes it next, is on its way, has refused it, is full, leads nowhere
    verdict: str


class BundleWhy(TypedDict):
    """Where a bundle is and what it waits for."""

    id: str
    destination: str
    # None: it is not stored here.
    bundle: BundleInfo | None
    copies: list[CopyRow]
    hops: list[HopRow]
    # Nodes that this node tries to reach, and contacts that its plan expects, in words.
    expected: list[str]
    stored_bytes: int
    quota_bytes: int
    # The same of its source; None: one source may have all.
    source_bytes: int
    source_quota_bytes: int | None
    expires_in_s: float | None
    # What it waits for, or what would let it go on, in words.
    unblock: list[str]


class Outward(TypedDict):
    """What was written to a stick. `left`: what did not fit; `confirmed`: what had arrived by an
    earlier one; `problems`: what is wrong with single files."""

    written: int
    written_bytes: int
    # Undamaged on the stick already.
    there: int
    left: int
    left_bytes: int
    confirmed: int
    problems: list[str]


class Inward(TypedDict):
    """What was taken from a stick; `known`: bundles that this node had before."""

    taken: int
    known: int
    cards: int
    confirmed: int
    problems: list[str]
