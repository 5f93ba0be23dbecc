"""Virtual machines: their state, moves, ownership."""

from __future__ import annotations

from typing import Any, TypedDict


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
