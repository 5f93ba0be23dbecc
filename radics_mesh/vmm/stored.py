"""A snapshot on a node: its signed manifest in a file, its pages in the node's store.

    stored = keep(store, survey, ...)      of a parked guest: reads pages that the store lacks
    stored = adopt(store, snapshot, path)  of a snapshot in one piece
    stored = load(store, path, ...)        signature verified; each page is, when it is read

Pages are on the medium before the manifest that names them; both are when these return. The
manifest's file is what keeps its pages in the store: `references` reads them out again.

  magic 8 | msgpack [manifest, signer's key, signature, chain]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from radics_mesh.codec import Fields, pack
from radics_mesh.durable import write_durably
from radics_mesh.errors import GuestError, WireError
from radics_mesh.membership import Verifier
from radics_mesh.vmm import pagepack, survey
from radics_mesh.vmm.manifest import Manifest, Signed, Signer, Subject, parse_head, sign
from radics_mesh.vmm.pagepack import PACK_PAGES
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import PAGE_BYTES
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.template import Template

log = structlog.get_logger(__name__)

SUFFIX = ".manifest"
_MAGIC = b"RdCSmani"


# A state whose pages are read before it starts is not read twice if they are so few: 64 MiB.
READ_PAGES_MAX = 16384


@dataclass(frozen=True)
class Read(Signed):
    """Its pages are in memory, checked."""

    contents: tuple[tuple[int, bytes], ...] = field(repr=False)
    whence: Stored = field(repr=False)

    def runs(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.contents)

    def in_one_piece(self) -> Snapshot:
        return self.whence.in_one_piece()


@dataclass(frozen=True)
class Stored(Signed):
    """Its pages are there as far as the store knows; reading finds out."""

    store: PageStore = field(repr=False, compare=False)

    def runs(self) -> Iterator[tuple[int, bytes]]:
        """In the order of the medium; each page checked. GuestError: damaged, or not here."""
        pages = self.manifest.pages
        for first, content in self.store.runs(self.manifest.page_hashes()):
            # A run's pages are neighbours on the medium, perhaps not in memory.
            count = len(content) // PAGE_BYTES
            start = 0
            for end in range(1, count + 1):
                at = first + end
                if end == count or pages[at] != pages[at - 1] + 1:
                    part = content[start * PAGE_BYTES : end * PAGE_BYTES]
                    yield pages[first + start], part
                    start = end

    def read(self) -> Read:
        """All pages, now; GuestError as `runs`."""
        contents = tuple(self.runs())
        return Read(self.manifest, self.signer, self.signature, self.chain, contents, self)

    def check_pages(self) -> list[tuple[int, str]]:
        """Read every page; numbers of those that are no good, and why."""
        bad = self.store.check(self.manifest.page_hashes())
        return [(self.manifest.pages[at], reason) for at, reason in bad]

    def in_one_piece(self) -> Snapshot:
        """To be carried elsewhere. GuestError: a page is damaged. Blocks; it is in memory as a
        whole."""
        hashes = self.manifest.page_hashes()
        contents = self.store.read(hashes)
        packs = [
            pagepack.squeeze([next(contents) for _ in some])
            for some in pagepack.batches(hashes, PACK_PAGES)
        ]
        return Snapshot(self.manifest, self.signer, self.signature, self.chain, tuple(packs))

    def pack(self) -> bytes:
        """The manifest's file."""
        return _MAGIC + pack(self.head())


def keep(
    store: PageStore,
    seen: Survey,
    ram: Path,
    memory_bytes: int,
    template: Template,
    subject: Subject,
    signer: Signer,
    directory: Path,
) -> Stored:
    """A parked guest's state, durably. Blocks.

    Only pages that the store lacks are read, so `seen`, made after it had parked, is believed about
    the others, which harms nobody but a guest that lied about what it has changed. What is not as
    it says is found when it is read: then all of the memory is looked at.
    CapacityError, OSError: nothing has changed, beside pages that are collected some time.
    """
    for tries in (seen, None):
        found = tries or survey.look(ram, memory_bytes, template)
        numbers = sorted(found.pages)
        hashes = [found.pages[number] for number in numbers]
        with store.keeping(hashes):
            lacking = store.lacking(hashes)
            put_pages(store, ram, {numbers[at]: hashes[at] for at in lacking})
            if store.lacking(hashes[at] for at in lacking):
                log.warning("a guest has not told of all that it changed", vm=subject.vm.short)
                continue
            signed = sign(subject, memory_bytes, tuple(numbers), b"".join(hashes), signer)
            stored = Stored(*signed, store)
            write(stored, directory)
            return stored
    raise GuestError("a parked guest's memory changes")


def put_pages(store: PageStore, ram: Path, pages: Mapping[int, bytes]) -> int:
    """Pages (number, ascending, to hash) of a guest's memory into the store, but for those that
    have become others meanwhile; the bytes written. Blocks."""
    contents = survey.read_pages(ram, pages)
    return store.put((pages[number], content) for number, content in contents)


def adopt(store: PageStore, snapshot: Snapshot, directory: Path) -> Stored:
    """The same for a snapshot in one piece, whose pages have been checked. Blocks."""
    hashes = snapshot.manifest.page_hashes()
    stored = Stored(snapshot.manifest, snapshot.signer, snapshot.signature, snapshot.chain, store)
    with store.keeping(hashes):
        contents = (content for _, content in snapshot.pages())
        store.put(zip(hashes, contents, strict=True))
        if store.lacking(hashes):
            raise WireError("snapshot: a page is altered")
        write(stored, directory)
    return stored


def write(stored: Stored, directory: Path) -> None:
    write_durably(path_of(directory, stored.digest.hex()), stored.pack(), mode=0o600)


def path_of(directory: Path, digest: str) -> Path:
    return directory / f"{digest}{SUFFIX}"


def parse(data: bytes) -> tuple[Manifest, bytes, bytes, bytes]:
    """The fields of `Signed` from a manifest's file, unverified; WireError."""
    if not data.startswith(_MAGIC):
        raise WireError("not a snapshot's manifest")
    fields = Fields.parse(data[len(_MAGIC) :], "snapshot", limit_bytes=len(data))
    signed = parse_head(fields, len(data))
    fields.end()
    return signed


def load(store: PageStore, path: Path, verifier: Verifier) -> Stored:
    """OSError: not here. WireError, PeerError: damaged, or foreign.

    That its file is here says that its signer was a member when it came.
    """
    stored = Stored(*parse(path.read_bytes()), store)
    if stored.digest.hex() != path.stem:
        raise WireError("snapshot: its manifest is altered")
    stored.check_signature(verifier, None)
    return stored


def references(root: Path) -> Iterator[bytes]:
    """Hashes of the pages that manifests below this directory name, one level down."""
    for path in root.glob(f"*/*{SUFFIX}"):
        try:
            manifest, *_ = parse(path.read_bytes())
        except (WireError, OSError) as error:  # it names nothing any more
            log.warning("a snapshot's manifest is damaged", file=path.name, reason=str(error))
        else:
            yield from manifest.page_hashes()
