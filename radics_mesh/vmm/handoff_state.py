"""The hand-off of a VM between two nodes: its theory, its states, what a core asks of its shell.

THEORY. At every moment at most one node may let a VM's guest execute, and the state of the VM is
never lost while its holder lives. Messages may be lost, repeated, reordered and delayed for days;
nodes crash at any instant and come back with what was durable. So nothing may depend on a message
arriving, on its order or on time; what counts is what is durable, and in what order.

One node's view of one VM is a Tenure. Its phases, and who may execute the guest in them:

  NONE      not ours. With a chain: a forwarding pointer. With a certificate: ours, as soon as
            the snapshot that it names is here.                                        nobody
  HOLDING   we hold it.                                                                we may
  OFFERED   we hold it and look for room at a target (OFFER sent, RESERVE awaited).    we may
  STAGING   there is room, and pages go ahead of the guest, which runs on.             we may
  FREEZING  the guest is being parked and its snapshot written.                        nobody
  FROZEN    that snapshot is durable here and on its way; STAGED awaited.              nobody
  RELEASED  the certificate {epoch + 1, target, snapshot} is durable. Irrevocable.     nobody
  RESERVED  room is held for a VM that another node holds.                             nobody

  source   HOLDING -offer-> OFFERED -reserve-> STAGING -staged enough-> FREEZING -parked->
           FROZEN -staged-> RELEASED -ack-> NONE
           OFFERED, STAGING, FREEZING, FROZEN -refuse, deadline, cancel-> HOLDING
           one way: HOLDING -> FREEZING -parked-> RELEASED          (nothing is waited for)
  target   NONE -offer-> RESERVED -snapshot stored-> says STAGED;  -release-> HOLDING, says ACK
           RESERVED -abort, deadline-> NONE

Rules, each of which a test removes to see an invariant break (tests/exploration):
 1. RELEASED is durable before the certificate is sent, the guest's process reaped before that.
 2. After RELEASED nothing times out: the certificate is sent again until it is acknowledged.
 3. The snapshot of a release is kept until the acknowledgement.
 4. A target starts with a certificate that names it, from exactly the snapshot that this names.
 5. The epoch must be above any that the node itself has activated or released (the fence), and
    the chain must grow out of the one that it knows; HOLDING is durable before the start.
    An epoch merely heard of blocks nothing. (Between branches: handoff_branches, rules 7 to 9.)
 6. Attempt numbers never repeat, so an answer to an abandoned attempt is no answer to this one.

Only NONE, HOLDING, FROZEN and RELEASED are durable. A reservation may be forgotten at any time:
a certificate is honoured without one. What is staged is only effort spared: the snapshot that
FROZEN and a certificate name counts, and that is here, whole and verified, or it is not. Only a
holder offers or releases, so an OFFER or RELEASE that grows out of our own release also
acknowledges it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.identity import KEY_BYTES, Identity
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import CHAIN_MAX_BYTES, Ownership
from radics_mesh.vmm.handoff_messages import Message, Terms

VERSION = 2
# How long a source waits, its guest running, for a sign of life of the target. Who moves a VM over
# slow bundles says a longer time (`Tenure.patience_s`).
OFFER_S = 120.0
# How long a parked guest waits for STAGED before it goes on here. Shorter: less harm by a target
# that vanished; longer: slower links finish. Each request for missing pieces renews it.
FROZEN_S = 60.0
# How long a target holds room for a guest that does not come.
RESERVED_S = 600.0
# What is unanswered is sent again after the first, doubled up to the last: bundles wait in stores
# by themselves, so repeats only replace what expired or was refused.
REPEAT_FIRST_S = 2.0
REPEAT_LAST_S = 300.0
# While the guest stands still, time counts for more than bundles.
REPEAT_FROZEN_S = 4.0


class Phase(enum.StrEnum):
    NONE = "none"
    HOLDING = "holding"
    OFFERED = "offered"
    STAGING = "staging"
    FREEZING = "freezing"
    FROZEN = "frozen"
    RELEASED = "released"
    RESERVED = "reserved"


# What a phase is after a crash, when it is not itself: the guest parked for FREEZING is still
# here, as memory, and the shell starts it again.
_DURABLE_AS = {
    Phase.OFFERED: Phase.HOLDING,
    Phase.STAGING: Phase.HOLDING,
    Phase.FREEZING: Phase.HOLDING,
    Phase.RESERVED: Phase.NONE,
}


@dataclass(frozen=True)
class Tenure:
    """What one node knows and has promised about one VM."""

    vm_id: VmId
    phase: Phase = Phase.NONE
    # The newest chain that this node was part of (holder or releaser), or the beginning of the
    # branch to which it gave way.
    chain: Ownership | None = None
    # The highest epoch in `chain` that this node has itself activated or released.
    fence: int = 0
    # The last attempt number that it has used as a source.
    attempt: int = 0
    # The target of this attempt or release; its public key once it is known.
    target: NodeId | None = None
    target_key: bytes = b""
    # HOLDING: where to start from if no guest is alive. FROZEN, RELEASED: what the target needs.
    snapshot: Digest | None = None
    # Names us as the holder; waits for its snapshot.
    certificate: Ownership | None = None

    # No answer is waited for. FROZEN is as durable as RELEASED is then: on to it.
    one_way: bool = False
    terms: Terms | None = None

    # --- lost in a crash ---
    # As a source: how long each answer may take.
    patience_s: float = OFFER_S
    # As a target: who offered, in which attempt, which snapshot it announced.
    offerer: NodeId | None = None
    offered_attempt: int = 0
    announced: Digest | None = None
    # Snapshots of this VM that are whole, verified and durable here; the shell tells after a crash.
    stored: frozenset[Digest] = frozenset()
    deadline: float | None = None
    repeat_at: float | None = None
    repeat_s: float = REPEAT_FIRST_S

    def durable(self) -> Tenure:
        """The part that survives: what `pack` writes."""
        kept = self.phase in (Phase.FROZEN, Phase.RELEASED)
        return Tenure(
            vm_id=self.vm_id,
            phase=_DURABLE_AS.get(self.phase, self.phase),
            chain=self.chain,
            fence=self.fence,
            attempt=self.attempt,
            target=self.target if kept else None,
            target_key=self.target_key if kept else b"",
            snapshot=self.snapshot,
            certificate=self.certificate,
            one_way=self.one_way and kept,
            terms=self.terms if kept else None,
        )

    def pack(self) -> bytes:
        held = self.durable()
        return pack(
            [
                VERSION,
                bytes(held.vm_id),
                held.phase.value,
                held.chain.pack() if held.chain else b"",
                held.fence,
                held.attempt,
                held.target_key,
                bytes(held.snapshot or b""),
                held.certificate.pack() if held.certificate else b"",
                held.terms.fields() if held.terms else [],
                held.one_way,
            ]
        )

    @classmethod
    def parse(cls, data: bytes) -> Tenure:
        """Inverse of `pack`; WireError or PeerError for anything else."""
        fields = Fields.parse(data, "tenure")
        version = fields.integer(1, VERSION)
        vm_id = VmId(fields.blob(20))
        try:
            phase = Phase(fields.text())
        except ValueError as error:
            raise WireError(f"tenure: {error}") from error
        tenure = cls(
            vm_id=vm_id,
            phase=phase,
            chain=_chain(fields.blob(limit=CHAIN_MAX_BYTES)),
            fence=fields.integer(),
            attempt=fields.integer(),
            target_key=(key := fields.blob(limit=KEY_BYTES)),
            target=NodeId.of_key(key) if key else None,
            snapshot=_digest(fields.blob(limit=32)),
            certificate=_chain(fields.blob(limit=CHAIN_MAX_BYTES)),
            terms=Terms.of_fields(terms) if (terms := fields.items()) else None,
            one_way=version > 1 and fields.boolean(),
        )
        fields.end()
        return tenure


def _chain(packed: bytes) -> Ownership | None:
    return Ownership.parse(packed) if packed else None


def _digest(raw: bytes) -> Digest | None:
    return Digest(raw) if raw else None


# --- effects: what the shell must do, in order -------------------------------------------------


@dataclass(frozen=True)
class Persist:
    """Make this durable. Nothing after it may happen before; on failure drop the rest."""

    tenure: Tenure


@dataclass(frozen=True)
class Send:
    to: NodeId
    message: Message


@dataclass(frozen=True)
class SendBlob:
    """Send an image or a snapshot, all of it or (not empty) the named pieces."""

    to: NodeId
    digest: Digest
    pieces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fetch:
    """Ask `source` for what is missing of this snapshot."""

    source: NodeId
    digest: Digest


@dataclass(frozen=True)
class Consider:
    """Is there room? Then `Handoff.reserve`, else `Handoff.decline`."""

    source: NodeId
    attempt: int
    chain: Ownership
    terms: Terms
    # The guest is frozen already, and this is what it left.
    snapshot: Digest | None = None


@dataclass(frozen=True)
class Stage:
    """Send pages ahead while the guest runs, then `Handoff.staged_enough`, whatever came of it."""


@dataclass(frozen=True)
class Park:
    """Park the guest, write its snapshot durably, then `Handoff.parked` (or `park_failed`)."""


@dataclass(frozen=True)
class KillAndReap:
    """On return no process of this guest exists here. Harmless when none did."""


@dataclass(frozen=True)
class Start:
    """Warm start the guest from a snapshot that is here."""

    snapshot: Digest


@dataclass(frozen=True)
class Unpark:
    """The move was given up: let the guest go on here. From its snapshot, or, when there is none
    yet, from the memory that it parked in."""

    snapshot: Digest | None


@dataclass(frozen=True)
class Diverge:
    """Another branch counts: park the guest, if one executes, and keep its state, else `snapshot`,
    durably as what has become of `chain` before it gave way to `higher`."""

    chain: Ownership
    higher: Ownership
    snapshot: Digest | None


@dataclass(frozen=True)
class Forget:
    """This snapshot is not needed any more."""

    snapshot: Digest


@dataclass(frozen=True)
class Failed:
    """An attempt ended without a move; for people."""

    attempt: int
    reason: str


Effect = (
    Persist
    | Send
    | SendBlob
    | Fetch
    | Consider
    | Stage
    | Park
    | KillAndReap
    | Start
    | Unpark
    | Diverge
    | Forget
    | Failed
)


class Core:
    """What both sides share: the tenure, and the effects gathered by one input."""

    def __init__(self, tenure: Tenure, identity: Identity) -> None:
        self.tenure = tenure
        self._identity = identity
        self._effects: list[Effect] = []

    @property
    def me(self) -> NodeId:
        return self._identity.node_id

    def take(self) -> Sequence[Effect]:
        """The effects of the last inputs, in the order in which they must happen."""
        effects, self._effects = self._effects, []
        return effects

    def _emit(self, *effects: Effect) -> None:
        self._effects.extend(effects)

    def _persist(self) -> None:
        self._emit(Persist(self.tenure.durable()))

    def _change(self, **changes: Any) -> None:
        self.tenure = replace(self.tenure, **changes)

    def _become(self, phase: Phase, **changes: Any) -> None:
        """Enter a phase; its clocks stop unless they are set again."""
        stopped = {"deadline": None, "repeat_at": None, "repeat_s": REPEAT_FIRST_S}
        self._change(phase=phase, **{**stopped, **changes})

    def _renew(self, deadline: float) -> None:
        self._change(deadline=deadline)

    def _repeat_from(self, now: float) -> dict[str, float]:
        return {"repeat_at": now + REPEAT_FIRST_S, "repeat_s": REPEAT_FIRST_S}
