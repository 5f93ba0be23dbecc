"""Pieces of a content: in any order, repeated, over a restart, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.errors import CapacityError, WireError
from radics_mesh.hosting.moving import Incoming, cut
from radics_mesh.ids import Digest, VmId
from radics_mesh.vmm.handoff_messages import PIECE_BYTES, Piece

VM = VmId(bytes(20))
CONTENT = bytes(range(256)) * (PIECE_BYTES * 5 // 2 // 256)
DIGEST = Digest.of(CONTENT)
LIMIT_BYTES = 8 * PIECE_BYTES


def test_pieces_in_any_order_make_the_content(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path, LIMIT_BYTES)
    first, second, third = cut(VM, DIGEST, CONTENT, ())
    assert incoming.missing(DIGEST) == ()
    assert not incoming.add(third)
    assert not incoming.add(third)
    assert incoming.missing(DIGEST) == (0, 1)
    incoming = Incoming(tmp_path, LIMIT_BYTES)
    assert not incoming.add(first)
    assert incoming.whole(DIGEST) is None
    assert incoming.add(second)
    assert incoming.whole(DIGEST) == CONTENT
    incoming.drop(DIGEST)
    assert incoming.whole(DIGEST) is None


def test_only_the_wanted_pieces_are_cut() -> None:
    assert [piece.index for piece in cut(VM, DIGEST, CONTENT, (2, 0, 9))] == [2, 0]
    assert [piece.data for piece in cut(VM, DIGEST, b"", ())] == [b""]


def test_what_nobody_asks_for_any_more_makes_room(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path, LIMIT_BYTES)
    for n in range(20):
        incoming.add(Piece(VM, Digest.of(b"%d" % n), 0, 3, b"part"))
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(CapacityError):
        incoming.add(Piece(VM, DIGEST, 0, 9, b"too long"))


def test_another_count_than_begun_is_refused(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path, LIMIT_BYTES)
    incoming.add(Piece(VM, DIGEST, 0, 3, b"part"))
    with pytest.raises(WireError, match="not as begun"):
        incoming.add(Piece(VM, DIGEST, 0, 2, b"part"))
