"""Who holds each VM, and the proofs of it that are still to be fetched.

VM records are shown only when their publisher proves by a chain of ownership that it holds the VM
(radics_mesh.knowledge.holders). The chain is fetched in the background when such a record comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.broadcast import Broadcast
from radics_mesh.clock import Clock
from radics_mesh.directory.changes import Change, Changes
from radics_mesh.directory.known import Known
from radics_mesh.directory.refusals import Refusals
from radics_mesh.errors import PeerError, WireError
from radics_mesh.exchange import ObjectExchange
from radics_mesh.ids import NodeId, VmId
from radics_mesh.knowledge.book import Entry
from radics_mesh.knowledge.holders import Holders, Standing, claimed
from radics_mesh.membership import demand
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind, Record
from radics_mesh.roles import Role


@dataclass(frozen=True)
class VmEntry:
    """Where a VM is, by its holder's record and the chain that proves it."""

    entry: Entry
    ownership: Ownership

    @property
    def record(self) -> Record:
        return self.entry.record


class Vms:
    def __init__(
        self,
        known: Known,
        holders: Holders,
        objects: ObjectExchange,
        clock: Clock,
        changes: Changes,
        refusals: Refusals,
    ) -> None:
        # Chains that somebody still follows although another branch of the VM counts.
        self.lower: Broadcast[Ownership] = Broadcast()
        self._known = known
        self._holders = holders
        self._objects = objects
        self._clock = clock
        self._changes = changes
        self._refusals = refusals

    def known(self, vm_id: VmId) -> VmEntry | None:
        """The VM's record by its proven holder, stale or not, from local knowledge alone."""
        chain = self._holders.chain(vm_id)
        entries = self._known.entries(Kind.VM, vm_id.text)
        return VmEntry(entries[0], chain) if chain and entries else None

    def learn(self, packed: bytes) -> Ownership | None:
        """A chain of ownership from a bundle or a hand-off; None when refused (counted)."""
        try:
            chain = Ownership.parse(packed)
            self._take(chain)
        except (WireError, PeerError) as error:
            self._refusals.refuse(error)
            return None
        return chain

    def _take(self, chain: Ownership) -> None:
        self._check_forced(chain)
        if self._holders.learn(chain):
            self._changes.tell(Change(Kind.VM, chain.vm_id.text, chain.holder))
        elif self._holders.is_lower(chain):
            self.lower.tell(chain)

    def _check_forced(self, chain: Ownership) -> None:
        """PeerError when somebody took another owner's VM who may not operate: it was not handed
        over, and nobody was told to. Of those whose certificates are not known here nothing is
        known to speak against it."""
        birth = self._known.certificate(NodeId.of_key(chain.birth.holder))
        for link in chain.links:
            taken = link.how == "forced"
            taker = self._known.certificate(NodeId.of_key(link.holder)) if taken else None
            if taker is None or (birth is not None and birth.owner == taker.owner):
                continue
            demand(taker, Role.OPERATE, f"take {chain.name}, another owner's VM,")

    def lacks_proof(self, record: Record) -> bool:
        """Whether its chain is still to be fetched."""
        if record.kind is not Kind.VM or record.withdrawn:
            return False
        return self._holders.standing(record) is Standing.UNPROVED

    async def prove(self, subject: str) -> None:
        """Fetch the chains that unproved records of a VM name."""
        for entry in self._known.book.entries(Kind.VM, subject, self._clock.monotonic()):
            if not self.lacks_proof(entry.record):
                continue
            try:
                packed = await self._objects.get(claimed(entry.record))
                if packed is not None:
                    self._take(Ownership.parse(packed))
            except (WireError, PeerError) as error:
                self._refusals.refuse(error)
                continue
            if self._known.counts(entry.record):
                self._changes.tell(Change(*entry.record.slot))
