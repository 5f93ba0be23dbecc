"""Chains beside the bundles that they prove, and by hash where they are known already.

A signature names the membership chain of its signer, and the ownership chain of a VM that it
speaks for, by their hash. The chains travel in blocks of their own, one each: type CHAIN, data the
packed chain. Nobody signs such a block, since it proves itself: it has the name that was signed.

What a node stores is whole, so that it can go to anybody. On a session with a member a chain is
left out that the member is known to hold: one that the session's handshake showed, or that came
from there, or that it has acknowledged. A receiver keeps chains that held, in bounded memory and
not on disk. If it lacks one, it refuses the bundle with ChainUnknown, and gets it whole:

  sender: by hash → receiver: ChainUnknown → sender: the same bundle whole → acknowledged

A whole bundle is never refused so, hence one repetition a bundle; and a neighbour that has lost
the same chain ASKED_MAX times gets it always, for as long as the contact lasts.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Collection

from radics_mesh.dtn.wire.blocks import CHAIN, Block
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import PeerError

NAME_BYTES = 16
ASKED_MAX = 3
# Some 25,000 membership chains. An ownership chain may have 64 KB.
MEMORY_BYTES = 8 << 20
_NAMES_MAX = 4096
# Beside a larger payload a chain is nothing; and what is one segment in TCPCL cannot break off with
# a part of it acknowledged, which would then lack the chain of its whole.
BESIDE_MAX_BYTES = 1 << 15


class ChainUnknown(PeerError):
    """A bundle names a chain that did not come with it and is not known: send it whole."""

    reason = "chain"


def name_of(packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=NAME_BYTES, person=b"radics chain").digest()


def block(packed: bytes) -> Block:
    return Block(CHAIN, 0, packed)


def carried(bundle: Bundle) -> dict[bytes, bytes]:
    """The chains that came with a bundle, by name."""
    return {name_of(b.data): b.data for b in bundle.blocks if b.kind == CHAIN}


def without(bundle: Bundle, names: Collection[bytes]) -> Bundle:
    """The bundle without the chains of these names."""
    kept = tuple(b for b in bundle.blocks if b.kind != CHAIN or name_of(b.data) not in names)
    return bundle.with_blocks(kept)


class Memory:
    """Chains that held, by name; the oldest go when it is full. For several threads."""

    def __init__(self, limit_bytes: int = MEMORY_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._held: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def get(self, name: bytes) -> bytes | None:
        return self._held.get(name)

    def remember(self, name: bytes, packed: bytes) -> None:
        if name in self._held or len(packed) > self._limit_bytes:
            return
        with self._lock:
            if self._held.setdefault(name, packed) is packed:
                self._bytes += len(packed)
            while self._bytes > self._limit_bytes:
                self._bytes -= len(self._held.pop(next(iter(self._held))))


class Shared:
    """The names that a neighbour holds, as far as this contact has shown."""

    def __init__(self, *names: bytes) -> None:
        self._names = set(names)
        self._asked: Counter[bytes] = Counter()

    def among(self, names: Collection[bytes]) -> set[bytes]:
        """Those that may be left out."""
        return self._names.intersection(names)

    def holds(self, names: Collection[bytes]) -> None:
        """It has sent these, or acknowledged them."""
        if self._names.issuperset(names):
            return
        if len(self._names) > _NAMES_MAX:
            self._names.clear()
        self._names.update(name for name in names if self._asked[name] < ASKED_MAX)

    def lacks(self, names: Collection[bytes]) -> None:
        """It asked for one of these. All that was in flight asks at once: that counts once."""
        for name in self.among(names):
            self._names.discard(name)
            self._asked[name] += 1
