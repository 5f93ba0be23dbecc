"""What beacons are worth: who is to be dialled because of one. Sans-IO.

A beacon is an unproved word from anybody in reach. It may cause a dial, and the session then
proves who is there: a member by its key, a foreign peer by being on the list for its address.
Until then a beacon can neither displace an address that a peer has stated itself nor end a session.

Bounds, whatever comes: so many beacons of one host, and of so many hosts, are looked at in a
second; so many peers are remembered as heard, and for one more the host that names the most loses
one; a peer's new address causes a dial at most every RETELL_S. A peer that is not heard any more is
forgotten, unless there is another reason to dial it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from radics_mesh.clock import Monotonic
from radics_mesh.config import Address, Foreign
from radics_mesh.dtn.layers.ipnd import Beacon, Service
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, NodeId

Peer = NodeId | Foreign

# The service that members announce, the port of sealed sessions; others do not know it.
MEMBER_SERVICE = "radics"
FOREIGN_SERVICE = "tcpcl"
# Announced for IBR-DTN's sake; whom we send datagrams to is configured with the address.
DATAGRAM_SERVICE = "udpcl"

HEARD_MAX = 64
# In a second, of one host, and hosts.
BEACONS_MAX, HOSTS_MAX = 10, 100
RETELL_S = 10.0
# Silence of so many of its periods, and of at least so long, means that a peer has gone.
MISSED, FORGET_MIN_S, FORGET_MAX_S = 4, 15.0, 300.0
_PERIOD_S = 5


@dataclass(frozen=True)
class Found:
    """Dial this peer there."""

    peer: Peer
    address: Address

    @property
    def name(self) -> str:
        return self.peer.eid if isinstance(self.peer, Foreign) else self.peer.text


@dataclass
class _Entry:
    address: Address
    told: Monotonic
    until: Monotonic


class Heard:
    """`counters`: beacons, and of these: own, malformed, unlisted, useless, crowded;
    displaced: peers that lost their place to others."""

    def __init__(
        self,
        own: NodeId,
        foreign: Mapping[Foreign, Collection[str]],
        on_lost: Callable[[Peer], None],
    ) -> None:
        """`foreign`: who is on the list, and the hosts that it is listed for. `on_lost`: a peer is
        not heard any more."""
        self._own = own
        self._foreign = foreign
        self._on_lost = on_lost
        self._entries: OrderedDict[Peer, _Entry] = OrderedDict()  # the longest silent first
        self._second = Monotonic(0.0)
        self._counts: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def hear(self, data: bytes, host: str, now: Monotonic) -> Found | None:
        """A datagram came from `host`; whom to dial, if that is news."""
        self.counters["beacons"] += 1
        if not self._may_look(host, now):
            self.counters["crowded"] += 1
            return None
        try:
            beacon = Beacon.parse(data)
        except WireError:
            self.counters["malformed"] += 1
            return None
        found = self._find(beacon, host)
        if isinstance(found, str):
            self.counters[found] += 1
            return None
        return self._news(found, beacon, now)

    def _may_look(self, host: str, now: Monotonic) -> bool:
        if now >= self._second + 1:
            self._second = now
            self._counts.clear()
        if host not in self._counts and len(self._counts) >= HOSTS_MAX:
            return False
        self._counts[host] += 1
        return self._counts[host] <= BEACONS_MAX

    def _find(self, beacon: Beacon, host: str) -> Found | str:
        """Whom it speaks of, or what it is counted as. The address is where it came from, whatever
        `ip` it names: nobody makes us dial a third."""
        if beacon.eid is None:
            return "useless"
        if beacon.eid.node_id == self._own:
            return "own"
        peer: Peer | None = self._listed(beacon.eid, host)
        port = _port(beacon.services, MEMBER_SERVICE if peer is None else FOREIGN_SERVICE)
        peer = beacon.eid.node_id if peer is None else peer
        if peer is None:
            return "unlisted"
        return "useless" if port is None else Found(peer, Address(host, port))

    def _listed(self, eid: Eid, host: str) -> Foreign | None:
        for foreign, hosts in self._foreign.items():
            if foreign.eid.rstrip("/") == eid.rstrip("/") and host in hosts:
                return foreign
        return None

    def _news(self, found: Found, beacon: Beacon, now: Monotonic) -> Found | None:
        silence_s = MISSED * (beacon.period_s or _PERIOD_S)
        until = Monotonic(now + min(FORGET_MAX_S, max(FORGET_MIN_S, silence_s)))
        entry = self._entries.get(found.peer)
        if entry is None:
            if len(self._entries) >= HEARD_MAX:
                self._make_room()
            self._entries[found.peer] = _Entry(found.address, now, until)
            return found
        entry.until = until
        self._entries.move_to_end(found.peer)
        if entry.address == found.address or now < entry.told + RETELL_S:
            return None
        entry.address, entry.told = found.address, now
        return found

    def _make_room(self) -> None:
        counts = Counter(entry.address.host for entry in self._entries.values())
        # The first of the most: the longest silent of them.
        victim = max(self._entries, key=lambda peer: counts[self._entries[peer].address.host])
        self.counters["displaced"] += 1
        self._forget(victim)

    def _forget(self, peer: Peer) -> None:
        del self._entries[peer]
        self._on_lost(peer)

    def forget_silent(self, now: Monotonic) -> None:
        for peer in [peer for peer, entry in self._entries.items() if entry.until <= now]:
            self._forget(peer)


def _port(services: tuple[Service, ...], name: str) -> int | None:
    return next((s.port for s in services if s.name == name and s.port), None)
