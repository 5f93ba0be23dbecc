"""Requests to the directory: what there is in the mesh, by name, and what becomes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import trio

from radics_mesh.control_shapes.directory import ChangeRow, FactRow
from radics_mesh.directory.search import Found
from radics_mesh.errors import UsageError
from radics_mesh.knowledge.book import Entry
from radics_mesh.knowledge.index import INDEXED
from radics_mesh.node.directory_rows import fact_row, service_rows
from radics_mesh.node.rows import source_row, source_rows
from radics_mesh.node.services import Services
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind

Answer = Mapping[str, Any]
LIMIT_MAX = 1000
# How long the mesh may take; then what is known by then is the answer.
FOUND_WITHIN_S = 8.0
# What people ask for. Index records are how the directory finds the others.
KINDS = [kind.value for kind in Kind if kind is not Kind.INDEX]


class DirectoryRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def sources(self, pattern: str, after: str, limit: int) -> Answer:
        if not pattern:
            return {"sources": source_rows(self._node), "after": ""}
        found = await self._search(Kind.SOURCE, pattern, after, limit)
        rows = [source_row(self._node, entry) for entry in found.entries]
        return {"sources": rows, "after": found.after}

    async def services(self, pattern: str, after: str, limit: int) -> Answer:
        if not pattern:
            known = self._node.directory.known(Kind.SERVICE)
            return {"services": service_rows(self._node, known), "after": ""}
        found = await self._search(Kind.SERVICE, pattern, after, limit)
        return {"services": service_rows(self._node, found.entries), "after": found.after}

    async def _search(self, kind: Kind, text: str, after: str, limit: int) -> Found:
        pattern = Pattern.parse(text)
        if not 1 <= limit <= LIMIT_MAX:
            raise UsageError(f"1 to {LIMIT_MAX} names at a time")
        directory = self._node.directory
        with trio.move_on_after(FOUND_WITHIN_S):
            return await directory.search(kind, pattern, after=after, limit=limit)
        # Nodes fail to answer: what is known here, with its age, is better than nothing.
        known = {
            entry.record.subject
            for entry in directory.known(kind)
            if pattern.matches(entry.record.subject) and entry.record.subject > after
        }
        names = sorted(known)[:limit]
        entries = [entry for name in names for entry in directory.known(kind, name)]
        return Found(entries, names[-1] if len(known) > limit else "")

    async def find(self, pattern: str, kind: str) -> Answer:
        kinds = [_kind(kind)] if kind else [Kind(name) for name in KINDS]
        wanted = Pattern.parse(pattern)
        with trio.move_on_after(FOUND_WITHIN_S):
            async with trio.open_nursery() as nursery:
                for one in kinds:
                    if not wanted.below:
                        nursery.start_soon(self._node.directory.lookup, one, pattern)
                    elif one in INDEXED:
                        nursery.start_soon(self._look_below, one, wanted)
        return {"facts": [row for one in kinds for row in self._known(one, wanted)]}

    async def _look_below(self, kind: Kind, pattern: Pattern) -> None:
        await self._node.directory.search(kind, pattern, limit=LIMIT_MAX)

    def _known(self, kind: Kind, pattern: Pattern) -> list[FactRow]:
        """By subject; a node and a VM go by their names as well."""

        def matches(entry: Entry) -> bool:
            name = entry.record.body.get("name")
            called = kind in (Kind.NODE, Kind.VM) and isinstance(name, str) and name
            return pattern.matches(entry.record.subject) or bool(called and pattern.matches(called))

        found = [entry for entry in self._node.directory.known(kind) if matches(entry)]
        found.sort(key=lambda entry: (entry.record.subject, entry.stale, entry.age_s))
        return [fact_row(self._node, entry) for entry in found]

    async def changes(self, pattern: str, kind: str) -> AsyncGenerator[Answer, None]:
        with self._node.directory.watch(_kind(kind), Pattern.parse(pattern)) as watch:
            async for news in watch:
                row = fact_row(self._node, news.entry)
                yield ChangeRow(change=news.what.value, fact=row)

    async def unpublish(self, name: str) -> Answer:
        await self._node.sources.unpublish(name)
        self._node.journal.note(f"source {name} is not published here any more")
        return {"name": name}


def _kind(text: str) -> Kind:
    if text not in KINDS:
        raise UsageError(f"{text[:40]!r} is no kind of fact: {', '.join(KINDS)}")
    return Kind(text)
