"""A node's mesh keys: which is the newest, and which still open and seal datagrams. Sans-IO.

What is held is a set that grows: keys with the statements that made them (radics_mesh.rotations).
Which key is the newest follows from that set and the revocations known, not from any order of
arrival, so that nodes that know the same agree. In this order:

1. A key whose maker was revoked, by somebody who may, loses against all others once a key is held
   whose maker knew of that revocation. No epoch number helps a revoked member, however high.
2. A key that somebody signed for, before one that only came with an admission, or epoch 0.
3. The higher epoch. Both halves of a partition may make one of the same number; then
4. the key whose maker knew more revocations, then the higher key id, which is a hash.

A key that is no longer the newest stays live: until all known members have said that they hold the
newest (and LINGER_S more, for what is under way), at the latest for the overlap that the newest's
maker has stated, counted from when it came here. Ended keys are kept for a while: a revocation
that arrives late can make an older key the newest again.

What may never happen: two members in reach of each other's datagrams without a live key in common
because of a rotation that both have heard of (nobody ends a key before it holds a newer one, and
what it sends meanwhile goes under both); a key accepted late whose maker did not know a revocation
that the newest one's maker knew, for then the revoked node might hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radics_mesh.clock import Monotonic, Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.ids import Digest
from radics_mesh.membership import Chain, Mesh
from radics_mesh.revocations import Revocations
from radics_mesh.rotations import (
    EPOCH_MAX,
    OVERLAP_MAX_S,
    OVERLAP_S,
    SECRET_BYTES,
    STATEMENT_MAX_BYTES,
    Rotation,
    key_id_of,
)

LIVE_MAX = 4
# With those that have ended.
HELD_MAX = 8
# What is on its way was sealed before its sender heard the last confirmation.
LINGER_S = 3.0
FILE_MAX_BYTES = HELD_MAX * (STATEMENT_MAX_BYTES + 128)
_FORMAT = 1
# An epoch and a secret, as they are given to a new member.
Given = tuple[int, bytes]
_Rank = tuple[bool, bool, int, int, bytes]


@dataclass
class MeshKey:
    """`ends`: when it ends at the latest; None while nothing newer is held."""

    epoch: int
    secret: bytes
    key_id: bytes
    rotation: Rotation | None = None
    ends: Monotonic | None = None
    ended: bool = False

    @property
    def knows(self) -> frozenset[bytes]:
        return frozenset(self.rotation.knows if self.rotation else ())


class Keyring:
    """What one node holds. `settle` brings it up to date after anything has changed."""

    def __init__(self, mesh: Mesh, revocations: Revocations) -> None:
        """Epoch 0 alone."""
        self._mesh = mesh
        self._revocations = revocations
        first = MeshKey(0, mesh.key, key_id_of(mesh, 0, mesh.key))
        self._held = {first.key_id: first}
        self._tags: dict[bytes, tuple[int, frozenset[bytes]]] = {}

    @property
    def newest(self) -> MeshKey:
        return max(self._held.values(), key=self._rank)

    def live(self) -> list[MeshKey]:
        """The newest first."""
        alive = [one for one in self._held.values() if not one.ended]
        return sorted(alive, key=self._rank, reverse=True)

    def secrets(self) -> tuple[bytes, ...]:
        return tuple(one.secret for one in self.live())

    def given(self) -> list[Given]:
        """The live ones, for a new member."""
        return [(one.epoch, one.secret) for one in self.live()]

    def stated(self) -> set[bytes]:
        """Ids of those whose statement is held."""
        return {one.key_id for one in self._held.values() if one.rotation is not None}

    def tags(self) -> set[bytes]:
        """Of all revocations known here."""
        return {one.tag for one in self._revocations.all()}

    def passable(self) -> list[MeshKey]:
        """Live keys that this node may pass on to other members."""
        tags = self.tags()
        return [one for one in self.live() if one.rotation and one.knows <= tags]

    def next_epoch(self) -> int:
        """For a new key: above all but those of revoked makers, which it answers anyway."""
        return 1 + max(
            (one.epoch for one in self._held.values() if not self._tags_against(one)), default=0
        )

    def next_end(self) -> Monotonic | None:
        ends = [one.ends for one in self._held.values() if one.ends is not None and not one.ended]
        return min(ends, default=None)

    # --- changes --------------------------------------------------------------------------------

    def admitted_with(self, given: Sequence[Given], now: Monotonic) -> None:
        """Instead of epoch 0: what this node was given when it was let in, the newest first."""
        self._held.clear()
        for epoch, secret in given[:LIVE_MAX]:
            key = MeshKey(epoch, secret, key_id_of(self._mesh, epoch, secret))
            self._held[key.key_id] = key
        self.settle(now, confirmed=False)

    def add(self, rotation: Rotation, secret: bytes, now: Monotonic) -> bool:
        """Hold a key. Whether that is news; PeerError, WireError when it cannot be one."""
        known = self._held.get(rotation.key_id)
        if known is not None and known.rotation is not None:
            return False
        if key_id_of(self._mesh, rotation.epoch, secret) != rotation.key_id:
            raise PeerError("another mesh key than the one that was signed for")
        rotation.check(self._mesh)
        if known is None:
            known = MeshKey(rotation.epoch, secret, rotation.key_id)
            self._held[known.key_id] = known
        known.rotation = rotation
        newest = self.newest
        if newest is not known and not newest.knows <= known.knows:
            known.ended = True
        self.settle(now, confirmed=False)
        return True

    def settle(self, now: Monotonic, *, confirmed: bool) -> bool:
        """Let keys end whose time it is, and the newest count. `confirmed`: all members that are
        known hold the newest. Whether other keys are live than before."""
        before = self.secrets()
        newest = self.newest
        newest.ends, newest.ended = None, False
        overlap_s = newest.rotation.overlap_s if newest.rotation else OVERLAP_S
        for key in self.live()[1:]:
            latest = Monotonic(now + (min(LINGER_S, overlap_s) if confirmed else overlap_s))
            key.ends = latest if key.ends is None else min(key.ends, latest)
            key.ended = key.ends <= now
        for key in self.live()[LIVE_MAX:]:
            key.ended = True
        worst_first = sorted(self._held.values(), key=lambda one: (not one.ended, self._rank(one)))
        for key in worst_first[: max(0, len(worst_first) - HELD_MAX)]:
            del self._held[key.key_id]
        return self.secrets() != before

    def _rank(self, key: MeshKey) -> _Rank:
        tags = self._tags_against(key)
        answered = bool(tags) and any(
            not tags.isdisjoint(other.knows) for other in self._held.values() if other is not key
        )
        return not answered, key.rotation is not None, key.epoch, len(key.knows), key.key_id

    def _tags_against(self, key: MeshKey) -> frozenset[bytes]:
        """Of the revocations that put its maker out."""
        if key.rotation is None or not key.rotation.chain:
            return frozenset()
        count, tags = self._tags.get(key.key_id, (-1, frozenset()))
        if count != len(self._revocations):
            chain = Chain.parse(key.rotation.chain)
            tags = frozenset(one.tag for one in self._revocations.against(chain, self._mesh))
            self._tags = {k: v for k, v in self._tags.items() if k in self._held}
            self._tags[key.key_id] = len(self._revocations), tags
        return tags

    # --- the medium -----------------------------------------------------------------------------

    def pack(self, now: Monotonic, wall: Wall) -> bytes:
        rows = [
            [
                one.epoch,
                one.secret,
                one.rotation.pack() if one.rotation else b"",
                one.ended,
                -1 if one.ends is None else max(0, int(one.ends - now)),
            ]
            for one in self._held.values()
        ]
        return pack([_FORMAT, bytes(self._mesh.mesh_id), max(0, int(wall)), rows])

    def load(self, packed: bytes, now: Monotonic, wall: Wall) -> None:
        """Go on from there. WireError, PeerError when it is damaged. What another mesh's state has
        left is nothing."""
        fields = Fields.parse(packed, "mesh keys", limit_bytes=FILE_MAX_BYTES)
        fields.integer(_FORMAT, _FORMAT)
        mesh_id = Digest(fields.blob(32))
        then = Wall(float(fields.integer(0, 1 << 40)))
        rows = fields.items(limit=HELD_MAX)
        fields.end()
        if mesh_id != self._mesh.mesh_id:
            return
        # Only the wall clock knows how long the node was off; where it is none the time stands.
        known = is_plausible(then) and is_plausible(wall) and wall > then
        off_s = wall - then if known else 0.0
        held = [self._parse(row, now, off_s) for row in rows]
        if not any(not one.ended for one in held):
            raise WireError("mesh keys: none is live")
        self._held = {one.key_id: one for one in held}
        self.settle(now, confirmed=False)

    def _parse(self, row: object, now: Monotonic, off_s: float) -> MeshKey:
        fields = Fields(row, "mesh key")
        epoch, secret = fields.integer(0, EPOCH_MAX), fields.blob(SECRET_BYTES)
        packed = fields.blob(limit=STATEMENT_MAX_BYTES)
        ended, left_s = fields.boolean(), fields.integer(-1, OVERLAP_MAX_S)
        fields.end()
        key = MeshKey(epoch, secret, key_id_of(self._mesh, epoch, secret), ended=ended)
        if packed:
            key.rotation = Rotation.parse(packed)
            if (key.rotation.epoch, key.rotation.key_id) != (epoch, key.key_id):
                raise WireError("mesh keys: a key beside another one's statement")
        if left_s >= 0:
            key.ends = Monotonic(now + max(0.0, left_s - off_s))
        return key


def parse_given(items: Iterable[object]) -> list[Given]:
    """`given`, as it was sent. WireError."""
    rows = [Fields(item, "mesh key") for item in items]
    return [(row.integer(0, EPOCH_MAX), row.blob(SECRET_BYTES)) for row in rows]
