"""Who holds each VM: the best chain of ownership known, and whose VM records count. Sans-IO.

A chain proves itself, so it is learned from anywhere: DHT, bundles, hand-offs. Of two chains of
one VM the one that beats the other is the truth by now (`Ownership.beats`): the longer one, or,
where they part because the VM was recovered or its holder set back to an older state of its disk,
the higher branch. Whoever still follows a lower one is to be told (`is_lower`).

A VM record counts when the chain that it names by digest belongs to its VM, ends at its publisher
with the epoch that it states, and is not outdated by a longer one.
"""

from __future__ import annotations

import enum
from collections import OrderedDict

from radics_mesh.errors import WireError
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Record

VMS_MAX = 2048
CHAINS_MAX = 4096


class Standing(enum.Enum):
    """Whether a VM record counts."""

    COUNTS = "counts"
    UNPROVED = "unproved"  # its chain is not known here (yet)
    OUTDATED = "outdated"  # the VM has been handed on or recovered since
    FALSE = "false"  # its chain says something else


class Holders:
    def __init__(self) -> None:
        self._best: OrderedDict[VmId, Ownership] = OrderedDict()
        self._chains: OrderedDict[Digest, Ownership] = OrderedDict()

    def learn(self, chain: Ownership) -> bool:
        """Take a chain into account; whether it is the best of its VM by now, and news."""
        self._chains[chain.digest] = chain
        if len(self._chains) > CHAINS_MAX:
            self._chains.popitem(last=False)
        known = self._best.get(chain.vm_id)
        if known is not None and not chain.beats(known):
            return False
        self._best[chain.vm_id] = chain
        self._best.move_to_end(chain.vm_id)
        if len(self._best) > VMS_MAX:
            self._best.popitem(last=False)
        return True

    def is_lower(self, chain: Ownership) -> bool:
        """Whether another branch of its VM is known that counts for more."""
        best = self._best.get(chain.vm_id)
        return best is not None and best.overrules(chain)

    def chain(self, vm_id: VmId) -> Ownership | None:
        return self._best.get(vm_id)

    def holder(self, vm_id: VmId) -> NodeId | None:
        chain = self._best.get(vm_id)
        return chain.holder if chain else None

    def standing(self, record: Record) -> Standing:
        try:
            vm_id, digest = VmId.parse(record.subject), claimed(record)
        except WireError:
            return Standing.FALSE
        chain = self._chains.get(digest)
        if chain is None:
            return Standing.UNPROVED
        proved = (chain.vm_id, chain.holder) == (vm_id, record.publisher)
        if not proved or record.body.get("epoch") != chain.epoch:
            return Standing.FALSE
        best = self._best.get(vm_id)
        if best is not None and best.digest != digest:
            return Standing.OUTDATED
        return Standing.COUNTS


def claimed(record: Record) -> Digest:
    """The chain that a VM record names; WireError if it names none."""
    digest = record.body.get("ownership")
    if not isinstance(digest, bytes):
        raise WireError("a vm record without ownership")
    return Digest(digest)
