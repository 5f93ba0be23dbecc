"""Where each page lies: in memory, made of the packs' heads. Safe for threads, and never blocks on
the disk.

A pack has a number in this process, and a file one on disk. What counts of a page that is in two
packs is where it was entered last.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from radics_mesh.vmm.packfile import Pack, PackPlace
from radics_mesh.vmm.pagepack import PACK_PAGES

# Files below this size are put together once there are so many: each page is then written a few
# times in all, and a start opens few files.
SMALL_BYTES, SMALL_FILES = 1 << 20, 32
_BITS = PACK_PAGES.bit_length() - 1
NOWHERE = 0


@dataclass
class _File:
    size: int
    packs: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Condemned:
    """Files of which no page is needed, and files to write anew for those that are."""

    dead: list[int]
    sparse: list[int]


# A pack, and (place in it, index in what was asked for) of each page of it, as they lie there.
Group = tuple[int, list[tuple[int, int]]]


class PackIndex:
    def __init__(self) -> None:
        self.used_bytes = 0
        self._lock = threading.Lock()
        # A page's hash to its pack's number and its place there, in one integer: it is a third
        # smaller than a pair.
        self._pages: dict[bytes, int] = {}
        self._packs: dict[int, PackPlace] = {}
        self._files: dict[int, _File] = {}
        self._next_pack = NOWHERE + 1

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._pages

    def lacking(self, hashes: Iterable[bytes]) -> list[int]:
        """Which of them are not here, as indices."""
        here = list(map(self._pages.__contains__, hashes))
        return [] if all(here) else [at for at, found in enumerate(here) if not found]

    def pack(self, pack: int) -> PackPlace | None:
        return self._packs.get(pack)

    def groups(self, hashes: Sequence[bytes], wanted: Iterable[int]) -> list[Group]:
        """Some of these pages by their packs, in the order of the medium; NOWHERE: not here."""
        with self._lock:
            found = sorted((self._pages.get(hashes[at], NOWHERE), at) for at in wanted)
        return [
            (pack, [(where & PACK_PAGES - 1, at) for where, at in group])
            for pack, group in groupby(found, key=lambda pair: pair[0] >> _BITS)
        ]

    def weights(self, hashes: Iterable[bytes]) -> dict[bytes, float]:
        """Bytes on disk of each, 0 of what is not here."""
        weights = {}
        with self._lock:
            for digest in hashes:
                pack = self._packs.get(self._pages.get(digest, NOWHERE) >> _BITS)
                weights[digest] = 0.0 if pack is None else pack.length / pack.pages
        return weights

    # --- what changes ---------------------------------------------------------------------------

    def add_file(
        self, number: int, size: int, packs: Iterable[Pack], moved: Container[int] | None = None
    ) -> None:
        """`moved`: its pages are copies from those packs, and count only where the others still
        do."""
        with self._lock:
            file = self._files[number] = _File(size)
            self.used_bytes += size
            for place, hashes in packs:
                pack, self._next_pack = self._next_pack, self._next_pack + 1
                self._packs[pack] = place
                file.packs.append(pack)
                for at, digest in enumerate(hashes):
                    if moved is None or self._pages.get(digest, NOWHERE) >> _BITS in moved:
                        self._pages[digest] = pack << _BITS | at

    def lose(self, digest: bytes, pack: int, place: int) -> None:
        """The page is no good there."""
        with self._lock:
            if self._pages.get(digest) == pack << _BITS | place:
                del self._pages[digest]

    def remove_file(self, number: int) -> None:
        """Its pages have been moved, or lost."""
        with self._lock:
            file = self._files.pop(number)
            self.used_bytes -= file.size
            for pack in file.packs:
                del self._packs[pack]

    def condemn(self, held: Container[bytes]) -> Condemned:
        """Which files should go. From now on no page in them is here that is not held: whoever
        wants one puts it elsewhere."""
        with self._lock:
            live = dict.fromkeys(self._packs, 0)
            for digest, where in self._pages.items():
                live[where >> _BITS] += digest in held
            dead = [n for n, f in self._files.items() if not any(live[p] for p in f.packs)]
            sparse = [n for n in self._sparse(live) if n not in dead]
            packs = self._packs_of((*dead, *sparse))
            for digest in [d for d, where in self._pages.items() if where >> _BITS in packs]:
                if digest not in held:
                    del self._pages[digest]
        return Condemned(dead, sparse)

    def _sparse(self, live: dict[int, int]) -> list[int]:
        small = [n for n, f in self._files.items() if f.size < SMALL_BYTES]
        together = set(small) if len(small) >= SMALL_FILES else set()
        for number, file in self._files.items():
            pages = sum(self._packs[p].pages for p in file.packs)
            if 2 * sum(live[p] for p in file.packs) <= pages:
                together.add(number)
        return sorted(together)

    def inside(self, numbers: Iterable[int]) -> tuple[set[int], list[bytes]]:
        """The packs of these files, and the pages that count there, as they lie."""
        with self._lock:
            packs = self._packs_of(numbers)
            pages = [(w, d) for d, w in self._pages.items() if w >> _BITS in packs]
        return packs, [digest for _, digest in sorted(pages)]

    def _packs_of(self, numbers: Iterable[int]) -> set[int]:
        return {pack for number in numbers for pack in self._files[number].packs}
