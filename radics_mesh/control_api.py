"""What one may ask a running node over its control socket, and what the answers look like.

The table REQUESTS is the whole contract: names, parameters with their types and defaults, and
whether the answer is one mapping or a stream of them. The control server checks every request
against it before a handler sees it; the node registers one handler for each name; command line and
status screen build on the shapes below. Answers hold msgpack's types only. Ids are in text form,
moments in Unix seconds, ages in seconds, and `None` means "not known".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from radics_mesh.errors import UsageError


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
    age_s: float
    stale: bool
    self: bool


class CheckpointsRow(TypedDict):
    """A VM's checkpoints. `every_s` 0: none by the clock. Of the last one: Unix time, seconds for
    which the guest stood still, bytes; None: there was none since the node started."""

    every_s: float
    commit_output: bool
    at: float | None
    pause_s: float | None
    bytes: int | None


class VmRow(TypedDict):
    name: str
    id: str
    # created, running, parked, saved, moving, released, exited, failed, ...: hosting's own word.
    state: str
    epoch: int
    # Name of the node that hosts it, and whether that is the answering node.
    node: str
    local: bool
    image: str
    memory: int
    accelerator: str | None
    sources: list[str]
    # Source bytes a second, all sources together.
    rate: float
    moves: int
    pinned: bool
    uptime_s: float | None
    # Seconds from the order to start to the guest's first word here; None: not known, or remote.
    boot_s: float | None
    # The process id of its QEMU, while it runs here.
    pid: int | None
    # Exit status of the program, once it has ended.
    status: int | None
    # Of a move away from here: the share of its pages that the target has; None: none, not known.
    moved_share: float | None
    # Why it failed or waits, in words.
    note: str | None
    # How often it was set back to an earlier state; then what it sent may have come twice.
    branch: int
    # None: not of this node.
    checkpoints: CheckpointsRow | None
    # What becomes of it when its node is lost; None: not known.
    policy: str | None


class QemuInfo(TypedDict):
    """A QEMU as the kernel sees it."""

    pid: int
    # None: it does not answer, as when its guest is parked.
    version: str | None
    command: list[str]
    accelerator: str
    user: str
    no_new_privileges: bool
    seccomp_filter: bool
    # The kernel's mask of what it may as if it were root.
    capabilities: int
    # None: there is none.
    limits: dict[str, int | None]
    cgroup: str
    # Bytes of memory, with its part of what it shares.
    pss: int
    cpu_s: float


class VmInspection(TypedDict):
    """The answer to inspect. Limits of 0: the node's own, or none."""

    vm: VmRow
    # Name of the member in whose name the VM was born.
    owner: str
    # "no", "on-failure", "on-failure:N" or "always"; how often in a row that was done.
    restart: str
    begun_anew: int
    branch: int
    # Of one processor.
    cpu_percent: int
    # Outputs of the program.
    messages_s: int
    # Bytes: log, mail, snapshots here.
    storage_limit: int
    storage: int
    # member, vms, memory_bytes, storage_bytes; None: no quota, or no bound.
    quota: dict[str, Any] | None
    # vms, memory_bytes, storage_bytes of the same owner here.
    owner_uses: dict[str, int]
    # None: it does not run.
    qemu: QemuInfo | None


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


class EventRow(TypedDict):
    """A line of the node's journal. Numbers grow by one."""

    number: int
    time: float
    # info, warning, error
    level: str
    text: str


class MoveRow(TypedDict):
    """The last move of a VM that left this node or came here, as seen from here; seconds.

    Left: `pause_s` from the order to park until the release was durable, `answered_s` until the
    target's word that it runs was here, which bounds the downtime by one clock. Came: `resume_s`
    from the certificate's arrival to the guest's first word.
    """

    name: str
    # Name of the other node.
    peer: str
    outward: bool
    epoch: int
    snapshot_bytes: int
    sent_bytes: int
    pause_s: float | None
    answered_s: float | None
    resume_s: float | None
    # Unix time of its end, 0 while it goes on.
    at: float


