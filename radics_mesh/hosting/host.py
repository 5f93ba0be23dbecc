"""What all VMs of a node share: the node's services, its directories, its memory for guests."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import trio

from radics_mesh.config import EVERYONE, Config, Quota
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.errors import CapacityError, LinkError, PeerError, UsageError
from radics_mesh.hosting.custody import Custody
from radics_mesh.hosting.moving import Incoming
from radics_mesh.hosting.pool import Pool
from radics_mesh.hosting.table import Table
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.me import Me
from radics_mesh.membership import Certificate, demand
from radics_mesh.permits import FILE_NAME, NO_RULES, Party, Permits
from radics_mesh.roles import Role
from radics_mesh.sources.service import Sources
from radics_mesh.vmm.cgroup import Groups
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.manifest import Signer
from radics_mesh.vmm.pages import PageStore

SERVICE = "handoff"
AWAITED = "nothing starts before a peer has confirmed this start of the node (--require-witness)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Tenant(Protocol):
    """A VM, as far as the others must know of it."""

    @property
    def vm_id(self) -> VmId: ...

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> NodeId: ...

    @property
    def is_held(self) -> bool: ...

    @property
    def memory_held_bytes(self) -> int: ...

    @property
    def storage_bytes(self) -> int: ...

    @property
    def is_current(self) -> bool:
        """Whether its name is taken: it is held here and has not ended."""
        ...


@dataclass
class Host:
    agent: Agent
    sources: Sources
    directory: Directory
    images: ImageStore
    pages: PageStore
    me: Me
    config: Config
    table: Table
    incoming: Incoming
    # States of VMs that are not here: checkpoints kept for others, branches that gave way.
    custody: Custody
    # One directory a VM below this one.
    root: Path
    accelerator: str
    pool: Pool
    # None: QEMUs are held to their limits by other means.
    groups: Groups | None
    # For all guests together.
    memory_bytes: int
    journal: Callable[[str, str], None]
    # What people call a node.
    name_of: Callable[[NodeId], str]
    tenants: Callable[[], Iterable[Tenant]] = tuple
    # Whose VMs run here, by this node's owner.
    permits: Callable[[], Permits] = lambda: NO_RULES
    # This node's user hears what was denied.
    tell_denied: Callable[[str], None] = lambda text: None
    # What this node knows of the mesh, as text for its guests.
    mesh: Callable[[], bytes] = bytes
    # Have an image fetched from all who hold it, a node that surely does among them; its coming is
    # told by `Hosting.image_came`. None: it is asked of that node alone.
    seek_image: Callable[[Digest, NodeId], None] | None = None
    # Mail of a VM was copied for its keepers.
    copied: Callable[[], None] = lambda: None
    # Set once guests may start: with `require_witness` when a peer has confirmed this start.
    confirmed: trio.Event = field(default_factory=trio.Event)
    counters: Counter[str] = field(default_factory=Counter)

    def vm_directory(self, vm_id: VmId) -> Path:
        path = self.root / vm_id.text
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    @property
    def signer(self) -> Signer:
        return Signer(self.me.identity, self.me.chain)

    def key_of(self, node: NodeId) -> bytes:
        """A node's public key, as far as is known here; else empty."""
        return self.directory.key_of(node)

    def check_may_start(self) -> None:
        """LinkError while a witness is required and none has spoken."""
        if not self.confirmed.is_set():
            raise LinkError(AWAITED)

    def memory_used_bytes(self, but: VmId | None = None) -> int:
        return sum(t.memory_held_bytes for t in self.tenants() if t.vm_id != but)

    def certificate(self, node: NodeId) -> Certificate | None:
        """A member's, as far as one is known here."""
        return self.me.certificate_of(node) or self.directory.certificate(node)

    def party(self, node: NodeId) -> Party:
        return Party(node, self.certificate(node))

    def check_runs(self, owner: NodeId, image: Digest | None = None) -> None:
        """PeerError when this node, or the member in whose name a VM was born, may not run VMs, or
        when this node's rules are against it, or (if that is here) its image.

        Of a member whose certificate was never seen here nothing but a rule speaks against it."""
        self.me.demand(Role.RUN, "run VMs")
        party = self.party(owner)
        try:
            if party.certificate is not None:
                demand(party.certificate, Role.RUN, "have VMs run")
            self.permits().check_vm(party)
            if image is not None and self.images.holds(image):
                self.permits().check_image(party, self._signer_of(image))
        except PeerError as error:
            self.counters["denied"] += 1
            self.tell_denied(str(error))
            raise

    def _signer_of(self, image: Digest) -> Party | None:
        signed = self.images.manifest(image, self.me.verifier, self.me.clock.wall())
        return self.party(signed.builder) if signed is not None else None

    def check_room(
        self,
        memory_bytes: int,
        owner: NodeId,
        but: VmId | None = None,
        image: Digest | None = None,
    ) -> None:
        """CapacityError when a guest of that size does not fit beside the others, or its owner has
        as much here as it may; PeerError as of `check_runs`."""
        self.check_runs(owner, image)
        free = self.memory_bytes - self.memory_used_bytes(but)
        if memory_bytes > free:
            raise CapacityError(
                f"{memory_bytes >> 20} MiB for a guest, but {max(0, free) >> 20} of"
                f" {self.memory_bytes >> 20} MiB are free on {self.config.name}"
            )
        self._check_quota(memory_bytes, owner, but)

    def _check_quota(self, memory_bytes: int, owner: NodeId, but: VmId | None) -> None:
        quota = self.quota_of(owner)
        if quota is None:
            return
        others = [t for t in self.tenants() if t.is_held and t.owner == owner and t.vm_id != but]
        who = self._whose(quota, owner)
        if quota.vms is not None and len(others) >= quota.vms:
            raise CapacityError(f"the quota of {who} is {quota.vms} VMs, and it has {len(others)}")
        held_bytes = memory_bytes + sum(t.memory_held_bytes for t in others)
        if quota.memory_bytes is not None and held_bytes > quota.memory_bytes:
            raise CapacityError(
                f"the quota of {who} is {quota.memory_bytes >> 20} MiB of memory,"
                f" and with this VM it would have {held_bytes >> 20}"
            )
        self.check_storage(0, owner)

    def _whose(self, quota: Quota, owner: NodeId) -> str:
        by = f" (by {quota.member})" if quota.member.startswith(FILE_NAME) else ""
        return f"{self.name_of(owner)} on {self.config.name}{by}"

    def quota_of(self, owner: NodeId) -> Quota | None:
        """By this node's rules, else by the member's id or name, else everyone's; None: it has
        none."""
        ruled = self.permits().quota(self.party(owner))
        if ruled is not None:
            return ruled
        names = (owner.text, self.name_of(owner), EVERYONE)
        found = {quota.member: quota for quota in self.config.quotas}
        return next((found[name] for name in names if name in found), None)

    def check_storage(self, more_bytes: int, owner: NodeId) -> None:
        """CapacityError when an owner's VMs have more on disk here than they may."""
        quota = self.quota_of(owner)
        if quota is None or quota.storage_bytes is None:
            return
        held_bytes = more_bytes + sum(t.storage_bytes for t in self.tenants() if t.owner == owner)
        if held_bytes > quota.storage_bytes:
            raise CapacityError(
                f"the quota of {self._whose(quota, owner)} is"
                f" {quota.storage_bytes >> 20} MiB of storage, and its VMs have {held_bytes >> 20}"
            )

    def check_name(self, name: str) -> None:
        """UsageError for what no VM may be called, or one here is called already."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"not a VM's name: {name!r} (letters, digits, . _ -; at most 64)")
        if any(t.is_current and t.name == name for t in self.tenants()):
            raise UsageError(f"a VM named {name} is here already; stop it or choose another name")

    def free_name(self, name: str, vm_id: VmId) -> str:
        """What a VM that comes from elsewhere is called here."""
        taken = any(t.is_current and t.name == name for t in self.tenants() if t.vm_id != vm_id)
        return f"{name}-{vm_id.short}" if taken else name

    def random(self, count: int) -> bytes:
        return os.urandom(count)
