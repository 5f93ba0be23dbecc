"""Finds names by their beginning, a page at a time, in order (radics_mesh.knowledge.index).

The search goes down the directories in the order of the names and stops where the page is full, so
that it asks for no more than it shows. What the index of nobody tells but this node knows is among
it: in a partition that is all there is. Whatever others state, one search looks up at most
DIRECTORIES_MAX directories, PAGES_MAX pages of each, and LOOKUPS_MAX names; where it stops for
that, it says where to go on.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import trio

from radics_mesh.knowledge import index
from radics_mesh.knowledge.book import Entry
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind

DIRECTORIES_MAX = 128
PAGES_MAX = 63
LOOKUPS_MAX = 512
AT_ONCE = 8
# How long a look-up of a name in the DHT counts as having found everybody who states it.
ASK_AGAIN_S = 20.0
_ASKED_MAX = 1024


@dataclass(frozen=True)
class Found:
    """`after`: the name to go on behind; empty: there is no more."""

    entries: list[Entry]
    after: str


@dataclass
class _Budget:
    directories: int = DIRECTORIES_MAX
    names: int = LOOKUPS_MAX


class Search:
    """`ask`: who states a fact, after asking the DHT as far as that is reachable; `lookup`: the
    same, but what is known here and young enough counts at once; `known`: names known here;
    `width`: how many publishers a page has ever had."""

    def __init__(
        self,
        ask: Callable[[Kind, str], Awaitable[list[Entry]]],
        lookup: Callable[[Kind, str], Awaitable[list[Entry]]],
        known: Callable[[Kind], Collection[str]],
        width: Callable[[str], int],
    ) -> None:
        self._ask = ask
        self._lookup = lookup
        self._known = known
        self._width = width
        self._asked: OrderedDict[tuple[Kind, str], float] = OrderedDict()

    async def search(self, kind: Kind, pattern: Pattern, *, after: str, limit: int) -> Found:
        """The entries of up to `limit` names behind `after`, in the order of names."""
        if not pattern.below:
            return Found(await self._lookup(kind, pattern.text), "")
        walk = _Walk(self, kind, pattern.text, after)
        entries: list[Entry] = []
        shown = 0
        while shown < limit:
            names = await walk.next(min(limit - shown, AT_ONCE))
            for found in await self._look_up(kind, names):
                shown += bool(found)
                entries += found
            if walk.ended:
                return Found(entries, "")
            if walk.is_spent:
                break
        return Found(entries, walk.at)

    async def _look_up(self, kind: Kind, names: list[str]) -> list[list[Entry]]:
        found: dict[str, list[Entry]] = {}

        async def one(name: str) -> None:
            # What is known here may be one publisher of several.
            look = self._lookup if self._was_asked((kind, name)) else self._ask
            found[name] = await look(kind, name)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(one, name)
        return [found[name] for name in names]

    def _was_asked(self, fact: tuple[Kind, str]) -> bool:
        """Whether the DHT was lately; from now on it was."""
        now = trio.current_time()
        lately = now - self._asked.get(fact, -math.inf) < ASK_AGAIN_S
        if not lately:
            self._asked[fact] = now
            self._asked.move_to_end(fact)
            if len(self._asked) > _ASKED_MAX:
                self._asked.popitem(last=False)
        return lately

    async def paths_in(self, kind: Kind, directory: str) -> set[str]:
        """What stands in a directory, by the index and by what is known here."""
        found = {
            directory + rest.partition("/")[0] + ("/" if "/" in rest else "")
            for name in self._known(kind)
            if name.startswith(directory) and (rest := name[len(directory) :])
        }
        level, read = [""], 0
        while level and read < PAGES_MAX:
            level, read = level[: PAGES_MAX - read], read + len(level)
            below: list[str] = []
            async with trio.open_nursery() as nursery:
                for bits in level:
                    nursery.start_soon(self._page, kind, directory, bits, found, below)
            level = below
        return found

    async def _page(
        self, kind: Kind, directory: str, bits: str, found: set[str], below: list[str]
    ) -> None:
        subject = index.page_subject(kind, directory, bits)
        for entry in await self._ask(Kind.INDEX, subject):
            found |= index.named(entry.record.body, directory)
            for number in index.further_parts(entry.record.body):
                part = index.part_subject(kind, directory, entry.publisher, number)
                for other in await self._lookup(Kind.INDEX, part):
                    if other.publisher == entry.publisher:
                        found |= index.named(other.record.body, directory)
        if self._width(subject) >= index.DESCEND and len(bits) < index.PAGE_BITS_MAX:
            below += [bits + "0", bits + "1"]


class _Walk:
    """The names below a directory in order, without reading directories that nobody gets to."""

    def __init__(self, search: Search, kind: Kind, directory: str, after: str) -> None:
        self._search = search
        self._kind = kind
        self._after = after
        self._budget = _Budget()
        # Paths still to be gone to, the next one last.
        self._ahead = [directory]
        self.at = after

    @property
    def ended(self) -> bool:
        return not self._ahead

    @property
    def is_spent(self) -> bool:
        return self._budget.directories <= 0 or self._budget.names <= 0

    async def next(self, limit: int) -> list[str]:
        """Up to `limit` names; fewer where the walk has ended or may ask no more."""
        names: list[str] = []
        while self._ahead and not self.is_spent and len(names) < limit:
            path = self._ahead.pop()
            # A directory counts as well: it is read again when the walk is taken up behind it,
            # but not those before it.
            self.at = max(self.at, path)
            if path and not path.endswith("/"):
                self._budget.names -= 1
                names.append(path)
                continue
            self._budget.directories -= 1
            inside = await self._search.paths_in(self._kind, path)
            self._ahead += sorted(filter(self._is_ahead, inside), reverse=True)
        return names

    def _is_ahead(self, path: str) -> bool:
        return path > self._after or (path.endswith("/") and self._after.startswith(path))
