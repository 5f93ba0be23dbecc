"""A VM's state as what makes it of an earlier one, which its reader holds.

    data = make(before, after)                      `after` in a page store
    signed, packs = read(data, before, ...)         to be put into the reader's

Wire form: msgpack [page map, [pack]].
  page map  as `pagemap`, from the earlier state's to the later one's; its tail is the later
            manifest without its pages (`bare`)
  packs     as `pagepack`, the pages that the earlier state has nowhere
The same two states give the same bytes, so that pieces may be asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import DIGEST_BYTES, Digest
from radics_mesh.vmm import bare, pagemap, pagepack
from radics_mesh.vmm.bare import SignedFields
from radics_mesh.vmm.manifest import Manifest
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.pagepack import PACK_PAGES
from radics_mesh.vmm.stored import Stored


@dataclass(frozen=True)
class Base:
    """An earlier state's pages, in little memory."""

    digest: Digest
    numbers: tuple[int, ...] = field(repr=False)
    hashes: bytes = field(repr=False)

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        return cls(manifest.digest, manifest.pages, manifest.hashes)

    def pages(self) -> PageMap:
        cuts = range(0, len(self.hashes), DIGEST_BYTES)
        return dict(
            zip(self.numbers, (self.hashes[at : at + DIGEST_BYTES] for at in cuts), strict=True)
        )


def name(before: Digest, after: Digest) -> Digest:
    """What a delta between two states goes by on its way."""
    return Digest.of(bytes(before) + bytes(after))


def make(before: Base, after: Stored) -> bytes:
    """GuestError: a page of it is damaged. Blocks."""
    old, new = before.pages(), bare.pages_of(after.manifest)
    known = set(old.values())
    fresh = [digest for digest in dict.fromkeys(new.values()) if digest not in known]
    changes = pagemap.encode(old, new, bare.undress(after))
    packs = [after.store.pack(some) for some in pagepack.batches(fresh, PACK_PAGES)]
    return pack([changes, packs])


def read(
    data: bytes, before: Base, memory_bytes: int, digest: Digest
) -> tuple[SignedFields, Sequence[bytes]]:
    """The state of that digest, its signature not yet verified, and packs of pages that it needs
    beside its base's. WireError: it is none, or another."""
    fields = Fields.parse(data, "delta", limit_bytes=len(data))
    pages, tail = pagemap.decode(fields.blob(limit=len(data)), before.pages(), memory_bytes)
    packs = fields.items(limit=len(data))
    fields.end()
    if not all(isinstance(item, bytes) for item in packs):
        raise WireError("delta: not a list of packs")
    signed = bare.dress(tail, pages, memory_bytes, digest)
    return signed, [item for item in packs if isinstance(item, bytes)]
