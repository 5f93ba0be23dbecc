"""Branches of one VM in the hand-off: recovering it here, and giving way to a branch that counts.

A recovery (radics_mesh.ownership) makes a second branch while the first may still live: the price
of the policy `restartable`, and of an operator's `recover --force`. What the hand-off's rules
guarantee, they guarantee within one branch; between branches:

 7. Who meets a chain that beats its own lets its guest execute no more. First the guest is parked
    and its state kept as a divergent snapshot, then it is durable that another branch counts.
 8. From then on only what beats that branch's beginning is activated. No more than its beginning
    is remembered: had we kept all that we heard of, a release to us among it would seem old.
 9. A node recovers only what it does not hold, by a chain that beats all that it knows.

A holder that meets a longer chain than its own was set back to an older state of its disk: nobody
else could have signed the release. It gives way in the same manner.
"""

from __future__ import annotations

from typing import Any

from radics_mesh.errors import UsageError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_messages import Higher
from radics_mesh.vmm.handoff_source import SourceSide
from radics_mesh.vmm.handoff_state import Diverge, Failed, KillAndReap, Phase, Send, Start

_ENDS_A_MOVE: dict[str, Any] = {"target": None, "target_key": b"", "terms": None, "one_way": False}


class BranchSide(SourceSide):
    """What both sides of a hand-off need to know of branches."""

    def met(self, chain: Ownership) -> None:
        """Somebody has this chain of the VM. No news unless it beats what counts here."""
        tenure = self.tenure
        ours = tenure.certificate or tenure.chain
        if ours is None or not chain.beats(ours):
            return
        grown = chain.extends(ours)
        if tenure.phase is Phase.RELEASED:
            if grown and not chain.links[len(ours.links)].recovery:
                self._acknowledged()  # only its holder could hand it on
                return
        elif tenure.phase in (Phase.NONE, Phase.RESERVED) and tenure.certificate is None and grown:
            return  # it went its way, and an epoch merely heard of blocks nothing
        self._give_way(chain.beginning_that_beats(ours))

    def _give_way(self, pointer: Ownership) -> None:
        """Rules 7 and 8."""
        tenure = self.tenure
        changes: dict[str, Any] = {
            "chain": pointer,
            "fence": pointer.before.epoch,
            "certificate": None,
            "snapshot": None,
        }
        if tenure.phase in (Phase.NONE, Phase.RESERVED):
            waits = None if tenure.certificate else tenure.repeat_at
            self._change(**changes, repeat_at=waits)
            self._persist()
            return
        assert tenure.chain is not None
        if tenure.phase is not Phase.HOLDING and tenure.phase is not Phase.RELEASED:
            self._emit(Failed(tenure.attempt, "another branch of it counts"))
        self._emit(Diverge(tenure.chain, pointer, tenure.snapshot))
        self._become(Phase.NONE, **changes, **_ENDS_A_MOVE)
        # While it is not durable, the parked guest is what it would have to go on from.
        self._persist()
        self._emit(KillAndReap())
        if tenure.snapshot is not None:
            self._forget(tenure.snapshot)

    def recover(self, chain: Ownership, snapshot: Digest) -> None:
        """Hold the VM from now on, by a recovery that we have signed, from a snapshot that is here.

        UsageError: it is held here, or the chain counts for less than what is known.
        """
        tenure = self.tenure
        known = tenure.certificate or tenure.chain
        if tenure.phase not in (Phase.NONE, Phase.RESERVED, Phase.RELEASED):
            raise UsageError(f"the VM need not be recovered: it is {tenure.phase} here")
        if known is not None and not chain.beats(known):
            raise UsageError("a branch of the VM is known here that counts for more")
        if chain.holder != self.me or not chain.is_recovered or chain.snapshot != snapshot:
            raise UsageError("not a recovery by this node from this snapshot")
        released = tenure.snapshot if tenure.phase is Phase.RELEASED else None
        self._become(
            Phase.HOLDING,
            chain=chain,
            fence=chain.epoch,
            snapshot=snapshot,
            stored=tenure.stored | {snapshot},
            certificate=None,
            offerer=None,
            offered_attempt=0,
            announced=None,
            **_ENDS_A_MOVE,
        )
        self._persist()
        self._emit(Start(snapshot))
        if released is not None and released != snapshot:
            self._forget(released)

    def on_higher(self, message: Higher, sender: NodeId, now: float) -> None:
        """A chain proves itself, whoever shows it."""
        self.met(message.chain)

    def _is_new(self, chain: Ownership) -> bool:
        """Rules 5 and 8: it is above all that this node has itself activated or released."""
        known = self.tenure.chain
        if known is None:
            return chain.epoch > self.tenure.fence
        return chain.beats(known) or (chain == known and chain.epoch > self.tenure.fence)

    def _tell_higher(self, sender: NodeId) -> None:
        """Who does not know yet that another branch counts hears of it."""
        chain = self.tenure.chain
        assert chain is not None
        self._emit(Send(sender, Higher(chain.vm_id, chain)))