class Status(TypedDict):
    node: NodeInfo
    nodes: list[NodeRow]
    vms: list[VmRow]
    moves: list[MoveRow]
    bundles: BundleCounts
    sources: list[SourceRow]
    # The latest, oldest first; at most 100.
    events: list[EventRow]


class KnockRow(TypedDict):
    """A stranger that waits for `approve`."""

    code: str
    name: str
    address: str
    age_s: float


class Moved(TypedDict):
    """The answer to migrate: what was moved where, and what it cost."""

    name: str
    source: str
    target: str
    epoch: int
    bytes: int
    # Park to first instruction on the other side; None when it was one-way.
    downtime_s: float | None


class Progress(TypedDict):
    """How far a move is. `phase`: offered, staging, freezing, frozen. `share`: of its pages, those
    that the target has; None: not known yet."""

    target: str
    phase: str
    rounds: int
    share: float | None
    bytes: int


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


class Link(TypedDict):
    epoch: int
    holder: str
    snapshot: str | None
    # born, released, mandated or forced.
    how: str


class StateRow(TypedDict):
    """A state of a VM: checkpoint, divergent, or own of one that is held there."""

    node: str
    kind: str
    epoch: int
    # By the clocks of its host and the answering node.
    age_s: float
    bytes: int
    # How its digest begins.
    snapshot: str
    # What its keeper may do with it, in words.
    mandate: str


class Whereabouts(TypedDict):
    """The answer to where: the ownership chain, oldest first."""

    name: str
    id: str
    node: str
    state: str
    # Of what its holder said; None: it went there from here, and has not been heard of since.
    age_s: float | None
    stale: bool
    chain: list[Link]
    # What becomes of it when its node is lost; None: not known.
    policy: str | None


class SnapshotRow(TypedDict):
    """A state of a VM on this node. `use`: state (what the VM goes on from), old (nobody needs
    it), damaged; of one in custody checkpoint, divergent, imported.
    Bytes on disk: `alone` only this one needs, `shared` others need, too."""

    vm: str
    id: str
    digest: str
    epoch: int
    use: str
    pages: int
    alone: int
    shared: int
    age_s: float | None


class ImageRow(TypedDict):
    """An image that is here, on its way here, or known at other nodes."""

    # Its digest in hex.
    image: str
    name: str
    arch: str
    size: int
    # here, coming (`have` of `pieces` are here), elsewhere
    state: str
    have: int
    pieces: int
    pinned: bool
    # VMs of this node that use it.
    vms: list[str]
    # Other nodes that hold it, as far as is known here.
    holders: list[str]
    used_s: float | None


class ImageInfo(TypedDict):
    """What is signed of an image that is here."""

    image: str
    name: str
    arch: str
    size: int
    pieces: int
    # Name or id of the member that signed for it.
    builder: str
    created: float
    memory: int
    arguments: list[str]
    sources: list[str]
    # Empty: it says nothing of it.
    restart: str
    policy: str
    pinned: bool


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


class PlannedContact(TypedDict):
    """One direction. Names of nodes, or words of the plan; Unix times, bytes a second."""

    # "from" is a word of Python's, so it is not listed here: the node that sends.
    to: str
    start: float
    end: float
    rate: float
    delay_s: float
    # It goes on now.
    now: bool


class PlanRow(TypedDict):
    file: str
    # The routes that go by it.
    patterns: list[str]
    # Contacts in all, also those that are over.
    all: int
    # Words that stand for no node that is known here.
    unknown: list[str]
    contacts: list[PlannedContact]


class ContactRow(TypedDict):
    """A neighbour: one in reach (up), one that was (down), or one that is being looked for."""

    node: str
    id: str
    # up, down, sought or expected
    state: str
    # Unix time of the last change; None: it was never in reach. For expected: when.
    since: float | None
    address: str
    rtt_s: float | None
    # Of all contacts with it since this node was started.
    contacts: int
    bytes_in: int
    bytes_out: int
    bundles_out: int
    # Bytes a second, lately.
    rate_in: float
    rate_out: float
    in_flight: int
    refused: int


