from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import Chain, Grant, found, invite
from radics_mesh.roles import Role
from radics_mesh.rotations import EPOCH_MAX, OVERLAP_MAX_S, Rotation, key_id_of, rotate
from tests.strategies import msgpack_values
from tests.test_revocations import CHAIN, FIRST, GENESIS, LOWER, LOWER_CHAIN, MESH, NOW, OUTSIDER

SECRET = b"s" * 32


def made(signer: Identity = FIRST, chain: bytes = CHAIN.pack(), epoch: int = 1) -> Rotation:
    return rotate(
        signer,
        chain,
        MESH,
        SECRET,
        epoch=epoch,
        overlap_s=60,
        when=NOW,
        knows=[b"b" * 16, b"a" * 16],
    )


@pytest.mark.parametrize(
    ("signer", "chain"), [(FIRST, CHAIN.pack()), (LOWER, LOWER_CHAIN.pack()), (GENESIS, b"")]
)
def test_whoever_may_operate_may_change_the_key(signer: Identity, chain: bytes) -> None:
    statement = made(signer, chain)
    statement.check(MESH)
    assert Rotation.parse(statement.pack()) == statement
    assert statement.knows == (b"a" * 16, b"b" * 16)
    assert statement.key_id == key_id_of(MESH, 1, SECRET) != key_id_of(MESH, 2, SECRET)


def guest() -> tuple[Identity, Chain]:
    identity, later = Identity(bytes([100]) * 32), Wall(NOW + 1000)
    may = Grant(Role.INVITE | Role.RUN)
    return identity, invite(FIRST, CHAIN, identity.public, "guest", later, may)


def test_others_may_not() -> None:
    invited, chain = guest()
    with pytest.raises(UsageError, match="only members that may operate"):
        made(invited, chain.pack())
    forged = replace(made(), chain=chain.pack(), signer=invited.public)
    with pytest.raises(PeerError, match="may not operate"):
        forged.check(MESH)
    _, other_mesh, other_chain = found(OUTSIDER, "other", NOW)
    foreign = rotate(
        OUTSIDER, other_chain.pack(), other_mesh, SECRET, epoch=1, overlap_s=60, when=NOW, knows=[]
    )
    for statement in (
        foreign,
        replace(foreign, mesh_id=MESH.mesh_id),
        replace(made(), chain=LOWER_CHAIN.pack()),
        replace(made(GENESIS, b""), chain=CHAIN.pack()),
        replace(made(), epoch=2),
        replace(made(), knows=()),
        replace(made(), key_id=bytes(16)),
    ):
        with pytest.raises(PeerError):
            statement.check(MESH)


def test_a_rotators_certificate_may_have_run_out_since() -> None:
    """Whoever comes back after that needs the key, too."""
    made(LOWER, LOWER_CHAIN.pack()).check(MESH)  # of certificates the check asks no time


def test_bounds() -> None:
    for overlap_s, epoch in ((0, 1), (OVERLAP_MAX_S + 1, 1), (60, EPOCH_MAX + 1)):
        with pytest.raises(UsageError):
            rotate(
                FIRST,
                CHAIN.pack(),
                MESH,
                SECRET,
                epoch=epoch,
                overlap_s=overlap_s,
                when=NOW,
                knows=[],
            )


@given(st.binary(max_size=200) | msgpack_values.map(pack) | st.just(made().pack()[:-1]))
def test_any_bytes_are_a_statement_or_a_wire_error(raw: bytes) -> None:
    try:
        Rotation.parse(raw)
    except WireError:
        return
