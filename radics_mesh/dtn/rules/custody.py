"""Custody (RFC 5050 sections 5.10 to 5.12): this node keeps a bundle until another one answers
for it. Sans-IO.

States of a bundle in this node's custody (its `custodian` is this node):
  here       waiting for a contact or on its way to one
  handed on  a neighbour has it, but nobody has said yet that he answers for it: it stays stored,
             and goes out again when its timer ends (doubled each time) or after a failure signal
  released   a signal of success, or of redundant reception, has come; or it was delivered here.
             Signals about fragments release it once they cover it.

Whoever takes custody tells the custodian before; whoever gets again what it answers for says
"redundant reception", or the other would send for ever. A bundle in custody leaves the store only
by its release, its delivery or its end of life, never to make room. Custody that would fill the
store is not taken: the bundle is, and its custodian stays who it was.

Who may release: any member, for the way to the next custodian may lead over nodes that take none;
of peers that are no members, the one to which the bundle was handed. A member that lies can make a
bundle be lost, as it also can by taking custody and dropping it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.coverage import Coverage
from radics_mesh.dtn.rules.reports import may_not_ask
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.admin_records import CustodySignal
from radics_mesh.dtn.wire.bundle import CUSTODY, SINGLETON, BundleId
from radics_mesh.ids import Eid, NodeId, same_node

# A first retransmission should come when a signal is lost, not when it is slow; links of this mesh
# answer within seconds or are gone for hours.
TIMER_FIRST_S, TIMER_MAX_S = 60.0, 3600.0
# After a failure was signalled: what was in the way may pass.
TIMER_FAILED_S = 30.0
# Of the store's quota, what may be in custody.
_SHARE = 0.75
_Name = tuple[BundleId, NodeId | None]


@dataclass(slots=True)
class _HandedOn:
    held: Held
    timer_s: float = TIMER_FIRST_S
    until: float = math.inf
    foreign: set[Eid] = field(default_factory=set)
    released: Coverage = field(default_factory=Coverage)


class Custody:
    """All that one node has custody of. `own`: its names."""

    def __init__(
        self, own: Collection[Eid], *, quota_bytes: int, is_held: Callable[[Held], bool]
    ) -> None:
        self._own = own
        self._limit_bytes = int(quota_bytes * _SHARE)
        self._is_held = is_held
        self._mine: dict[_Name, _HandedOn] = {}
        # What was cut from one whole, and is in custody here piece by piece; of a piece all that
        # have signed one.
        self._pieces: dict[BundleId, dict[BundleId, dict[_Name, None]]] = {}
        self._timers: list[tuple[float, int, _HandedOn]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._mine)

    def __iter__(self) -> Iterator[Held]:
        return (entry.held for entry in self._mine.values())

    def __contains__(self, held: Held) -> bool:
        return self._entry(held) is not None

    def awaits_signal(self, held: Held) -> bool:
        """Whether it was handed on, and nobody has answered yet."""
        entry = self._entry(held)
        return entry is not None and entry.until < math.inf

    def wants(self, held: Held) -> bool:
        """Whether a bundle asks for custody and this node would take it."""
        if not asks_for_custody(held):
            return False
        if self._bytes + held.size_bytes > self._limit_bytes:
            self._clear_away()
        return self._bytes + held.size_bytes <= self._limit_bytes

    def has(self, held: Held) -> bool:
        """Whether this node answers for it."""
        return held.custodian in self._own

    def take(self, held: Held) -> None:
        """It is in the store, and its custodian is this node."""
        if held.name in self._mine:
            self._remove(held.name)
        self._mine[held.name] = _HandedOn(held)
        self._bytes += held.size_bytes
        pieces = self._pieces.setdefault(held.bundle_id.whole, {})
        pieces.setdefault(held.bundle_id, {})[held.name] = None

    def handed_on(self, held: Held, peer: object, now: Monotonic) -> bool:
        """A neighbour has it. Whether it must stay here."""
        entry = self._entry(held)
        if entry is None:
            return False
        if isinstance(peer, Foreign):
            entry.foreign.add(peer.eid)
        self._set(entry, now, entry.timer_s)
        entry.timer_s = min(TIMER_MAX_S, entry.timer_s * 2)
        return True

    def let_go(self, held: Held) -> None:
        """It has left the store."""
        if self._entry(held) is not None:
            self._remove(held.name)

    def signalled(self, signal: CustodySignal, peer: Eid | None, now: Monotonic) -> list[Held]:
        """Somebody has answered; what is released by that. `peer`: None for a member, else who."""
        released = []
        for entry in self._concerned(signal.subject):
            if peer is not None and not any(same_node(peer, eid) for eid in entry.foreign):
                continue
            if signal.releases:
                if self._covered(entry, signal.subject):
                    self._remove(entry.held.name)
                    released.append(entry.held)
            elif entry.until < math.inf:
                self._set(entry, now, TIMER_FAILED_S)
        return released

    def due(self, now: Monotonic) -> list[Held]:
        """What has waited long enough for a signal and is to go out again."""
        due = []
        while self._timers and self._timers[0][0] <= now:
            until, _, entry = heapq.heappop(self._timers)
            current = self._mine.get(entry.held.name) is entry and entry.until == until
            if current:
                entry.until = math.inf
                if self._is_held(entry.held):
                    due.append(entry.held)
                else:
                    self._remove(entry.held.name)
        return due

    @property
    def deadline(self) -> float:
        """When `due` is to be asked again."""
        return self._timers[0][0] if self._timers else math.inf

    def _set(self, entry: _HandedOn, now: Monotonic, timer_s: float) -> None:
        entry.until = now + timer_s
        heapq.heappush(self._timers, (entry.until, entry.held.key, entry))

    def _concerned(self, subject: BundleId) -> list[_HandedOn]:
        """The bundle itself, or all that shares bytes with the fragment that is spoken of."""
        pieces = self._pieces.get(subject.whole, {})
        itself = [self._mine[name] for name in pieces.get(subject, ())]
        if len(itself) > 1:
            # By several signers, of whom one may lie: it speaks of what somebody has been given.
            return [entry for entry in itself if entry.until < math.inf]
        return itself or [self._mine[name] for names in pieces.values() for name in names]

    def _entry(self, held: Held) -> _HandedOn | None:
        entry = self._mine.get(held.name)
        return entry if entry is not None and entry.held is held else None

    def _covered(self, entry: _HandedOn, subject: BundleId) -> bool:
        own = entry.held.bundle_id
        if subject == own or subject.offset is None or subject.length is None:
            return True  # the whole: all its pieces are in it
        entry.released.add(subject.offset, subject.length)
        if own.offset is None or own.length is None:
            return entry.released.covers(0, entry.held.total)
        return entry.released.covers(own.offset, own.length)

    def _remove(self, name: _Name) -> None:
        entry = self._mine.pop(name)
        self._bytes -= entry.held.size_bytes
        bundle_id = entry.held.bundle_id
        pieces = self._pieces[bundle_id.whole]
        del pieces[bundle_id][name]
        if not pieces[bundle_id]:
            del pieces[bundle_id]
        if not pieces:
            del self._pieces[bundle_id.whole]

    def _clear_away(self) -> None:
        """Forget what has left the store without word, by damage."""
        for name, entry in list(self._mine.items()):
            if not self._is_held(entry.held):
                self._remove(name)


def asks_for_custody(held: Held) -> bool:
    """RFC 5050 leaves open what custody of a bundle to many receivers would be: there is none."""
    return bool(held.flags & CUSTODY) and bool(held.flags & SINGLETON) and not may_not_ask(held)
