"""The probe under way, this node's pings, and those of others that it helps with. Sans-IO.

One probe has three tries in its period (SWIM section 3.1, whose one try and one round of helpers
lose too much at 30 % loss): a ping; a ping and a request to HELPERS others; the same again, to
other helpers. An acknowledgement of any of them ends it. Local health (Lifeguard section IV-A,
LHA-Probe) stretches the period while this node's own links or processor seem to be the trouble.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random

from radics_mesh.gossip.words import NONCE_BYTES
from radics_mesh.ids import NodeId
from radics_mesh.link import SocketAddress

TRIES = 3
HELPERS = 3
HEALTH_MAX = 8
RELAYS_MAX = 256
PINGS_MAX = 512
# An answer that comes later than this proves nothing any more.
PING_LIFE_S = 10.0


class Health:
    """The local health multiplier: 0 is healthy, each step stretches the period by itself."""

    def __init__(self) -> None:
        self.score = 0

    def change(self, by: int) -> None:
        self.score = max(0, min(HEALTH_MAX, self.score + by))

    @property
    def factor(self) -> float:
        return 1.0 + self.score


@dataclass
class Probe:
    """Of one member. Times are absolute; `step_s` is the wait between two tries."""

    target: NodeId
    nonce: bytes
    began: float
    step_s: float
    ends: float
    tries: int = 0
    asked: set[NodeId] = field(default_factory=set)
    # Helpers that said that they got no answer either: our own links are all right, then.
    nacked: int = 0

    @property
    def due(self) -> float:
        """When the next try is, or the end."""
        return self.began + self.tries * self.step_s if self.tries < TRIES else self.ends

    def health_change(self) -> int:
        """What a failed one says about this node: less than half of the helpers spoke at all."""
        return int(not self.asked or 2 * self.nacked < len(self.asked))


@dataclass(frozen=True)
class Relay:
    """A ping that was sent for another: its answer goes there, or else a nack when that is due."""

    asker: SocketAddress
    nack_at: float


class Relays:
    def __init__(self) -> None:
        self._relays: OrderedDict[bytes, Relay] = OrderedDict()

    def add(self, nonce: bytes, relay: Relay) -> None:
        self._relays[nonce] = relay
        if len(self._relays) > RELAYS_MAX:
            self._relays.popitem(last=False)

    def answered(self, nonce: bytes) -> SocketAddress | None:
        """Whose it was."""
        relay = self._relays.pop(nonce, None)
        return relay.asker if relay else None

    @property
    def due(self) -> float:
        return min((one.nack_at for one in self._relays.values()), default=float("inf"))

    def overdue(self, now: float) -> list[tuple[bytes, SocketAddress]]:
        late = [(nonce, one.asker) for nonce, one in self._relays.items() if one.nack_at <= now]
        for nonce, _ in late:
            del self._relays[nonce]
        return late


@dataclass
class Sent:
    """A ping of this node's own. `node` None: whoever answers there."""

    node: NodeId | None
    expires: float
    addresses: set[SocketAddress] = field(default_factory=set)


class Pings:
    """Those that may still be answered, by their nonces: the newest PINGS_MAX."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._sent: OrderedDict[bytes, Sent] = OrderedDict()

    def begin(self, node: NodeId | None, now: float) -> bytes:
        """Its nonce."""
        nonce = self._random.randbytes(NONCE_BYTES)
        self._sent[nonce] = Sent(node, now + PING_LIFE_S)
        if len(self._sent) > PINGS_MAX:
            self._sent.popitem(last=False)
        return nonce

    def __contains__(self, nonce: bytes) -> bool:
        return nonce in self._sent

    def sent_to(self, nonce: bytes, address: SocketAddress) -> None:
        """Of one that is another node's, or forgotten, nothing is noted."""
        if nonce in self._sent:
            self._sent[nonce].addresses.add(address)

    def find(self, nonce: bytes, now: float) -> Sent | None:
        """None: it was no ping of this node's, or one that nothing proves any more."""
        sent = self._sent.get(nonce)
        return None if sent is None or sent.expires < now else sent

    def end(self, nonce: bytes) -> None:
        del self._sent[nonce]
