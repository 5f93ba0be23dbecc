"""The mesh and its nodes, and all of it at once (status)."""

from __future__ import annotations

from typing import TypedDict

from radics_mesh.control_shapes.bundles import BundleCounts
from radics_mesh.control_shapes.vms import MoveRow, VmRow


class NodeInfo(TypedDict):
    """The answering node itself."""

    id: str
    name: str
    mesh: str
    version: str
    # Where it listens: "host:port".
    addresses: list[str]
    arch: str
    cores: int
    accelerator: str | None
    uptime_s: float
    # Bundle bytes over convergence layers since the start.
    bytes_in: int
    bytes_out: int
    scheduler: bool
    # What its wall clock is worth: trusted, mesh or none.
    time: str
    # The newest mesh key held here, how many are live, and who has not confirmed it (names).
    key_epoch: int
    keys_live: int
    key_waits: list[str]


class NodeRow(TypedDict):
    """A node of the mesh, as the directory knows it."""

    id: str
    name: str
    addresses: list[str]
    arch: str
    cores: int
    # CPU share, 0 to 1.
    load: float
    # Bytes for guests: free and all together.
    memory_free: int
    memory: int
    vms: int
    # None: there is no session with it now.
    rtt_s: float | None
    connected: bool
    # alive, suspect, unreachable or left, and for how long; None: it is not in this node's view.
    state: str | None
    state_for_s: float | None
    age_s: float
    stale: bool
    self: bool


class PeerRow(TypedDict):
    """A node that this one watches by probes of its own and the words of others."""

    id: str
    name: str
    # alive, suspect, unreachable or left
    state: str
    for_s: float
    # Since it last answered this node, itself or over a helper; None: not since
    # this node was started.
    heard_s: float | None
    address: str | None
    # Its own count of how often it had to contradict a suspicion.
    incarnation: int
    # How many members say that they cannot reach it.
    accusers: int


class MemberRow(TypedDict):
    """Somebody who was let in, by its chain of invitations."""

    id: str
    name: str
    # Empty: the first member, or not known.
    invited_by: str
    # When its certificate expires, by the wall clock; None: not known.
    until: float | None
    may_invite: bool
    # Of observe, publish, run, invite, operate; none: not known.
    roles: list[str]
    owner: str
    # It has expired, and counts until `grace_until`.
    stale: bool
    grace_until: float | None
    revoked: bool
    # "genesis": the holder of the mesh's first key.
    revoked_by: list[str]
    # Not it but this one, who stands above it, was revoked.
    through: str
    reason: str
    self: bool
    # The mesh key that it says it has; None: not known.
    key_epoch: int | None
    # Whether it has confirmed this node's newest; of a revoked one, whether it may have that.
    has_key: bool


class SourceRow(TypedDict):
    name: str
    # Name of the publishing node.
    publisher: str
    local: bool
    # Bytes a second; None: not known.
    rate: float | None
    # Messages so far; None for a remote source.
    messages: int | None
    subscribers: int | None
    age_s: float
    stale: bool


class EventRow(TypedDict):
    """A line of the node's journal. Numbers grow by one."""

    number: int
    time: float
    # info, warning, error
    level: str
    text: str


class KnockRow(TypedDict):
    """A stranger that waits for `approve`."""

    code: str
    name: str
    address: str
    age_s: float


class Status(TypedDict):
    node: NodeInfo
    nodes: list[NodeRow]
    vms: list[VmRow]
    moves: list[MoveRow]
    bundles: BundleCounts
    sources: list[SourceRow]
    # The latest, oldest first; at most 100.
    events: list[EventRow]
