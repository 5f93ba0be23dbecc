from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.ownership import Ownership, born
from tests.strategies import msgpack_values

A, B, C = (Identity(bytes([n]) * 32) for n in range(3))
IMAGE = Digest.of(b"image")
BORN = born(A, "counter", IMAGE, b"n" * 16)
MOVED = BORN.released(A, B.public, Digest.of(b"s1"))
BACK = MOVED.released(B, A.public, Digest.of(b"s2"))


def test_each_release_raises_the_epoch_and_names_holder_and_snapshot() -> None:
    assert (BORN.epoch, BORN.holder, BORN.snapshot) == (1, A.node_id, None)
    assert (MOVED.epoch, MOVED.holder, MOVED.snapshot) == (2, B.node_id, Digest.of(b"s1"))
    assert (BACK.epoch, BACK.holder) == (3, A.node_id)
    assert BORN.vm_id == MOVED.vm_id == BACK.vm_id


def test_a_chain_survives_its_wire_form() -> None:
    for chain in (BORN, MOVED, BACK):
        assert Ownership.parse(chain.pack()) == chain


def test_only_the_holder_may_release() -> None:
    with pytest.raises(PeerError, match="does not hold"):
        MOVED.released(A, C.public, Digest.of(b"s"))


def test_a_link_signed_by_a_former_holder_is_refused() -> None:
    other = BORN.released(A, C.public, Digest.of(b"s1"))
    spliced = Ownership(MOVED.birth, (*MOVED.links, *other.links))
    with pytest.raises(PeerError, match="epoch"):
        Ownership.parse(spliced.pack())
    again = Ownership(BACK.birth, (other.links[0], BACK.links[1]))
    with pytest.raises(PeerError, match="bad signature"):
        Ownership.parse(again.pack())


def test_extends_tells_growth_from_a_fork() -> None:
    fork = BORN.released(A, C.public, Digest.of(b"s1"))
    assert BACK.extends(MOVED)
    assert BACK.extends(BACK)
    assert not MOVED.extends(BACK)
    assert not fork.extends(MOVED)


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_flipped_byte_never_parses_as_the_same_vm(position: int, flip: int) -> None:
    data = bytearray(BACK.pack())
    data[position % len(data)] ^= flip
    with pytest.raises(MeshError):
        Ownership.parse(bytes(data))


@given(msgpack_values)
def test_any_value_is_a_chain_or_a_mesh_error(value: object) -> None:
    with contextlib.suppress(WireError, PeerError):
        Ownership.parse(pack(value))
