"""Who knocks: strangers that wait for a person's approval. In memory, bounded in every way.

A knock is known by its commitment, so a stranger that connects again finds its knock, with the
same code; after LIFETIME_S it is forgotten. Sans-IO.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from radics_mesh.admission.exchange import Claim, KnockTaker, typed_code
from radics_mesh.clock import Monotonic
from radics_mesh.config import Address
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.ids import NodeId

LIFETIME_S = 900.0
KNOCKS_MAX = 32
PER_HOST_MAX = 8
# At most PER_HOST_MAX new ones from one address in this time, opened or not.
RATE_WINDOW_S = 10.0
_HOSTS_MAX = 256


@dataclass(frozen=True)
class Knock:
    """What a person sees. `age_s`: since it began."""

    code: str
    public: bytes
    name: str
    address: Address
    age_s: float

    @property
    def node_id(self) -> NodeId:
        return NodeId.of_key(self.public)


@dataclass(eq=False)
class Pending:
    """A knock from its commitment on. `reply` is set once it is approved."""

    remote: Address
    began: Monotonic
    taker: KnockTaker
    claim: Claim | None = None
    reply: bytes | None = None

    def shown(self, now: Monotonic) -> Knock:
        assert self.claim is not None
        return Knock(
            self.taker.code, self.claim.public, self.claim.name, self.remote, now - self.began
        )


class Knocks:
    """All of them. `inviter` is this node's public key."""

    def __init__(self, inviter: bytes) -> None:
        self._inviter = inviter
        self._pending: dict[bytes, Pending] = {}
        # When each address began its latest knocks; the address heard last is at the end.
        self._latest: OrderedDict[str, deque[Monotonic]] = OrderedDict()

    def begin(self, commitment: bytes, remote: Address, now: Monotonic) -> Pending:
        """The knock with this commitment, perhaps an earlier one. CapacityError: too many."""
        self._forget_old(now)
        pending = self._pending.get(commitment)
        if pending is not None:
            return pending
        same_host = sum(p.remote.host == remote.host for p in self._pending.values())
        if len(self._pending) >= KNOCKS_MAX or same_host >= PER_HOST_MAX:
            raise CapacityError("too many knock")
        self._check_rate(remote.host, now)
        pending = Pending(remote, now, KnockTaker(self._inviter, commitment))
        self._pending[commitment] = pending
        return pending

    def _check_rate(self, host: str, now: Monotonic) -> None:
        latest = self._latest.setdefault(host, deque(maxlen=PER_HOST_MAX))
        self._latest.move_to_end(host)
        if len(self._latest) > _HOSTS_MAX:
            self._latest.popitem(last=False)
        if len(latest) == PER_HOST_MAX and now - latest[0] < RATE_WINDOW_S:
            raise CapacityError("one address knocks too often")
        latest.append(now)

    def opened(self, pending: Pending, claim: Claim) -> None:
        """From now on it waits. An earlier knock by the same key (proved by its signature) goes:
        somebody has started over."""
        self._pending = {
            commitment: other
            for commitment, other in self._pending.items()
            if other.claim is None or other.claim.public != claim.public
        }
        pending.claim = claim

    def abandon(self, pending: Pending) -> None:
        """It did not open its commitment, so nobody waits for it."""
        if pending.claim is None:
            self._pending = {c: p for c, p in self._pending.items() if p is not pending}

    def waiting(self, now: Monotonic) -> list[Knock]:
        self._forget_old(now)
        return [
            pending.shown(now)
            for pending in self._pending.values()
            if pending.claim is not None and pending.reply is None
        ]

    def approve(self, code: str, now: Monotonic, admit: Callable[[Claim], bytes]) -> Knock:
        """Answer the knock with this code by what `admit` gives. UsageError when there is none or
        there are several, and whatever `admit` raises."""
        code = typed_code(code)
        self._forget_old(now)
        found = [p for p in self._pending.values() if p.claim is not None and p.taker.code == code]
        if not found:
            raise UsageError(f"nobody knocks with code {code}; see `knocks`")
        if len(found) > 1:
            raise UsageError(f"{len(found)} knock with code {code}: let all of them knock again")
        (pending,) = found
        if pending.reply is None:
            assert pending.claim is not None
            pending.reply = pending.taker.reply(admit(pending.claim))
        return pending.shown(now)

    def _forget_old(self, now: Monotonic) -> None:
        self._pending = {
            commitment: pending
            for commitment, pending in self._pending.items()
            if now - pending.began < LIFETIME_S
        }
