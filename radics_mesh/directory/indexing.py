"""States the index records that go with this node's sources and services, and moves them to the
page where there is room (radics_mesh.knowledge.index)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from radics_mesh.ids import NodeId
from radics_mesh.knowledge import index
from radics_mesh.knowledge.book import Entry
from radics_mesh.records import Kind

_Directory = tuple[Kind, str]


class Indexing:
    """`state` and `withdraw` say an index record, or take it back; `ask` looks one up, as far as
    the DHT can be reached."""

    def __init__(
        self,
        me: NodeId,
        state: Callable[[str, Mapping[str, object]], None],
        withdraw: Callable[[str], object],
        ask: Callable[[str], Awaitable[list[Entry]]],
    ) -> None:
        self._me = me
        self._state = state
        self._withdraw = withdraw
        self._ask = ask
        self._names: dict[Kind, set[str]] = {kind: set() for kind in index.INDEXED}
        # For each directory the subjects under which it is stated now, and what was said.
        self._stated: dict[_Directory, dict[str, Mapping[str, object]]] = {}
        self._due: dict[_Directory, None] = {}

    def add(self, kind: Kind, name: str) -> bool:
        """Whether there is anything to `settle`."""
        return self._change(kind, self._names.get(kind, set()) | {name})

    def remove(self, kind: Kind, name: str) -> bool:
        """The same."""
        return self._change(kind, self._names.get(kind, set()) - {name})

    def _change(self, kind: Kind, names: set[str]) -> bool:
        if kind not in self._names or names == self._names[kind]:
            return False
        before, after = index.children(self._names[kind]), index.children(names)
        self._names[kind] = names
        for directory in before.keys() | after.keys():
            if before.get(directory) != after.get(directory):
                self._due[kind, directory] = None
        return bool(self._due)

    def look_again(self) -> bool:
        """Pages may have filled or emptied: all are due. Whether there are any."""
        self._due |= dict.fromkeys(self._stated)
        return bool(self._due)

    async def settle(self) -> None:
        """State all that is due. What falls due meanwhile is done too."""
        while self._due:
            kind, directory = next(iter(self._due))
            del self._due[kind, directory]
            bits = await self._page(kind, directory)
            listed = index.children(self._names[kind]).get(directory, [])
            self._say(kind, directory, bits, listed)

    async def _page(self, kind: Kind, directory: str) -> str:
        bits = ""
        while len(bits) < index.PAGE_BITS_MAX:
            subject = index.page_subject(kind, directory, bits)
            others = [e.publisher for e in await self._ask(subject) if not e.stale]
            if index.stays(self._me, others, subject):
                break
            bits += index.bit(self._me, len(bits))
        return bits

    def _say(self, kind: Kind, directory: str, bits: str, listed: list[str]) -> None:
        cut = index.parts(listed) if listed else []
        bodies: dict[str, Mapping[str, object]] = {}
        for number, names in enumerate(cut):
            if number:
                subject = index.part_subject(kind, directory, self._me, number)
            else:
                subject = index.page_subject(kind, directory, bits)
            bodies[subject] = {"names": names, "parts": len(cut)}
        before = self._stated.pop((kind, directory), {})
        for subject in before.keys() - bodies.keys():
            self._withdraw(subject)
        for subject, body in bodies.items():
            if before.get(subject) != body:
                self._state(subject, body)
        if bodies:
            self._stated[kind, directory] = bodies
