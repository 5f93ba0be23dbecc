"""Watching: what a reader has not been told yet of the facts that it asked for.

A watch begins with all that is known (each *added*) and goes on with what happens: *added*,
*changed* (it says something else, or is fresh again), *stale* (it outlived its time, or its
publisher cannot be reached), *withdrawn* (taken back, or it counts no more). A renewal that says
the same is no news.

A slow reader holds up nobody and loses nothing that matters: what waits for it is not what happened
but which facts to look at, each once, and it gets their present state. So between two readings a
fact that came and went is not told, and one that changed twice is told once. Memory is bounded by
FACTS_MAX facts that were told and as many that wait; beyond them the oldest are let go, and told as
added when they are news again.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trio

from radics_mesh.directory.changes import Change, Slotted
from radics_mesh.errors import CapacityError
from radics_mesh.knowledge.book import Entry
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind

FACTS_MAX = 8192
WATCHES_MAX = 64


class What(enum.StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    STALE = "stale"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class News:
    """`entry`: as it stands now; of what was withdrawn, as it was told last."""

    what: What
    entry: Entry


@dataclass(frozen=True)
class _Told:
    entry: Entry

    @property
    def says(self) -> tuple[bool, Mapping[str, object]]:
        return self.entry.stale, self.entry.record.body


class Watch:
    """An iterator of News for one reader, under `with`. Ends only when its reader leaves.

    `look`: what is believed of a slot now, None if nothing.
    """

    def __init__(
        self,
        kind: Kind,
        pattern: Pattern,
        look: Callable[[Slotted], Entry | None],
        leave: Callable[[Watch], None],
    ) -> None:
        self.kind = kind
        self.pattern = pattern
        # News that were let go because too many facts waited.
        self.missed = 0
        self._look = look
        self._leave = leave
        self._due: OrderedDict[Slotted, None] = OrderedDict()
        self._told: OrderedDict[Slotted, _Told] = OrderedDict()
        self._woken = trio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(self)

    def hint(self, change: Change) -> None:
        """A fact may be news."""
        if change.kind is not self.kind or not self.pattern.matches(change.subject):
            return
        self.look_at([(change.kind, change.subject, change.publisher)])
        if change.kind is Kind.VM:
            # It has one holder: what others said of it before may count no more.
            self.look_at([slot for slot in self._told if slot[1] == change.subject])

    def look_at(self, slots: Iterable[Slotted]) -> None:
        """The same of facts that match."""
        for slot in slots:
            self._due[slot] = None
            if len(self._due) > FACTS_MAX:
                self._due.popitem(last=False)
                self.missed += 1
        self._woken.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> News:
        await trio.lowlevel.checkpoint()
        while True:
            while self._due:
                slot, _ = self._due.popitem(last=False)
                news = self._news(slot)
                if news is not None:
                    return news
            self._woken = trio.Event()
            await self._woken.wait()

    def _news(self, slot: Slotted) -> News | None:
        now, before = self._look(slot), self._told.get(slot)
        if now is None:
            if before is None:
                return None
            del self._told[slot]
            return News(What.WITHDRAWN, before.entry)
        self._told[slot] = _Told(now)
        if before is None:
            if len(self._told) > FACTS_MAX:
                self._told.popitem(last=False)
            return News(What.ADDED, now)
        if before.says == self._told[slot].says:
            return None
        return News(What.STALE if now.stale and not before.entry.stale else What.CHANGED, now)


class Watches:
    """All that are read now. `look` as in Watch; `slots`: what is known of a kind."""

    def __init__(
        self,
        look: Callable[[Slotted], Entry | None],
        slots: Callable[[Kind], Iterable[Slotted]],
    ) -> None:
        self._look = look
        self._slots = slots
        self._open: list[Watch] = []

    def open(self, kind: Kind, pattern: Pattern) -> Watch:
        """CapacityError when WATCHES_MAX are open."""
        if len(self._open) >= WATCHES_MAX:
            raise CapacityError(f"{WATCHES_MAX} watches are open already")
        watch = Watch(kind, pattern, self._look, self._open.remove)
        watch.look_at(slot for slot in self._slots(kind) if pattern.matches(slot[1]))
        self._open.append(watch)
        return watch

    def hint(self, change: Change) -> None:
        for watch in self._open:
            watch.hint(change)

    def wanted(self) -> set[tuple[Kind, Pattern]]:
        """What to keep looking for, since somebody watches it."""
        return {(watch.kind, watch.pattern) for watch in self._open}
