"""Bundles as files in a directory that somebody carries: names, receipts, what to write and take.

Sans-IO; radics_mesh.dtn.layers.stick reads and writes the directory, and
radics_mesh.dtn.layers.carrier decides when.

  <writer>.<key>.<moment>.bundle        one bundle, RFC 5050 bytes as on the wire
  <writer>.<taker>.<moment>.<nth>.receipt  a bundle too, from who took bundles to who wrote them
  <node>.card                           a node's own record: its name and its key
  anything else that ends in .bundle    of another implementation, or copied there by hand

A bundle that was written stays with its writer until a receipt says that a member has it, durably;
the receipt is signed like every bundle. A stick that is lost is written again, one that is read
twice says nothing new. The key in a name is that of the writer's store: the receipt's word is for
that arrival of the bundle, and cannot make the writer drop it when it has come back since (a VM's
bundles may). The moment says how long the bundle was under way, since no clock runs on a stick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from radics_mesh.clock import Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.config import Foreign
from radics_mesh.dtn.routes.waiting import target_of
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, NodeId

# The endpoint that receipts are for.
SERVICE = "carried"
BUNDLE, RECEIPT, CARD = ".bundle", ".receipt", ".card"
# Left free on a stick, so that whoever reads it has room for receipts.
RESERVE_BYTES = 256 << 10
# How much of a file system's space a file's last block may waste.
_BLOCK_BYTES = 4096
RECEIPT_ENTRIES = 1000
# A stick may come back late; the bundles that it speaks of are forgotten by then.
RECEIPT_LIFETIME_S = 30 * 86_400
_VERSION = 1
_NUMBER_MAX = 1 << 62
# Whoever brings a bundle that no member seems to have written: nothing of this node is open to it.
UNKNOWN = Foreign(Eid("dtn:carried"), None, "")


@dataclass(frozen=True)
class Written:
    """What the name of a bundle's file says. None of it is proved.

    `moment` is Unix time, 0 by a clock that was never set.
    """

    writer: NodeId
    key: int
    moment: int

    @property
    def text(self) -> str:
        return f"{self.writer.text}.{self.key}.{self.moment}{BUNDLE}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """None for a name that none of us gave."""
        parts = name.removesuffix(BUNDLE).split(".")
        if len(parts) != 3 or not all(map(_is_number, parts[1:])):
            return None
        try:
            return cls(NodeId.parse(parts[0]), int(parts[1]), int(parts[2]))
        except WireError:
            return None


@dataclass(frozen=True)
class ReceiptName:
    """Whose receipt for whom a file should be."""

    writer: NodeId
    taker: NodeId
    moment: int
    nth: int

    @property
    def text(self) -> str:
        return f"{self.writer.text}.{self.taker.text}.{self.moment}.{self.nth}{RECEIPT}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        parts = name.removesuffix(RECEIPT).split(".")
        if len(parts) != 4 or not all(map(_is_number, parts[2:])):
            return None
        try:
            writer, taker = map(NodeId.parse, parts[:2])
        except WireError:
            return None
        return cls(writer, taker, int(parts[2]), int(parts[3]))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


@dataclass(frozen=True)
class Receipt:
    """Its signer has these bundles, durably: of each the key in its file's name, and what it is."""

    taken: tuple[tuple[int, BundleId], ...]

    def pack(self) -> bytes:
        return pack([_VERSION, [word for key, what in self.taken for word in (key, str(what))]])

    @classmethod
    def parse(cls, data: bytes) -> Self:
        fields = Fields.parse(data, "receipt")
        fields.integer(_VERSION, _VERSION)
        words = Fields(fields.items(limit=2 * RECEIPT_ENTRIES), "receipt")
        fields.end()
        taken = []
        while words.has_more:
            taken.append((words.integer(0, _NUMBER_MAX), BundleId.parse(words.text(limit=400))))
        return cls(tuple(taken))


def receipts(taken: Sequence[tuple[int, BundleId]]) -> list[Receipt]:
    """As many as it takes."""
    starts = range(0, len(taken), RECEIPT_ENTRIES)
    return [Receipt(tuple(taken[start : start + RECEIPT_ENTRIES])) for start in starts]


def in_order(bundles: Iterable[Held]) -> list[Held]:
    """Higher priority first, then order of arrival, as over any other link."""
    return sorted(bundles, key=lambda held: (-held.priority, held.key))


def written_by(own: NodeId, names: Iterable[str]) -> dict[int, str]:
    """This node's files among those on a stick, by the keys of their bundles."""
    parsed = ((name, Written.parse(name)) for name in names)
    return {said.key: name for name, said in parsed if said is not None and said.writer == own}


def fits(size_bytes: int, free_bytes: int) -> bool:
    """Whether a file may be written, and the reserve stays."""
    return size_bytes + _BLOCK_BYTES + RESERVE_BYTES <= free_bytes


def is_same(there: bytes, departing: Bundle) -> bool:
    """Whether a file holds this bundle, undamaged: all but the age it had when it was written."""
    try:
        found = Bundle.parse(there)
    except WireError:
        return False
    return _ageless(found) == _ageless(departing)


def _ageless(bundle: Bundle) -> Bundle:
    return bundle.with_blocks(tuple(b for b in bundle.blocks if b.kind != blocks.AGE))


def to_read(own: NodeId, names: Collection[str], known: Collection[str]) -> list[str]:
    """Bundles that are worth reading: not our own, and none of those `known` from this stick.

    In the order of their keys: what one node wrote arrives in the order in which it arrived there.
    """
    files = []
    for name in names:
        said = Written.parse(name)
        if name.endswith(BUNDLE) and name not in known and (said is None or said.writer != own):
            files.append((said.key if said else 0, name))
    return [name for _, name in sorted(files)]


def brought_by(said: Written | None, bundle: Bundle, listed: Iterable[Foreign]) -> Peer:
    """As whose it counts: a listed foreign peer's whose name it bears, its writer's, nobody's.

    That decides about unsigned bundles and about the way back, never about a signature.
    """
    name = target_of(bundle.source)
    foreign = next((peer for peer in listed if target_of(peer.eid) == name), None)
    if foreign is not None:
        return foreign
    return said.writer if said is not None else UNKNOWN


def aged(bundle: Bundle, said: Written | None, now: Wall) -> Bundle:
    """The bundle, older by the time on the stick as far as both nodes' clocks know it."""
    age_us = bundle.age_us
    if said is None or age_us is None or not is_plausible(now):
        return bundle
    if not is_plausible(Wall(said.moment)) or now <= said.moment:
        return bundle
    older = blocks.age(age_us + int((now - said.moment) * 1e6))
    others = tuple(block for block in bundle.blocks if blocks.read_age(block) is None)
    return bundle.with_blocks((older, *others))
