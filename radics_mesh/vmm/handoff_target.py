"""The taking side of a hand-off (theory: radics_mesh.vmm.handoff_state)."""

from __future__ import annotations

from radics_mesh.errors import PeerError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_branches import BranchSide
from radics_mesh.vmm.handoff_messages import (
    Abort,
    Ack,
    Frozen,
    Offer,
    Refuse,
    Release,
    Reserve,
    Staged,
)
from radics_mesh.vmm.handoff_state import (
    RESERVED_S,
    Consider,
    Fetch,
    Phase,
    Send,
    Start,
    Tenure,
)


class TargetSide(BranchSide):
    """RESERVE, STAGED, ACTIVATE. Built on the other side, because an OFFER or a RELEASE that comes
    back to a node acknowledges what that node released."""

    def __init__(self, tenure: Tenure, identity: Identity) -> None:
        super().__init__(tenure, identity)

    def on_offer(self, message: Offer, sender: NodeId, now: float) -> None:
        if self._may_offer(message.chain, sender):
            self._emit(Consider(sender, message.attempt, message.chain, message.terms))

    def on_frozen(self, message: Frozen, sender: NodeId, now: float) -> None:
        if not self._may_offer(message.chain, sender):
            return
        if (self.tenure.offerer, self.tenure.offered_attempt) == (sender, message.attempt):
            self._announced(message.snapshot, now)
            return
        # The reservation was lost (crash, time): is there still room?
        offer = Consider(sender, message.attempt, message.chain, message.terms, message.snapshot)
        self._emit(offer)

    def _announced(self, snapshot: Digest, now: float) -> None:
        """The guest stands still until this snapshot is here."""
        assert self.tenure.offerer is not None
        self._change(announced=snapshot, deadline=now + RESERVED_S)
        if snapshot in self.tenure.stored:
            self._say_staged()
        else:
            self._emit(Fetch(self.tenure.offerer, snapshot))
            self._say_reserved(has_image=True)

    def reserve(self, offer: Consider, now: float, *, has_image: bool) -> None:
        """There is room, and the shell holds it. Called again when the image has come."""
        if self.tenure.phase not in (Phase.NONE, Phase.RESERVED):
            return
        same = (offer.source, offer.attempt) == (self.tenure.offerer, self.tenure.offered_attempt)
        if not same:
            self._unreserve()
        self._become(
            Phase.RESERVED,
            offerer=offer.source,
            offered_attempt=offer.attempt,
            deadline=now + RESERVED_S,
        )
        if offer.snapshot is not None and has_image:
            self._announced(offer.snapshot, now)
        else:
            self._say_reserved(has_image=has_image)

    def decline(self, offer: Consider, reason: str) -> None:
        """There is no room."""
        self._emit(Send(offer.source, Refuse(self.tenure.vm_id, offer.attempt, reason)))

    def stored(self, snapshot: Digest) -> None:
        """This snapshot is whole, verified and durable here (also told after a restart)."""
        self._change(stored=self.tenure.stored | {snapshot})
        certificate = self.tenure.certificate
        if certificate is not None and certificate.snapshot == snapshot:
            self._activate(certificate)
        elif self.tenure.phase is Phase.RESERVED and self.tenure.announced == snapshot:
            self._say_staged()

    def on_abort(self, message: Abort, sender: NodeId, now: float) -> None:
        reserved = self.tenure.phase is Phase.RESERVED
        if reserved and message.attempt == self.tenure.offered_attempt:
            if sender != self.tenure.offerer:
                raise PeerError(f"{sender.short} aborts the offer of another node")
            self._unreserve()

    def on_release(self, message: Release, sender: NodeId, now: float) -> None:
        chain = message.chain
        if sender != giver(chain):
            raise PeerError(f"{sender.short} releases a VM that it did not hold")
        if chain.holder != self.me:
            raise PeerError("a release to another node")
        if not self._is_new(chain):
            if self.tenure.chain is not None and self.tenure.chain.extends(chain):
                self._send_ack(chain)
            else:
                self._tell_higher(sender)
            return
        self.met(chain)
        if self.tenure.phase not in (Phase.NONE, Phase.RESERVED):
            raise PeerError(f"a release of a VM that is {self.tenure.phase} here")
        if self.tenure.certificate not in (None, chain):
            raise PeerError("two releases of one epoch")
        self._accept(chain, now)

    def _accept(self, chain: Ownership, now: float) -> None:
        """It is ours now, whether or not we can start it yet."""
        assert chain.snapshot is not None
        if chain.snapshot in self.tenure.stored:
            self._activate(chain)
            return
        self._become(Phase.NONE, certificate=chain, **self._repeat_from(now))
        self._persist()
        self._emit(Fetch(giver(chain), chain.snapshot))

    def _activate(self, chain: Ownership) -> None:
        """Rules 4 and 5: the fence is durable before the guest starts."""
        snapshot = chain.snapshot
        assert snapshot is not None
        self._become(
            Phase.HOLDING,
            chain=chain,
            fence=chain.epoch,
            snapshot=snapshot,
            certificate=None,
            offerer=None,
            offered_attempt=0,
            announced=None,
        )
        self._persist()
        self._emit(Start(snapshot))
        self._send_ack(chain)

    def _may_offer(self, chain: Ownership, sender: NodeId) -> bool:
        """Whether this offer counts. PeerError if it is not the sender's VM, False if outdated."""
        if chain.holder != sender:
            raise PeerError(f"{sender.short} offers a VM that it does not hold")
        known = self.tenure.chain
        if known is not None and known.beats(chain):
            if known.overrules(chain):
                self._tell_higher(sender)
            return False
        self._acknowledged_by(chain)
        self.met(chain)
        if self.tenure.phase not in (Phase.NONE, Phase.RESERVED):
            raise PeerError(f"an offer of a VM that is {self.tenure.phase} here")
        return self.tenure.certificate is None

    def _say_reserved(self, *, has_image: bool) -> None:
        tenure = self.tenure
        assert tenure.offerer is not None
        message = Reserve(tenure.vm_id, tenure.offered_attempt, self._identity.public, has_image)
        self._emit(Send(tenure.offerer, message))

    def _say_staged(self) -> None:
        tenure = self.tenure
        assert tenure.offerer is not None
        assert tenure.announced is not None
        message = Staged(tenure.vm_id, tenure.offered_attempt, tenure.announced)
        self._emit(Send(tenure.offerer, message))

    def _send_ack(self, chain: Ownership) -> None:
        message = Ack(self.tenure.vm_id, chain.epoch, chain.digest)
        self._emit(Send(giver(chain), message))

    def _unreserve(self) -> None:
        announced = self.tenure.announced
        self._become(Phase.NONE, offerer=None, offered_attempt=0, announced=None)
        if announced is not None and announced in self.tenure.stored:
            self._forget(announced)


def giver(chain: Ownership) -> NodeId:
    """Who held the VM before the chain's last link."""
    return chain.before.holder
