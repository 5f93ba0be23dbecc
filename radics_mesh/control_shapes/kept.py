"""Files that a node keeps: snapshots of VMs, images."""

from __future__ import annotations

from typing import TypedDict


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
