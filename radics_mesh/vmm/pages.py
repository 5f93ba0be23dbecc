"""The pages of all VMs of a node, each kept once under the hash of its content.

    store.hold("snapshot-...", hashes)             first, so that none of them is collected
    missing = store.lacking(hashes)                then put or fetch those, and only then
    store.put((hashes[i], content) for i in ...)   write down what depends on them
    for first, content in store.runs(hashes): ...  checked, quick, in the order of the medium
    store.release("snapshot-..."); store.collect()

What `put`, `put_pack` and `hold` were given is on the medium when they return. On disk are files of
packs (`packfile`), never changed, and one of hashes an owner (`holds`). The index is in memory,
about 150 bytes a page, and made of the packs' heads at start: nothing can disagree with them.

A page that cannot be read as what its hash says is as good as not there: `lacking` names it from
then on, and `put` brings it back under the same hash.

Everything blocks: for worker threads, of which several may call at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from os import cpu_count
from pathlib import Path
from typing import TypeVar

import structlog

from radics_mesh.durable import sync_directory
from radics_mesh.errors import CapacityError, GuestError, WireError
from radics_mesh.vmm import packfile, pagepack
from radics_mesh.vmm.holds import Holds
from radics_mesh.vmm.packfile import PackPlace
from radics_mesh.vmm.pagepack import PACK_PAGES, Page
from radics_mesh.vmm.ram import PAGE_BYTES

log = structlog.get_logger(__name__)

# In a file at most, and in work at a time, so that memory is bounded: a MiB of pages each.
_FILE_PACKS = 32
# Files below this size are put together once there are so many: each page is then written a few
# times in all, and a start opens few files.
_SMALL_BYTES, _SMALL_FILES = 1 << 20, 32
_PLACES = PACK_PAGES.bit_length() - 1


_Owner = TypeVar("_Owner")


@dataclass
class _File:
    size: int = 0
    packs: list[int] = field(default_factory=list)


@dataclass
class _Opened:
    """Of one pack: (index of the first, content) of runs, and (index, reason) of what is bad."""

    runs: list[tuple[int, bytes]]
    damage: list[tuple[int, str]]


@dataclass(frozen=True)
class Share:
    """Bytes on disk of what an owner holds: for it alone, and with others together."""

    pages: int
    alone_bytes: int
    shared_bytes: int


class PageStore:
    """`limit_bytes`: of packs on disk; CapacityError when they would be more."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._packs_at = directory / "packs"
        self._packs_at.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        # Whether something has been let go since the last collection.
        self.has_garbage = True
        self._holds = Holds(directory / "held")
        # Guards everything below; never held over reading or writing pages.
        self._lock = threading.Lock()
        self._collecting = threading.Lock()
        # A page's hash to its pack's number and its place there, in one integer: it is a third
        # smaller than a pair.
        self._index: dict[bytes, int] = {}
        self._packs: dict[int, PackPlace] = {}
        self._files: dict[int, _File] = {}
        # Holds that are being written, and what else must stay for now.
        self._taking: list[tuple[bytes, ...]] = []
        self._references: list[Callable[[], Iterable[bytes]]] = []
        self._next_file = self._next_pack = 1
        workers = min(4, cpu_count() or 1)
        # Both zstd and SHA-256 let other threads run.
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="pages")
        self._find_all()

    def close(self) -> None:
        self._workers.shutdown()

    def __len__(self) -> int:
        return len(self._index)

    # --- pages ----------------------------------------------------------------------------------

    def lacking(self, hashes: Iterable[bytes]) -> list[int]:
        """Which of them are not here, as indices."""
        here = list(map(self._index.__contains__, hashes))
        return [] if all(here) else [at for at, found in enumerate(here) if not found]

    def put(self, pages: Iterable[Page]) -> int:
        """Keep pages; what is here already costs nothing. Returns the bytes written.

        A page that is not what its hash says is left out, so that one VM's mistake is no other's.
        Nothing is lost on CapacityError and OSError, but what came before it may be kept.
        """
        written = 0
        fresh = (page for page in pages if page[0] not in self._index)
        while chunk := list(islice(fresh, _FILE_PACKS * PACK_PAGES)):
            distinct = list(dict(chunk).items())
            if packs := self._make(distinct):
                written += self._write(packs)
        return written

    def _make(self, pages: Sequence[Page]) -> list[bytes]:
        made = self._workers.map(pagepack.make_true, pagepack.batches(pages, PACK_PAGES))
        return [packed for packed in made if packed]

    def put_pack(self, data: bytes) -> int:
        """Keep the pages of a pack from elsewhere; WireError when it is not wholly good."""
        pages = pagepack.parse(data)
        if any(digest in self._index for digest, _ in pages):
            return self.put(pages)
        return self._write([data])

    def pack(self, hashes: Sequence[bytes]) -> bytes:
        """Pages for `put_pack`, at most PACK_PAGES; errors as `read`."""
        return pagepack.make(list(zip(hashes, self.read(hashes), strict=True)))

    def read(self, hashes: Sequence[bytes]) -> Iterator[bytes]:
        """Pages in this order, each checked. GuestError names one that is damaged or not here."""
        for some in pagepack.batches(hashes, _FILE_PACKS * PACK_PAGES):
            pages: list[bytes] = [b""] * len(some)
            for first, content in self.runs(some):
                for at, page in enumerate(pagepack.cut(content), first):
                    pages[at] = page
            yield from pages

    def runs(self, hashes: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """(index of the first, content of one or more pages in a row), each page checked.

        In the order in which they lie on disk, so that each pack is opened once. Errors as `read`.
        """
        for opened in self._opened(hashes):
            if opened.damage:
                raise GuestError(opened.damage[0][1])
            yield from opened.runs

    def check(self, hashes: Sequence[bytes]) -> list[tuple[int, str]]:
        """Read all of these; the index of each that is no good, and why."""
        return sorted(bad for opened in self._opened(hashes) for bad in opened.damage)

    # --- who needs them -------------------------------------------------------------------------

    @contextmanager
    def keeping(self, hashes: Iterable[bytes]) -> Iterator[None]:
        """As `hold`, but only until the end of this block, or of the process."""
        taken = tuple(hashes)
        with self._lock:
            self._taking.append(taken)
        try:
            yield
        finally:
            with self._lock:
                self._taking.remove(taken)

    def refer(self, references: Callable[[], Iterable[bytes]]) -> None:
        """Ask this, too, which pages are held. It reads what it has on disk, and blocks."""
        self._references.append(references)

    def hold(self, owner: str, hashes: Iterable[bytes], *, more: bool = False) -> None:
        """Never collect these pages, whether they are here already or will be.

        It replaces what this owner held; `more`: it comes to that.
        """
        taken = tuple(hashes)
        with self.keeping(taken):
            (self._holds.add if more else self._holds.put)(owner, taken)

    def release(self, owner: str) -> None:
        self._holds.drop(owner)
        self.has_garbage = True

    def owners(self) -> list[str]:
        return self._holds.owners()

    def held_by(self, owner: str) -> list[bytes]:
        return self._holds.of(owner)

    def shares(self) -> dict[str, Share]:
        """What each owner's pages take on disk."""
        return self.shares_of({owner: self._holds.of(owner) for owner in self.owners()})

    def shares_of(self, held: Mapping[_Owner, Iterable[bytes]]) -> dict[_Owner, Share]:
        """The same for these owners, whoever they are."""
        sets = {owner: set(hashes) for owner, hashes in held.items()}
        count = Counter(digest for hashes in sets.values() for digest in hashes)
        with self._lock:
            weights = {d: self._weight(d) for d in count}
        shares = {}
        for owner, hashes in sets.items():
            alone = sum(weights[d] for d in hashes if count[d] == 1)
            shared = sum(weights[d] for d in hashes if count[d] > 1)
            shares[owner] = Share(len(hashes), round(alone), round(shared))
        return shares

    def weigh(self, hashes: Iterable[bytes]) -> int:
        """What these pages take on disk."""
        with self._lock:
            return round(sum(map(self._weight, hashes)))

    def _weight(self, digest: bytes) -> float:
        where = self._index.get(digest)
        if where is None:
            return 0.0
        pack = self._packs[where >> _PLACES]
        return pack.length / pack.pages

    # --- making room ----------------------------------------------------------------------------

    def collect(self) -> int:
        """Remove files of which nobody holds a page, write those anew that are mostly of no use.

        Returns the bytes freed. What is written is at most what is freed, beside small files that
        are put together.
        """
        with self._collecting:
            before, self.has_garbage = self.used_bytes, False
            dead, sparse = self._condemn()
            self._remove(dead)
            self._rewrite(sparse)
            return before - self.used_bytes

    def _condemn(self) -> tuple[list[int], list[int]]:
        """Files without a page that is held, and files to write anew. From now on no page in them
        that nobody holds is here: whoever wants one puts it elsewhere."""
        held: set[bytes] = set()
        with self._lock:
            for owner in self.owners():
                held.update(self._holds.of(owner))
            for others in (*self._taking, *(find() for find in self._references)):
                held.update(others)
            live = dict.fromkeys(self._packs, 0)
            for digest, where in self._index.items():
                live[where >> _PLACES] += digest in held
            dead = [n for n, f in self._files.items() if not any(live[p] for p in f.packs)]
            sparse = [n for n in self._sparse(live) if n not in dead]
            packs = {p for n in (*dead, *sparse) for p in self._files[n].packs}
            for digest in [d for d, w in self._index.items() if w >> _PLACES in packs]:
                if digest not in held:
                    del self._index[digest]
        return dead, sparse

    def _sparse(self, live: dict[int, int]) -> list[int]:
        small = [n for n, f in self._files.items() if f.size < _SMALL_BYTES]
        together = set(small) if len(small) >= _SMALL_FILES else set()
        for number, file in self._files.items():
            pages = sum(self._packs[p].pages for p in file.packs)
            if 2 * sum(live[p] for p in file.packs) <= pages:
                together.add(number)
        return sorted(together)

    def _rewrite(self, numbers: Sequence[int]) -> None:
        """Move the pages that count out of these files, then remove them.

        A damaged page is left out: it was lost already, and is now known to be.
        """
        packs = {p for n in numbers for p in self._files[n].packs}
        with self._lock:
            hashes = [d for d, w in self._index.items() if w >> _PLACES in packs]
        hashes.sort(key=lambda digest: self._index[digest])
        for some in pagepack.batches(hashes, _FILE_PACKS * PACK_PAGES):
            pages: list[Page] = []
            for opened in self._opened(some):
                for first, run in opened.runs:
                    pages += [(some[at], p) for at, p in enumerate(pagepack.cut(run), first)]
                for _, reason in opened.damage:
                    log.warning("page lost", reason=reason)
            if pages:
                self._write(self._make(pages), moved=packs)
        self._remove(numbers)

    def _remove(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            packfile.path_of(self._packs_at, number).unlink(missing_ok=True)
            with self._lock:
                file = self._files.pop(number)
                self.used_bytes -= file.size
                gone = set(file.packs)
                for pack in gone:
                    del self._packs[pack]
        if numbers:
            sync_directory(self._packs_at)

    # --- inside ---------------------------------------------------------------------------------

    def _find_all(self) -> None:
        for number in packfile.numbers(self._packs_at):
            self._next_file = number + 1
            file = self._files[number] = _File()
            file.size = packfile.path_of(self._packs_at, number).stat().st_size
            self.used_bytes += file.size
            try:
                for place, hashes in packfile.scan(self._packs_at, number):
                    self._enter(place, hashes)
            except WireError as error:  # what could be read of it counts
                log.warning("pages are damaged", file=f"{number:016x}", reason=str(error))

    def _write(self, packs: Sequence[bytes], *, moved: set[int] | None = None) -> int:
        """A file of these packs. `moved`: they are copies from those packs, and count for pages
        that are still there; the room is not asked for, since the others go."""
        size = sum(map(len, packs))
        if moved is None:
            self._check_room(size)
        with self._lock:
            number, self._next_file = self._next_file, self._next_file + 1
            self.used_bytes += size
        try:
            places = packfile.write(self._packs_at, number, packs)
        except BaseException:
            with self._lock:
                self.used_bytes -= size
            raise
        with self._lock:
            self._files[number] = _File(size)
            for place, hashes in places:
                self._enter(place, hashes, moved)
        return size

    def _check_room(self, size: int) -> None:
        if self.used_bytes + size > self.limit_bytes:
            self.collect()
        if self.used_bytes + size > self.limit_bytes:
            raise CapacityError(
                f"{size >> 10} KiB for pages of VMs, but {self.used_bytes >> 20} of"
                f" {self.limit_bytes >> 20} MiB are taken"
            )

    def _enter(
        self, place: PackPlace, hashes: Sequence[bytes], moved: set[int] | None = None
    ) -> None:
        pack, self._next_pack = self._next_pack, self._next_pack + 1
        self._packs[pack] = place
        self._files[place.file].packs.append(pack)
        for at, digest in enumerate(hashes):
            if moved is None or self._index.get(digest, 0) >> _PLACES in moved:
                self._index[digest] = pack << _PLACES | at

    def _opened(self, hashes: Sequence[bytes]) -> Iterator[_Opened]:
        """All of these pages, pack by pack."""
        groups = self._groups(hashes, range(len(hashes)))
        for some in pagepack.batches(groups, _FILE_PACKS):
            yield from self._workers.map(lambda group: self._open(hashes, *group), some)

    def _groups(
        self, hashes: Sequence[bytes], wanted: Iterable[int]
    ) -> list[tuple[int, list[tuple[int, int]]]]:
        """(pack, its (place, index in `hashes`)...), as they lie on disk. Pack 0: not here."""
        with self._lock:
            found = sorted((self._index.get(hashes[at], 0), at) for at in wanted)
        return [
            (pack, [(where & PACK_PAGES - 1, at) for where, at in group])
            for pack, group in groupby(found, key=lambda pair: pair[0] >> _PLACES)
        ]

    def _open(self, hashes: Sequence[bytes], pack: int, wanted: list[tuple[int, int]]) -> _Opened:
        """One pack's pages; when it has been written anew meanwhile, from where they are now."""
        try:
            content = packfile.read(self._packs_at, self._packs[pack])
        except (KeyError, FileNotFoundError):
            return self._open_moved(hashes, pack, wanted)
        except (WireError, OSError) as error:
            return self._lost(hashes, pack, wanted, str(error))
        opened, bad = _Opened([], []), []
        start = 0
        for end, (place, at) in enumerate(wanted, 1):
            page = content[place * PAGE_BYTES : (place + 1) * PAGE_BYTES]
            if pagepack.page_hash(page) != hashes[at]:
                bad.append((place, at))
                start = end
            elif end == len(wanted) or wanted[end] != (place + 1, at + 1):
                first = wanted[start]
                run = content[first[0] * PAGE_BYTES : (place + 1) * PAGE_BYTES]
                opened.runs.append((first[1], run))
                start = end
        if bad:
            opened.damage.extend(self._lost(hashes, pack, bad, "its content is another").damage)
        return opened

    def _open_moved(
        self, hashes: Sequence[bytes], pack: int, wanted: list[tuple[int, int]]
    ) -> _Opened:
        together = _Opened([], [])
        for now, group in self._groups(hashes, [at for _, at in wanted]):
            opened = (
                self._lost(hashes, pack, group, "it is not here")
                if now in (0, pack)
                else self._open(hashes, now, group)
            )
            together.runs.extend(opened.runs)
            together.damage.extend(opened.damage)
        return together

    def _lost(
        self, hashes: Sequence[bytes], pack: int, wanted: list[tuple[int, int]], reason: str
    ) -> _Opened:
        """These pages are no good: from now on they are not here."""
        with self._lock:
            for place, at in wanted:
                if self._index.get(hashes[at]) == pack << _PLACES | place:
                    del self._index[hashes[at]]
        return _Opened([], [(at, f"page {hashes[at][:6].hex()}: {reason}") for _, at in wanted])
