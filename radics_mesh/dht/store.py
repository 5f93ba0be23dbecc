"""What a node holds for others under DHT keys: checked by `Contents`, merged, bounded.

A key holds one value for each publisher (`Slot.owner`), and the higher sequence wins; an older one
is refused as a replay. Nobody can fill the store: a publisher may own OWNER_MAX values, what nobody
signs (contents under their hash) takes UNSIGNED_MAX, a key may hold KEY_MAX, the store TOTAL_MAX.
When it is full, what expired gives way first, then what belongs to the publisher with the most,
then what lies farthest from this node's id; a value that would be the first to go is refused.

Values whose time to live is over stay for KEEP_S, or until room is needed: shown as stale, where
nothing fresh is left of their key, they are worth more in a partition than nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from kademlia.storage import IStorage

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.errors import CapacityError, PeerError

KEY_MAX = 16
OWNER_MAX = 256
UNSIGNED_MAX = 1024
TOTAL_MAX = 4096
KEEP_S = 3600.0


@dataclass(frozen=True)
class Slot:
    """Which value another one replaces, and how new and how durable it is.

    `owner` is the publisher; content-addressed values belong to nobody (b"") and never change.
    `ttl_s` is how long it has left, by the judgement of Contents and not by what the value says.
    """

    owner: bytes
    sequence: int
    ttl_s: float


class Contents(Protocol):
    """Who knows what values mean."""

    def admit(self, key: bytes, value: bytes) -> Slot:
        """WireError or PeerError unless the value belongs under the key and its proof holds."""
        ...

    def aged(self, value: bytes, held_s: float) -> bytes:
        """An admitted value as it is handed on after `held_s` more seconds."""
        ...


@dataclass
class Held:
    key: bytes
    slot: Slot
    value: bytes
    since: Monotonic
    expires: float

    def expired(self, now: Monotonic) -> bool:
        return now > self.expires


class ValueStore(IStorage):
    """`contents` decides about values; as long as it is None, every value is refused."""

    def __init__(self, node_id: bytes, clock: Clock) -> None:
        self.contents: Contents | None = None
        self._own = node_id
        self._clock = clock
        self._keys: dict[bytes, dict[bytes, Held]] = {}
        self._owned: defaultdict[bytes, dict[bytes, Held]] = defaultdict(dict)
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """WireError, PeerError or CapacityError when the value is not taken."""
        if self.contents is None:
            raise CapacityError("this node holds no values yet")
        self.place(key, value, self.contents.admit(key, value))

    def place(self, key: bytes, value: bytes, slot: Slot) -> None:
        """Hold an admitted value; PeerError if it is older, CapacityError if there is no room."""
        now = self._clock.monotonic()
        held = self._keys.get(key, {}).get(slot.owner)
        if held is None:
            self._make_room(key, slot, now)
            self._total += 1
        elif slot.sequence < held.slot.sequence:
            raise PeerError("an older value than the one held")
        elif slot.sequence == held.slot.sequence:
            held.expires = max(held.expires, now + slot.ttl_s)
            return
        held = Held(key, slot, value, now, now + slot.ttl_s)
        self._keys.setdefault(key, {})[slot.owner] = held
        self._owned[slot.owner][key] = held

    def _make_room(self, key: bytes, slot: Slot, now: Monotonic) -> None:
        if len(self._keys.get(key, {})) >= KEY_MAX:
            self._evict_one(list(self._keys[key].values()), now, "the key")
        owned = self._owned.get(slot.owner, {})
        if slot.owner and len(owned) >= OWNER_MAX:
            self._evict_one(list(owned.values()), now, "its publisher")
        elif not slot.owner and len(owned) >= UNSIGNED_MAX:
            self._displace(owned.values(), key, slot, now)
        if self._total >= TOTAL_MAX:
            others = (held for held in self._all() if held.slot.owner != self._own)
            self._displace(others, key, slot, now)

    def _displace(self, among: Iterable[Held], key: bytes, slot: Slot, now: Monotonic) -> None:
        """Drop the least worth keeping of these, unless that would be the new one."""

        def burden(held: Held) -> tuple[bool, int, int]:
            share = len(self._owned.get(held.slot.owner, ()))
            return held.expired(now), share, self._distance(held.key)

        worst = max(among, key=burden)
        share = len(self._owned.get(slot.owner, ())) + (slot.owner != worst.slot.owner)
        newcomer = (False, share, self._distance(key))
        if slot.owner != self._own and newcomer > burden(worst):
            raise CapacityError("full of values that lie closer, or of publishers with less")
        self._drop(worst)

    def _evict_one(self, among: list[Held], now: Monotonic, of: str) -> None:
        expired = [held for held in among if held.expired(now)]
        if not expired:
            raise CapacityError(f"{of} has too many values")
        self._drop(min(expired, key=lambda held: held.since))

    def _drop(self, held: Held) -> None:
        slots = self._keys[held.key]
        del slots[held.slot.owner]
        if not slots:
            del self._keys[held.key]
        owned = self._owned[held.slot.owner]
        del owned[held.key]
        if not owned:
            del self._owned[held.slot.owner]
        self._total -= 1

    def forget(self, key: bytes) -> None:
        """Hold nothing under this key any more."""
        for held in list(self._keys.get(key, {}).values()):
            self._drop(held)

    def _distance(self, key: bytes) -> int:
        return int.from_bytes(key, "big") ^ int.from_bytes(self._own, "big")

    def _all(self) -> Iterator[Held]:
        for slots in self._keys.values():
            yield from slots.values()

    def values(self, key: bytes) -> list[bytes]:
        """What there is under a key, aged, the most recent first. What expired is told only
        where nothing else is left."""
        now = self._clock.monotonic()
        slots = self._keys.get(key, {}).values()
        fresh = [held for held in slots if not held.expired(now)]
        ordered = sorted(fresh or slots, key=lambda held: -held.since)
        return [self._aged(held, now) for held in ordered]

    def purge(self) -> None:
        """Forget what expired long ago."""
        now = self._clock.monotonic()
        for held in [held for held in self._all() if now > held.expires + KEEP_S]:
            self._drop(held)

    def _aged(self, held: Held, now: Monotonic) -> bytes:
        assert self.contents is not None
        return self.contents.aged(held.value, now - held.since)

    def fresh_items(self) -> list[tuple[bytes, bytes, bytes]]:
        """(key, owner, aged value) of all that has not expired."""
        now = self._clock.monotonic()
        return [
            (held.key, held.slot.owner, self._aged(held, now))
            for held in self._all()
            if not held.expired(now)
        ]

    # The rest of IStorage, so that what kademlia does with a storage still works.

    def get(self, key: bytes, default: object = None) -> object:
        return self.values(key) or default

    def __getitem__(self, key: bytes) -> list[bytes]:
        if key not in self._keys:
            raise KeyError(key)
        return self.values(key)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, value) for key, _, value in self.fresh_items()])

    def iter_older_than(self, seconds_old: float) -> list[tuple[bytes, bytes]]:
        now = self._clock.monotonic()
        return [
            (held.key, self._aged(held, now))
            for held in self._all()
            if now - held.since >= seconds_old
        ]
