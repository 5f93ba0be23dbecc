"""A signed manifest without its list of pages, which goes to another node in another form
(`pagemap`): there it is made whole again, and is the same to the last bit or refused."""

from __future__ import annotations

from dataclasses import replace

from radics_mesh.codec import Fields, pack, unpack
from radics_mesh.errors import WireError
from radics_mesh.ids import Digest
from radics_mesh.vmm.manifest import Manifest, Signed, parse_head
from radics_mesh.vmm.pagemap import PageMap

# The fields of `manifest.Signed`.
SignedFields = tuple[Manifest, bytes, bytes, bytes]


def pages_of(manifest: Manifest) -> dict[int, bytes]:
    return dict(zip(manifest.pages, manifest.page_hashes(), strict=True))


def undress(snapshot: Signed) -> bytes:
    """All but the pages."""
    bare = replace(snapshot.manifest, pages=(), hashes=b"")
    return pack([bare.pack(), snapshot.signer, snapshot.signature, snapshot.chain])


def dress(data: bytes, pages: PageMap, memory_bytes: int, digest: Digest) -> SignedFields:
    """What `undress` was given, its signature still unverified; WireError if it is not `digest`."""
    fields = Fields(unpack(data, limit_bytes=len(data)), "snapshot")
    bare, *signed = parse_head(fields, len(data))
    fields.end()
    numbers = sorted(pages)
    hashes = b"".join([pages[number] for number in numbers])
    manifest = replace(bare, pages=tuple(numbers), hashes=hashes)
    if manifest.memory_bytes != memory_bytes or manifest.digest != digest:
        raise WireError("another snapshot than was announced")
    return manifest, signed[0], signed[1], signed[2]
