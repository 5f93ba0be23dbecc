"""One node's part in the hand-overs of one VM: inputs in, effects out.

The theory, the states and the effects are in radics_mesh.vmm.handoff_state, the two sides in
handoff_source and handoff_target, the messages in handoff_messages. Sans-IO: the shell
(radics_mesh.hosting.vm_moving) carries the effects out in order, and stops at a Persist that
failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from radics_mesh.errors import PeerError
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_messages import (
    Abort,
    Ack,
    Frozen,
    Higher,
    Message,
    Missing,
    Offer,
    Refuse,
    Release,
    Reserve,
    Staged,
)
from radics_mesh.vmm.handoff_state import (
    FROZEN_S,
    REPEAT_FROZEN_S,
    REPEAT_LAST_S,
    Effect,
    Fetch,
    KillAndReap,
    Phase,
    Tenure,
)
from radics_mesh.vmm.handoff_target import TargetSide, giver


class Handoff(TargetSide):
    """The state machine of one VM on one node. After each input, carry `take()` out."""

    @classmethod
    def born(cls, chain: Ownership, identity: Identity) -> Handoff:
        """A VM that begins here; persist its tenure before it starts."""
        tenure = Tenure(chain.vm_id, Phase.HOLDING, chain=chain, fence=chain.epoch)
        return cls(tenure, identity)

    def receive(self, message: Message, sender: NodeId, now: float) -> Sequence[Effect]:
        """Take a message in; PeerError when the sender may not say this, whatever it is."""
        handler = self._handlers().get(type(message))
        if handler is None:
            raise PeerError(f"{type(message).__name__} is no hand-off step")
        handler(message, sender, now)
        return self.take()

    def restore(self, now: float) -> Sequence[Effect]:
        """What a restart owes to promises made before it. (HOLDING: the shell starts the guest.)"""
        phase = self.tenure.phase
        if phase is Phase.FROZEN and self.tenure.one_way:
            self._let_go(now)
        elif phase is Phase.FROZEN:
            self._change(deadline=now + FROZEN_S, **self._repeat_from(now))
            self._send_frozen()
        elif phase is Phase.RELEASED:
            self._change(**self._repeat_from(now))
            self._emit(KillAndReap())
            self._send_release()
            if self.tenure.one_way:  # nobody may be able to ask for what was not sent any more
                self._send_all()
        elif self.tenure.certificate is not None:
            self._change(**self._repeat_from(now))
            self._fetch(self.tenure.certificate)
        return self.take()

    def next_deadline(self) -> float | None:
        """When `tick` must be called next."""
        moments = [self.tenure.deadline, self.tenure.repeat_at]
        return min((m for m in moments if m is not None), default=None)

    def tick(self, now: float) -> Sequence[Effect]:
        """Repeat what is unanswered; give up what has waited too long (never after RELEASED)."""
        if self.tenure.deadline is not None and now >= self.tenure.deadline:
            self._expire()
        elif self.tenure.repeat_at is not None and now >= self.tenure.repeat_at:
            last_s = REPEAT_FROZEN_S if self.tenure.phase is Phase.FROZEN else REPEAT_LAST_S
            longer = min(self.tenure.repeat_s * 2, last_s)
            self._change(repeat_at=now + longer, repeat_s=longer)
            self._repeat()
        return self.take()

    def _expire(self) -> None:
        if self.tenure.phase in (Phase.OFFERED, Phase.STAGING, Phase.FROZEN):
            self._give_up("the target did not answer in time")
        elif self.tenure.phase is Phase.RESERVED:
            self._unreserve()

    def _repeat(self) -> None:
        phase = self.tenure.phase
        if phase in (Phase.OFFERED, Phase.STAGING):  # the latter keeps the reservation
            self._send_offer()
        elif phase is Phase.FROZEN:
            self._send_frozen()
        elif phase is Phase.RELEASED:
            self._send_release()
        elif self.tenure.certificate is not None:
            self._fetch(self.tenure.certificate)

    def _fetch(self, certificate: Ownership) -> None:
        assert certificate.snapshot is not None
        self._emit(Fetch(giver(certificate), certificate.snapshot))

    def _handlers(self) -> dict[type[object], Callable[..., None]]:
        return {
            Offer: self.on_offer,
            Reserve: self.on_reserve,
            Refuse: self.on_refuse,
            Frozen: self.on_frozen,
            Staged: self.on_staged,
            Abort: self.on_abort,
            Release: self.on_release,
            Ack: self.on_ack,
            Missing: self.on_missing,
            Higher: self.on_higher,
        }
