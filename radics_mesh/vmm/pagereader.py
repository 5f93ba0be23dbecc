"""Pages read back from packs on disk, each checked, whole packs at a time in several threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import WireError
from radics_mesh.vmm import packfile, pagepack
from radics_mesh.vmm.packindex import NOWHERE, Group, PackIndex
from radics_mesh.vmm.ram import PAGE_BYTES

# In work at a time, so that memory is bounded: a MiB of pages each.
_PACKS_AT_ONCE = 32


@dataclass
class Opened:
    """Of one pack: (index of the first, content) of runs, and (index, reason) of what is bad."""

    runs: list[tuple[int, bytes]]
    damage: list[tuple[int, str]]


class PageReader:
    def __init__(self, directory: Path, index: PackIndex, workers: ThreadPoolExecutor) -> None:
        self._directory = directory
        self._index = index
        self._workers = workers
        # Why pages that were here are not any more, for who asks again.
        self._why: dict[bytes, str] = {}

    def opened(self, hashes: Sequence[bytes]) -> Iterator[Opened]:
        """All of these pages, pack by pack. Those that are bad are not here from then on."""
        groups = self._index.groups(hashes, range(len(hashes)))
        for some in pagepack.batches(groups, _PACKS_AT_ONCE):
            yield from self._workers.map(lambda group: self._open(hashes, group), some)

    def _open(self, hashes: Sequence[bytes], group: Group) -> Opened:
        """One pack's pages; when it has been written anew meanwhile, from where they are now."""
        pack, wanted = group
        place = self._index.pack(pack)
        if place is None:
            return self._open_moved(hashes, group)
        try:
            content = packfile.read(self._directory, place)
        except FileNotFoundError:
            return self._open_moved(hashes, group)
        except (WireError, OSError) as error:
            return self._lost(hashes, group, str(error))
        opened, bad = Opened([], []), []
        start = 0
        for end, (at, index) in enumerate(wanted, 1):
            page = content[at * PAGE_BYTES : (at + 1) * PAGE_BYTES]
            if pagepack.page_hash(page) != hashes[index]:
                bad.append((at, index))
                start = end
            elif end == len(wanted) or wanted[end] != (at + 1, index + 1):
                first, first_index = wanted[start]
                run = content[first * PAGE_BYTES : (at + 1) * PAGE_BYTES]
                opened.runs.append((first_index, run))
                start = end
        if bad:
            opened.damage.extend(self._lost(hashes, (pack, bad), "its content is another").damage)
        return opened

    def _open_moved(self, hashes: Sequence[bytes], group: Group) -> Opened:
        pack, wanted = group
        together = Opened([], [])
        for now in self._index.groups(hashes, [index for _, index in wanted]):
            opened = (
                self._lost(hashes, now, "" if now[0] == NOWHERE else "its file is gone")
                if now[0] in (NOWHERE, pack)
                else self._open(hashes, now)
            )
            together.runs.extend(opened.runs)
            together.damage.extend(opened.damage)
        return together

    def _lost(self, hashes: Sequence[bytes], group: Group, reason: str) -> Opened:
        """`reason`: empty when they are not here at all."""
        pack, wanted = group
        damage = []
        for at, index in wanted:
            digest = hashes[index]
            if reason:
                self._index.lose(digest, pack, at)
                self._why[digest] = reason
            said = reason or self._why.get(digest, "it is not here")
            damage.append((index, f"page {digest[:6].hex()}: {said}"))
        return Opened([], damage)
