"""How bundles are named in summary vectors: the first 12 bytes of a SHA-256.

An identity is about 90 bytes of text. 96 bits cannot be hit on purpose by a bundle made to look
like another one.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import replace

from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import WireError

DIGEST_BYTES = 12


@functools.lru_cache(maxsize=16_384)
def digest(bundle_id: BundleId) -> bytes:
    return hashlib.sha256(str(bundle_id).encode("ascii")).digest()[:DIGEST_BYTES]


def whole(bundle_id: BundleId) -> BundleId:
    """The bundle that a fragment is of."""
    return replace(bundle_id, offset=None, length=None)


def join(digests: Iterable[bytes]) -> bytes:
    return b"".join(digests)


def split(joined: object, limit: int) -> list[bytes]:
    """Inverse of `join`; WireError."""
    if not isinstance(joined, bytes) or len(joined) % DIGEST_BYTES:
        raise WireError("summary: not a row of digests")
    if len(joined) > limit * DIGEST_BYTES:
        raise WireError(f"summary: more than {limit} digests")
    return [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]
