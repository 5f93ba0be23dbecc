"""All snapshots of the node: states of its VMs, checkpoints, what was imported.

A snapshot that was imported never makes a VM run. It mends what this node holds already, or goes
into custody (radics_mesh.hosting.custody), from where the VM may be recovered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from radics_mesh.clock import Wall
from radics_mesh.durable import write_durably
from radics_mesh.errors import MeshError, PeerError, UsageError
from radics_mesh.hosting.custody import Sort, State
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.hosting.table import Wanted
from radics_mesh.ids import Digest, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm import stored
from radics_mesh.vmm.exported import Exported
from radics_mesh.vmm.handoff_state import Tenure
from radics_mesh.vmm.manifest import Manifest
from radics_mesh.vmm.snapshot import Snapshot

# Digits of a digest that name a snapshot.
_DIGITS_MIN = 4

# States of VMs that go on from nothing any more.
_OVER = (Wanted.STOPPED.value, Wanted.EXITED.value)


class Tenant(Protocol):
    """A VM, as far as its snapshots go."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def tenure(self) -> Tenure: ...

    @property
    def snapshots(self) -> Snapshots: ...


@dataclass(frozen=True)
class Place:
    """A snapshot that is here; `manifest` is None when its file is damaged. `kept`: it is in
    custody."""

    vm_id: VmId
    digest: Digest
    manifest: Manifest | None
    kept: State | None = None


@dataclass(frozen=True)
class Entry:
    """`use`: "state" (what the VM goes on from), "old" (nobody needs it), or its sort in custody.
    `alone_bytes` would be free without it; `shared_bytes` others need, too."""

    place: Place
    name: str
    use: str
    alone_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class Verdict:
    """`damage`: what is wrong with it, by name; empty: every page is good."""

    entry: Entry
    damage: Sequence[str]


@dataclass(frozen=True)
class Import:
    """`mended`: it is what the VM goes on from here; else it is in custody now."""

    name: str
    manifest: Manifest
    mended: bool


