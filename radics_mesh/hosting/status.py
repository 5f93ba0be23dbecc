"""What others are told about the VMs here."""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.hosting.commit import AT_ONCE, Commit
from radics_mesh.hosting.policy import AT_MOST_ONE, Policy
from radics_mesh.hosting.progress import Progress
from radics_mesh.ids import Digest, Eid, NodeId, VmId


@dataclass(frozen=True)
class FeedStatus:
    """A subscription of a running VM. `bytes_total`: payload that came for it here."""

    source: str
    publisher: NodeId | None
    local: bool
    bytes_total: int


@dataclass
class MoveStats:
    """What the last move cost, as seen from here. Seconds by this node's monotonic clock.

    At the source: `park_s` to stop the guest, `snapshot_s` to write its state durably, `pause_s`
    from the order to park until the release was durable, `answered_s` until the target's
    acknowledgement was here: an upper bound of the downtime by one clock (None: not yet).
    At the target: `resume_s` from the certificate's arrival to the guest's first word.
    """

    peer: NodeId
    outward: bool
    epoch: int
    one_way: bool = False
    snapshot_bytes: int = 0
    # Bytes of image, pages and manifest handed to bundles here, repeats included.
    sent_bytes: int = 0
    # How often the running guest was looked at; pages that it had the last time, and those of them
    # that are yet to be sent.
    rounds: int = 0
    pages: int = 0
    left_pages: int = 0
    # Of `sent_bytes`, what went while the guest ran.
    staged_bytes: int = 0
    park_s: float | None = None
    snapshot_s: float | None = None
    pause_s: float | None = None
    answered_s: float | None = None
    resume_s: float | None = None
    # Unix time at which it was finished here.
    at: float = 0.0


@dataclass(frozen=True)
class CheckpointStats:
    """The last checkpoint of a VM here: Unix time of its end, for how long its guest stood still,
    the size of its snapshot; `count`: how many there were since the node started."""

    at: float
    pause_s: float
    bytes: int
    count: int


@dataclass(frozen=True)
class VmStatus:
    """`state`: starting, running, waiting, moving, released, arriving, saved, stopped, exited,
    failed. Times are by this node's monotonic clock."""

    name: str
    vm_id: VmId
    state: str
    epoch: int
    image: Digest
    memory_bytes: int
    image_bytes: int
    # Size of the last snapshot's file, 0 if there was none yet.
    last_snapshot_bytes: int
    sources: tuple[str, ...]
    feeds: tuple[FeedStatus, ...]
    pinned: bool
    # An attempt to move is under way.
    moving: bool
    # How often it was moved in its life.
    moves: int
    # How often QEMU or the node died under it here.
    restarts: int
    # How often it was set back to an earlier state: then its outputs may have come twice.
    branch: int
    # When the guest started here, None while it does not run.
    started_at: float | None
    # When it came here by a move, None if it began here.
    moved_at: float | None
    # Seconds from the order to start to the guest's first word, None while that is not known.
    boot_s: float | None = None
    pid: int | None = None
    # Exit status of the program, once it has ended.
    status: int | None = None
    note: str = ""
    # Of a move from here that is under way.
    progress: Progress | None = None
    # Where its program would like to be (radics_mesh.hosting.papers.Settings.hint).
    hint: str = ""
    commit: Commit = AT_ONCE
    policy: Policy = AT_MOST_ONE
    last_checkpoint: CheckpointStats | None = None
    last_move: MoveStats | None = None
    # EIDs with which it exchanged bundles, and payload bytes each way.
    sent_bytes: dict[Eid, int] = field(default_factory=dict)
    received_bytes: dict[Eid, int] = field(default_factory=dict)
