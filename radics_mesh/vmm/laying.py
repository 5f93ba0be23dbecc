"""Laying a VM's pages into a waiting QEMU's memory while they come, so that at its start only those
of the last moment are left.

Each page is checked when it is read from the store. What was laid for an earlier list and is not in
a later one becomes again what the template has there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from radics_mesh.errors import GuestError
from radics_mesh.vmm import images, ram
from radics_mesh.vmm.image import loaded_pages
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import PAGE_BYTES

_ZERO = bytes(PAGE_BYTES)


class Laying:
    """Over a template that lies in `path` exactly (`Machine.ready_to_start`). Everything blocks,
    and one thread at a time may call."""

    def __init__(self, path: Path, image: Path, memory_bytes: int, store: PageStore) -> None:
        self._path = path
        self._image = image
        self._memory_bytes = memory_bytes
        self._store = store
        # Page number to hash of what lies there; empty: something else, perhaps.
        self._laid: dict[int, bytes] = {}
        # The last list, and numbers of its pages that do not lie there yet.
        self._pages: PageMap | None = None
        self._todo: list[int] = []

    def lay(self, pages: PageMap) -> int:
        """As many of these as are in the store; how many are not. GuestError: one is damaged.

        The same mapping again costs only what it takes to lay what has come.
        """
        if pages is not self._pages:
            self._take_back([number for number in self._laid if number not in pages])
            laid = self._laid
            self._todo = sorted(n for n, digest in pages.items() if laid.get(n) != digest)
            self._pages = pages
        todo = self._todo
        gone = set(self._store.lacking([pages[number] for number in todo]))
        there = [number for at, number in enumerate(todo) if at not in gone]
        if there:
            hashes = [pages[number] for number in there]
            # Until all of them lie there, nothing is known of any.
            self._laid.update(dict.fromkeys(there, b""))
            ram.lay_pages(self._runs(there, hashes), self._path)
            self._laid.update(zip(there, hashes, strict=True))
            self._todo = [todo[at] for at in sorted(gone)]
        return len(gone)

    def finish(self, pages: PageMap) -> None:
        """All of them, and nothing else; GuestError when one is not there."""
        if self.lay(pages):
            raise GuestError("pages of its memory are not here")

    def _runs(self, numbers: list[int], hashes: list[bytes]) -> Iterator[tuple[int, bytes]]:
        for first, content in self._store.runs(hashes):
            count, start = len(content) // PAGE_BYTES, 0
            for end in range(1, count + 1):
                at = first + end
                if end == count or numbers[at] != numbers[at - 1] + 1:
                    yield numbers[first + start], content[start * PAGE_BYTES : end * PAGE_BYTES]
                    start = end

    def _take_back(self, numbers: list[int]) -> None:
        if not numbers:
            return
        template: Mapping[int, bytes] = loaded_pages(images.read(self._image), self._memory_bytes)
        ram.lay_pages(((n, template.get(n, _ZERO)) for n in sorted(numbers)), self._path)
        for number in numbers:
            del self._laid[number]