@dataclass(frozen=True)
class Request:
    """One row of the table. A parameter without default must be given."""

    types: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    stream: bool = False


_TEXT = (str,)
_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, type(None))
_NAMED = Request({"name": _TEXT})

REQUESTS: Mapping[str, Request] = {
    # -> Status; watch: one Status each interval_s, the first at once.
    "status": Request(),
    "watch": Request({"interval_s": _NUMBER}, {"interval_s": 1.0}, stream=True),
    # -> {"vms": [VmRow]}: this node's first, then what the directory knows.
    "ps": Request(),
    # -> {"nodes": [NodeRow]}, {"sources": [SourceRow]}
    "nodes": Request(),
    "sources": Request(),
    # -> {"bundles": [BundleRow], "counts": BundleCounts}
    "bundles": Request(),
    # `id`: a bundle's identity, or the end of it. -> BundleInfo; {"id": str}; BundleWhy
    "bundle": Request({"id": _TEXT}),
    "bundle_delete": Request({"id": _TEXT}),
    "bundle_why": Request({"id": _TEXT}),
    # -> {"contacts": [ContactRow]}
    "contacts": Request(),
    # Contact plans that routes go by, with what is not over and begins within `hours`.
    # -> {"plans": [PlanRow]}
    "plan": Request({"hours": _NUMBER}, {"hours": 24.0}),
    # In the place of the one that is in force. `file` is an absolute path. -> PlanRow
    "plan_load": Request({"file": _TEXT}),
    # Stream of SightingRow: what is told of a bundle by whoever was asked to; ends when it was
    # delivered or deleted.
    "track": Request({"id": _TEXT}, stream=True),
    # The same so far, in the order of what happened. -> {"id": str, "sightings": [SightingRow]}
    "path": Request({"id": _TEXT}),
    # Stream of EventRow, oldest first; follow: new ones as they come.
    "events": Request({"follow": (bool,)}, {"follow": False}, stream=True),
    # -> {"knocks": [KnockRow]}
    "knocks": Request(),
    # -> {"name": str, "id": str}
    "approve": Request({"code": _TEXT}),
    # -> {"token": str, "uses": int, "expires": Unix s, "addresses": ["host:port"]}
    "invite": Request({"uses": (int,), "hours": _NUMBER}, {"uses": 1, "hours": 24.0}),
    # `image` is an absolute path, or an image's digest in hex or the first digits. What is not said
    # (no memory, arguments, sources) is as the image's manifest says. -> {"vm": VmRow}
    "run": Request(
        {
            "image": _TEXT,
            "name": _TEXT,
            "sources": (list,),
            "memory_bytes": (int,),
            "pin": (bool,),
            "arguments": (list,),
            # "K=V" each.
            "environment": (list,),
            # Its descriptor 0 reads what `feed` gives; else it is at its end.
            "stdin": (bool,),
            # See CheckpointsRow.
            "checkpoint_every_s": _NUMBER,
            "commit_output": (bool,),
            # See VmInspection; empty, as the policy: what the image says, else no.
            "restart": _TEXT,
            "cpu_percent": (int,),
            "messages_s": (int,),
            "storage_bytes": (int,),
            # at-most-one, restartable[:SECONDS]; names or ids of nodes that keep its checkpoints.
            "policy": _TEXT,
            "keep_at": (list,),
            # Of a replicated one: on so many nodes.
            "count": (int,),
        },
        {
            "sources": [],
            "memory_bytes": 0,
            "pin": False,
            "arguments": [],
            "environment": [],
            "stdin": False,
            "checkpoint_every_s": 0.0,
            "commit_output": False,
            "restart": "",
            "cpu_percent": 0,
            "messages_s": 0,
            "storage_bytes": 0,
            "policy": "",
            "keep_at": [],
            "count": 1,
        },
    ),
    # -> {"name": str}, once it is durable; waits while the VM's program reads nothing.
    "feed": Request({"name": _TEXT, "data": (bytes,), "end": (bool,)}, {"end": False}),
    # -> {"snapshots": [SnapshotRow], "used": bytes, "quota": bytes}
    "snapshots": Request(),
    # `snapshot`: digest in hex or its first digits, or a VM's name.
    # -> {"snapshot": SnapshotRow, "freed": bytes}
    "snapshot_rm": Request({"snapshot": _TEXT}),
    # All of them when none is named. -> {"verdicts": [{"snapshot": SnapshotRow, "damage": [str]}]}
    "snapshot_verify": Request({"snapshot": _TEXT}, {"snapshot": ""}),
    # `file` is an absolute path. -> {"snapshot": SnapshotRow, "bytes": int}
    "snapshot_export": Request({"snapshot": _TEXT, "file": _TEXT}),
    # -> {"snapshot": SnapshotRow, "mended": whether a VM here goes on from it}
    "snapshot_import": Request({"file": _TEXT}),
    # -> {"images": [ImageRow], "used": bytes, "quota": bytes}
    "images": Request(),
    # `image` is its digest in hex or the first digits. -> ImageInfo
    "image": Request({"image": _TEXT}),
    # `file` is an absolute path. With nothing wished, what its builder signed is kept, if that lies
    # beside it. -> ImageInfo
    "image_add": Request(
        {
            "file": _TEXT,
            "name": _TEXT,
            "memory_bytes": (int,),
            "arguments": (list,),
            "sources": (list,),
            "restart": _TEXT,
            "policy": _TEXT,
            "pin": (bool,),
        },
        {
            "name": "",
            "memory_bytes": 0,
            "arguments": [],
            "sources": [],
            "restart": "",
            "policy": "",
            "pin": False,
        },
    ),
    # -> {"image": hex}; pull and push return when it is there.
    "image_rm": Request({"image": _TEXT}),
    "image_pin": Request({"image": _TEXT, "pinned": (bool,)}, {"pinned": True}),
    "image_pull": Request({"image": _TEXT, "pin": (bool,)}, {"pin": False}),
    "image_push": Request({"image": _TEXT, "to": _TEXT, "pin": (bool,)}, {"pin": False}),
    # Stream of {"data": bytes}: the guest's output, from what is kept of it on.
    "logs": Request({"name": _TEXT, "follow": (bool,)}, {"follow": False}, stream=True),
    # -> {"name": str, "threads": [[str]]}: for each thread a line about it, and its callers.
    "stack": _NAMED,
    # -> {"name": str, "image": str, "snapshot": str}: the files of a VM that is saved here.
    "saved": _NAMED,
    # -> {"vm": VmRow}
    "stop": _NAMED,
    "kill": _NAMED,
    # -> VmInspection
    "inspect": _NAMED,
    "save": _NAMED,
    "resume": _NAMED,
    # None: one now; else so often from now on, 0 not any more. -> {"name": str,
    # "checkpoints": CheckpointsRow}
    "checkpoint": Request({"name": _TEXT, "every_s": _MAYBE_NUMBER}, {"every_s": None}),
    # -> Moved
    "migrate": Request(
        {
            "name": _TEXT,
            # One of the two: a node, or the source whose publisher it is.
            "to": _TEXT,
            "near": _TEXT,
            "one_way": (bool,),
            # Bytes a second at most, and how long an answer may take; None: as configured, as ever.
            "limit": _MAYBE_NUMBER,
            "patience_s": _MAYBE_NUMBER,
        },
        {"to": "", "near": "", "one_way": False, "limit": None, "patience_s": None},
    ),
    # Give up the move that is under way. -> {"vm": VmRow}
    "migrate_cancel": _NAMED,
    # Stream of Progress while the VM moves away.
    "progress": Request({"name": _TEXT}, stream=True),
    # Bundles as files in the directory with this absolute path; `to`: nodes' names, none: for all.
    # -> Outward, Inward, {"id": str, "name": str}
    "carry_out": Request({"directory": _TEXT, "to": (list,)}, {"to": []}),
    "carry_in": Request({"directory": _TEXT}),
    "carry_card": Request({"directory": _TEXT}),
    # One way, all of it onto the stick. `key`: the target's public key in hex, else its card's.
    # -> {"moved": Moved, "carried": Outward}
    "migrate_via": Request(
        {"name": _TEXT, "to": _TEXT, "directory": _TEXT, "key": _TEXT}, {"key": ""}
    ),
    # -> {"name", "id", "holder", "epoch", "how", "policy", "state", "heard_s" (None: never),
    # "open": [str], "states": [StateRow], "ways": [str]}
    "doctor": _NAMED,
    # Without `force` an error that says what it would lose. `snapshot`: how its digest begins;
    # empty: the latest. -> {"vm": VmRow, "lost": [str]}
    "recover": Request(
        {"name": _TEXT, "force": (bool,), "snapshot": _TEXT}, {"force": False, "snapshot": ""}
    ),
    # As for run. -> {"vm": VmRow}
    "policy": Request({"name": _TEXT, "policy": _TEXT, "keep_at": (list,)}, {"keep_at": []}),
    # -> {"name": str, "snapshot": str}
    "discard": Request({"name": _TEXT, "snapshot": _TEXT}),
    # -> Whereabouts
    "where": _NAMED,
    # -> {"name": str, "lines": [str]}: the last decision with its cost terms.
    "why": _NAMED,
    # `file` is an absolute path, `rate` messages a second. -> {"source": SourceRow}
    "publish": Request({"name": _TEXT, "file": _TEXT, "rate": _MAYBE_NUMBER}, {"rate": None}),
    # `destination`: an EID, or NAME/SERVICE with a node's name or id or a VM's name.
    # -> {"id": str}, once durable
    # The payload is in the request, or in the `file` with this absolute path. `report`: on which
    # things, as in SightingRow; `priority`: as in BundleInfo.
    "send": Request(
        {
            "destination": _TEXT,
            "payload": (bytes,),
            "file": _TEXT,
            "lifetime_s": (int, type(None)),
            "custody": (bool,),
            "report": (list,),
            # Only the destination node can read it; an error where its key is not known.
            "encrypt": (bool,),
            "priority": _TEXT,
        },
        {
            "payload": b"",
            "file": "",
            "lifetime_s": None,
            "custody": False,
            "report": [],
            "encrypt": False,
            "priority": "normal",
        },
    ),
    # Stream of {"number", "id", "rtt_s" (None: no echo in time), "bytes", "intact", "from"}.
    "ping": Request(
        {
            "destination": _TEXT,
            "count": (int,),
            "interval_s": _NUMBER,
            "timeout_s": _NUMBER,
            "size": (int,),
        },
        {"count": 5, "interval_s": 1.0, "timeout_s": 60.0, "size": 56},
        stream=True,
    ),
    # As send, and waits for the reply. -> Received; an error after `timeout_s`.
    "request": Request(
        {"destination": _TEXT, "payload": (bytes,), "timeout_s": _NUMBER}, {"timeout_s": 60.0}
    ),
    # Stream of Received; ends after `count`, None: never.
    "recv": Request(
        {"service": _TEXT, "count": (int, type(None))},
        {"count": None},
        stream=True,
    ),
}


def checked(name: str, params: object) -> dict[str, Any]:
    """The parameters of a request, complete and of the right types; UsageError otherwise."""
    request = REQUESTS.get(name)
    if request is None:
        raise UsageError(f"this node knows no request {name[:40]!r}; are both of one version?")
    if not isinstance(params, dict):
        raise UsageError(f"{name}: parameters must be a mapping")
    unknown = sorted(str(key) for key in params if key not in request.types)
    if unknown:
        raise UsageError(f"{name}: unknown parameter {unknown[0][:40]!r}")
    complete = {**request.defaults, **params}
    for key, types in request.types.items():
        if key not in complete:
            raise UsageError(f"{name}: parameter {key!r} is missing")
        if not _is_one_of(complete[key], types):
            raise UsageError(f"{name}: {key} must not be {repr(complete[key])[:40]}")
    return complete


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    """isinstance, but True is no number, nor NaN or infinity, and a list is a list of texts."""
    if isinstance(value, bool) and bool not in types:
        return False
    if isinstance(value, list):
        return list in types and all(isinstance(item, str) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, types)
