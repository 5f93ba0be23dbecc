"""The giving side of a hand-off (theory: radics_mesh.vmm.handoff_state)."""

from __future__ import annotations

from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_messages import (
    Abort,
    Ack,
    Frozen,
    Missing,
    Offer,
    Refuse,
    Release,
    Reserve,
    Staged,
    Terms,
)
from radics_mesh.vmm.handoff_state import (
    FROZEN_S,
    OFFER_S,
    Core,
    Failed,
    Forget,
    KillAndReap,
    Park,
    Phase,
    Send,
    SendBlob,
    Stage,
    Unpark,
)

# An answer of the target is awaited, and the attempt may still be given up.
_WAITING = (Phase.OFFERED, Phase.STAGING, Phase.FROZEN)


class SourceSide(Core):
    """OFFER, STAGE, FREEZE, RELEASE, and giving up before RELEASE."""

    def offer(
        self,
        target: NodeId,
        terms: Terms,
        now: float,
        *,
        key: bytes = b"",
        one_way: bool = False,
        patience_s: float = OFFER_S,
    ) -> None:
        """Start an attempt to move the VM to `target`, whose public key a one-way move needs."""
        if self.tenure.phase is not Phase.HOLDING:
            raise UsageError(f"the VM cannot move now: it is {self.tenure.phase}")
        if target == self.me:
            raise UsageError("the VM is here already")
        if one_way and not key:
            raise UsageError("a one-way move needs the target's public key; is it known here?")
        self._become(
            Phase.FREEZING if one_way else Phase.OFFERED,
            attempt=self.tenure.attempt + 1,
            target=target,
            target_key=key,
            terms=terms,
            one_way=one_way,
            patience_s=patience_s,
        )
        self._persist()  # rule 6: the attempt number, before anyone hears of it
        if one_way:
            self._emit(Park())
        else:
            self._become(Phase.OFFERED, deadline=now + patience_s, **self._repeat_from(now))
            self._send_offer()

    def on_reserve(self, message: Reserve, sender: NodeId, now: float) -> None:
        if not self.hears(message.attempt, sender, now) or self.tenure.phase is not Phase.OFFERED:
            return
        if NodeId.of_key(message.key) != sender:
            raise PeerError("a reservation with the key of another node")
        if message.has_image:
            deadline, repeat = self._patience(now), self._repeat_from(now)
            self._become(Phase.STAGING, target_key=message.key, deadline=deadline, **repeat)
            self._emit(Stage())

    def staged_enough(self) -> None:
        """What is left to send is worth the pause. No news unless it is being staged."""
        if self.tenure.phase is Phase.STAGING:
            self._become(Phase.FREEZING)
            self._emit(Park())

    def hears(self, attempt: int, sender: NodeId, now: float) -> bool:
        """Whether this comes from the target of the present attempt, which therefore lives."""
        if not self._answers(attempt, sender, *_WAITING):
            return False
        self._renew(self._patience(now))
        return True

    def _patience(self, now: float) -> float:
        """Until when to wait. A guest that stands still waits no longer than it was told to."""
        frozen = self.tenure.phase is Phase.FROZEN and self.tenure.patience_s <= OFFER_S
        return now + (FROZEN_S if frozen else self.tenure.patience_s)

    def parked(self, snapshot: Digest, terms: Terms, now: float) -> None:
        """The guest is parked and `snapshot` is durable here."""
        if self.tenure.phase is not Phase.FREEZING:
            raise UsageError(f"parked while {self.tenure.phase}")
        older, stored = self.tenure.snapshot, self.tenure.stored | {snapshot}
        self._become(
            Phase.FROZEN,
            snapshot=snapshot,
            stored=stored,
            terms=terms,
            **self._repeat_from(now),
        )
        self._renew(self._patience(now))
        # Durable before the process ends, else a crash in between would leave an older state only.
        self._persist()
        if self.tenure.one_way:
            self._let_go(now)
        else:
            self._emit(SendBlob(self._target(), snapshot))
            self._send_frozen()
        if older is not None and older != snapshot:
            self._forget(older)

    def park_failed(self, reason: str) -> None:
        """The guest would not park, or its snapshot could not be written; it goes on."""
        self._become(Phase.HOLDING)
        self._emit(Unpark(None), Failed(self.tenure.attempt, reason))
        self._emit(Send(self._target(), Abort(self.tenure.vm_id, self.tenure.attempt)))

    def checkpoint(self, snapshot: Digest) -> None:
        """A newer snapshot is durable here; from now on the VM restarts from it."""
        if self.tenure.phase not in (Phase.HOLDING, Phase.OFFERED, Phase.STAGING):
            raise UsageError(f"no checkpoint while {self.tenure.phase}")
        older, stored = self.tenure.snapshot, self.tenure.stored | {snapshot}
        self._change(snapshot=snapshot, stored=stored)
        self._persist()
        if older is not None and older != snapshot:
            self._forget(older)

    def on_staged(self, message: Staged, sender: NodeId, now: float) -> None:
        if not self._answers(message.attempt, sender, Phase.FROZEN):
            return
        if message.snapshot != self.tenure.snapshot:
            raise PeerError("staged another snapshot than was sent")
        self._release(now)

    def on_missing(self, message: Missing, sender: NodeId, now: float) -> None:
        phase, chain = self.tenure.phase, self.tenure.chain
        if phase not in (*_WAITING, Phase.RELEASED) or chain is None:
            return
        if sender != self.tenure.target:
            raise PeerError(f"{sender.short} asks for a VM that is not moving to it")
        frozen = phase in (Phase.FROZEN, Phase.RELEASED)
        if (
            frozen and message.digest == self.tenure.snapshot
        ) or message.digest == chain.birth.image:
            self._emit(SendBlob(sender, message.digest, message.pieces))
        if phase is not Phase.RELEASED:
            self._renew(self._patience(now))

    def on_refuse(self, message: Refuse, sender: NodeId, now: float) -> None:
        if self._answers(message.attempt, sender, *_WAITING):
            self._give_up(f"{sender.short} refused: {message.reason}")

    def cancel(self, reason: str) -> None:
        """Give the attempt up if that is still possible; else it takes its course."""
        if self.tenure.phase in _WAITING:
            self._give_up(reason)

    def on_ack(self, message: Ack, sender: NodeId, now: float) -> None:
        chain = self.tenure.chain
        if self.tenure.phase is not Phase.RELEASED or chain is None:
            return
        if message.epoch != chain.epoch:
            return
        if sender != self.tenure.target or message.chain_digest != chain.digest:
            raise PeerError(f"acknowledgement of another release by {sender.short}")
        self._acknowledged()

    def _release(self, now: float) -> None:
        """Rules 1 and 2: gone, then durable, then said; from here on no way back."""
        chain, snapshot = self.tenure.chain, self.tenure.snapshot
        assert chain is not None
        assert snapshot is not None
        released = chain.released(self._identity, self.tenure.target_key, snapshot)
        self._become(Phase.RELEASED, chain=released, fence=released.epoch, **self._repeat_from(now))
        self._emit(KillAndReap())
        self._persist()
        self._send_release()

    def _let_go(self, now: float) -> None:
        """One way: all that the target needs goes along, since nobody could ask for it."""
        self._release(now)
        self._send_all()

    def _send_all(self) -> None:
        snapshot = self.tenure.snapshot
        assert snapshot is not None
        self._emit(SendBlob(self._target(), self._image()))
        self._emit(SendBlob(self._target(), snapshot))

    def _acknowledged(self) -> None:
        """Rule 3 ends: only a forwarding pointer stays."""
        snapshot = self.tenure.snapshot
        self._become(Phase.NONE, snapshot=None, target=None, target_key=b"", terms=None)
        self._persist()
        if snapshot is not None:
            self._forget(snapshot)

    def _give_up(self, reason: str) -> None:
        frozen = self.tenure.phase is Phase.FROZEN
        self._become(Phase.HOLDING)
        if frozen:
            self._persist()
            self._emit(Unpark(self.tenure.snapshot))
        self._emit(Send(self._target(), Abort(self.tenure.vm_id, self.tenure.attempt)))
        self._emit(Failed(self.tenure.attempt, reason))

    def _acknowledged_by(self, chain: Ownership) -> None:
        """What only the holder of our release could say acknowledges it (an ACK may be lost)."""
        released = self.tenure.phase is Phase.RELEASED and self.tenure.chain is not None
        if released and self.tenure.chain is not None and chain.extends(self.tenure.chain):
            self._acknowledged()

    def _answers(self, attempt: int, sender: NodeId, *phases: Phase) -> bool:
        """Whether this is an answer to the present attempt; PeerError if by the wrong node."""
        if self.tenure.phase not in phases or attempt != self.tenure.attempt:
            return False
        if sender != self.tenure.target:
            raise PeerError(f"{sender.short} answers what it was not asked")
        return True

    def _target(self) -> NodeId:
        assert self.tenure.target is not None
        return self.tenure.target

    def _image(self) -> Digest:
        assert self.tenure.chain is not None
        return self.tenure.chain.birth.image

    def _forget(self, snapshot: Digest) -> None:
        self._change(stored=self.tenure.stored - {snapshot})
        self._emit(Forget(snapshot))

    def _send_offer(self) -> None:
        tenure = self.tenure
        assert tenure.chain is not None
        assert tenure.terms is not None
        message = Offer(tenure.vm_id, tenure.attempt, tenure.chain, tenure.terms)
        self._emit(Send(self._target(), message))

    def _send_frozen(self) -> None:
        tenure = self.tenure
        assert tenure.chain is not None
        assert tenure.terms is not None
        assert tenure.snapshot is not None
        self._emit(
            Send(
                self._target(),
                Frozen(tenure.vm_id, tenure.attempt, tenure.chain, tenure.terms, tenure.snapshot),
            )
        )

    def _send_release(self) -> None:
        assert self.tenure.chain is not None
        self._emit(Send(self._target(), Release(self.tenure.vm_id, self.tenure.chain)))