class Shelf:
    """`tenants`: the VMs that are known here."""

    def __init__(self, host: Host, tenants: Mapping[VmId, Tenant]) -> None:
        self._host = host
        self._tenants = tenants

    # --- what there is --------------------------------------------------------------------------

    async def entries(self) -> list[Entry]:
        return await trio.to_thread.run_sync(self._entries)

    def _entries(self) -> list[Entry]:
        places = self._places()
        held = {p: p.manifest.page_hashes() for p in places if p.manifest is not None}
        shares = self._host.pages.shares_of(held)
        entries = []
        for place in places:
            share = shares.get(place)
            alone, shared = (share.alone_bytes, share.shared_bytes) if share else (0, 0)
            use = "state" if place.digest in self._needed(place.vm_id) else "old"
            if place.kept is not None:
                use = place.kept.sort.value
            entries.append(Entry(place, self._name(place), use, alone, shared))
        return entries

    def _places(self) -> list[Place]:
        places = []
        for path in sorted(self._host.root.glob(f"*/*{stored.SUFFIX}")):
            try:
                vm_id, digest = VmId.parse(path.parent.name), Digest(bytes.fromhex(path.stem))
            except (MeshError, ValueError):
                continue
            try:
                manifest, *_ = stored.parse(path.read_bytes())
            except FileNotFoundError:
                continue
            except (MeshError, OSError):
                places.append(Place(vm_id, digest, None))
            else:
                places.append(Place(vm_id, digest, manifest))
        return places + [self._kept_place(state) for state in self._host.custody.states()]

    def _kept_place(self, state: State) -> Place:
        try:
            manifest = self._host.custody.manifest(state.snapshot)
        except (MeshError, OSError):
            return Place(state.vm_id, state.snapshot, None, state)
        return Place(state.vm_id, state.snapshot, manifest, state)

    def _needed(self, vm_id: VmId) -> set[Digest | None]:
        tenant = self._tenants.get(vm_id)
        if tenant is None or tenant.state in _OVER:
            return set()
        tenure = tenant.tenure
        coming = tenure.certificate.snapshot if tenure.certificate else None
        return {tenure.snapshot, coming, tenure.announced}

    def _name(self, place: Place) -> str:
        tenant = self._tenants.get(place.vm_id)
        if tenant is not None:
            return tenant.name
        return place.kept.chain.name if place.kept is not None else place.vm_id.short

    def _chain(self, place: Place) -> Ownership | None:
        """As far as it is known here."""
        if place.kept is not None:
            return place.kept.chain
        tenant = self._tenants.get(place.vm_id)
        return tenant.tenure.chain if tenant is not None else None

    async def find(self, which: str) -> Entry:
        """By the first digits of its digest, or by its VM: then what that goes on from, or the only
        one there is. UsageError."""
        entries = await self.entries()
        if len(which) >= _DIGITS_MIN:
            found = [e for e in entries if e.place.digest.hex().startswith(which.lower())]
            if len(found) == 1:
                return found[0]
        named = [e for e in entries if which in (e.name, e.place.vm_id.text)]
        states = [e for e in named if e.use == "state"]
        if len(chosen := states or named) == 1:
            return chosen[0]
        if named:
            raise UsageError(f"{which} has {len(named)} snapshots here; name one by its digest")
        raise UsageError(f"no snapshot {which} here; `snapshots ls` shows those that are")

    # --- what is done with them -----------------------------------------------------------------

    def remove(self, entry: Entry) -> None:
        """UsageError: its VM needs it."""
        place = entry.place
        if place.kept is not None:
            self._host.custody.drop(place.kept)
            return
        if place.digest in self._needed(place.vm_id):
            raise UsageError(f"{entry.name} goes on from that snapshot; stop it to be rid of both")
        self._snapshots(place.vm_id).forget(place.digest)

    async def verify(self, entry: Entry) -> Verdict:
        """Read it as a whole: signature and every page."""
        place = entry.place
        snapshots, digest = self._snapshots(place.vm_id), place.digest
        try:
            if place.kept is not None:
                bad = await trio.to_thread.run_sync(self._host.custody.damaged, digest)
            else:
                bad = await snapshots.damaged(digest)
        except (MeshError, OSError) as error:
            return Verdict(entry, [str(error)])
        return Verdict(entry, [f"page {number} of its memory: {why}" for number, why in bad])

    async def export(self, entry: Entry, file: Path) -> int:
        """Write it to a file of its own; its size. GuestError: it is damaged."""
        chain = self._chain(entry.place)
        if chain is None:
            raise UsageError(f"the ownership of {entry.name} is not known here")
        snapshots, digest = self._snapshots(entry.place.vm_id), entry.place.digest
        verifier, now = self._host.me.verifier, self._host.me.clock.wall()
        kept, custody = entry.place.kept, self._host.custody
        if kept is None:
            await snapshots.load(digest)  # in the name of a member

        def work() -> int:
            packed = snapshots.packed(digest) if kept is None else custody.content(digest)
            whole = Snapshot.unpack(packed, verifier, now)
            content = Exported(chain, whole).pack()
            write_durably(file, content, mode=0o600)
            return len(content)

        try:
            return await trio.to_thread.run_sync(work)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror or error}") from error

    async def take_in(self, content: bytes) -> Import:
        """Keep what somebody exported. Nothing is started, whatever it is.

        WireError, PeerError: it is no good, or older than what is known of its VM.
        CapacityError, OSError: it cannot be kept.
        """
        verifier, now = self._host.me.verifier, self._host.me.clock.wall()
        exported = await trio.to_thread.run_sync(Exported.unpack, content, verifier, now)
        manifest, chain = exported.snapshot.manifest, exported.chain
        self._check_fresh(manifest, chain)
        if self._host.images.holds(manifest.image):
            architecture = self._host.images.architecture(manifest.image)
            exported.snapshot.check_fits(manifest.image, architecture)
        vm_id, digest = manifest.vm, manifest.digest
        if digest not in self._needed(vm_id):
            await trio.to_thread.run_sync(self._put_into_custody, exported, now)
            return Import(chain.name, manifest, mended=False)
        # Pages that are here and damaged are found now, and taken from the file.
        await trio.to_thread.run_sync(self._host.pages.check, manifest.page_hashes())
        await self._snapshots(vm_id).store(exported.snapshot)
        return Import(chain.name, manifest, mended=True)

    def _put_into_custody(self, exported: Exported, now: Wall) -> None:
        content, manifest = exported.snapshot.pack(), exported.snapshot.manifest
        state = State(
            vm_id=manifest.vm,
            snapshot=manifest.digest,
            sort=Sort.IMPORTED,
            chain=exported.chain,
            created=manifest.created,
            bytes=len(content),
            at=now,
        )
        self._host.custody.keep(state, content)

    def _check_fresh(self, manifest: Manifest, chain: Ownership) -> None:
        """PeerError for a state that cannot be this VM's last one any more."""
        tenant = self._tenants.get(manifest.vm)
        known = tenant.tenure.chain if tenant is not None else None
        if known is not None and known.birth != chain.birth:
            raise PeerError(f"{chain.name} was born otherwise than the VM that is known here")
        if manifest.digest in self._needed(manifest.vm):
            return
        for latest in (chain, known):
            if latest is not None and latest.epoch > manifest.epoch:
                if latest.snapshot == manifest.digest:
                    continue  # its holder may have nothing newer
                raise PeerError(
                    f"a state of {chain.name} at epoch {manifest.epoch},"
                    f" which is at epoch {latest.epoch} by now: an older one"
                )

    def _snapshots(self, vm_id: VmId) -> Snapshots:
        tenant = self._tenants.get(vm_id)
        if tenant is not None:
            return tenant.snapshots
        return Snapshots(self._host.vm_directory(vm_id), self._host.me, self._host.pages)
