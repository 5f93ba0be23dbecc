"""Meshes for tests of the directory: everybody can reach everybody, nobody tells of itself."""

from __future__ import annotations

from radics_mesh.directory.service import Directory
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind
from tests.members import Members

EVERYTHING = Pattern.parse("*")


async def mesh(members: Members, count: int) -> list[Directory]:
    return [await members.start(number, bootstrap=[0] if number else []) for number in range(count)]


async def all_names(directory: Directory, pattern: str, limit: int) -> tuple[list[str], int]:
    """Every source's name that a search finds, page by page, and how many pages there were."""
    names: list[str] = []
    after, pages = "", 0
    while True:
        found = await directory.search(
            Kind.SOURCE, Pattern.parse(pattern), after=after, limit=limit
        )
        names += [entry.record.subject for entry in found.entries]
        pages += 1
        if not found.after:
            return names, pages
        assert found.after > after
        after = found.after
