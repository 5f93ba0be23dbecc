"""A disk that was put back from an older copy is found out by what others have seen."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import WireError
from radics_mesh.hosting.boots import HISTORY, Boot, Boots, has_forgotten
from radics_mesh.hosting.witness import Seen, Shown, decode, encode
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import born
from tests.strategies import msgpack_values

NODE = NodeId(b"n" * 20)


def test_every_start_has_a_number_of_its_own(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        boots = Boots(tmp_path / "boots.sqlite")
        assert boots.begin().number == number
        assert boots.history()[0].number == number
        boots.close()
    assert len({boot.nonce for boot in Boots(tmp_path / "boots.sqlite").history()}) == 3


def test_no_more_than_the_last_starts_are_shown(tmp_path: Path) -> None:
    boots = Boots(tmp_path / "boots.sqlite")
    for _ in range(HISTORY + 3):
        boots.begin()
    assert [boot.number for boot in boots.history()] == list(range(HISTORY + 3, 3, -1))


@pytest.mark.parametrize("restarts", [0, 1, 2, 5])
def test_a_copy_is_found_out_however_often_it_was_restarted(tmp_path: Path, restarts: int) -> None:
    here, witness = Boots(tmp_path / "boots.sqlite"), Boots(tmp_path / "witness.sqlite")
    here.begin()
    here.close()
    shutil.copy(tmp_path / "boots.sqlite", tmp_path / "copy.sqlite")
    here = Boots(tmp_path / "boots.sqlite")
    for _ in range(2):
        here.begin()
    assert witness.witness(NODE, here.history()) == here.history()[0]
    copy = Boots(tmp_path / "copy.sqlite")
    for _ in range(restarts):
        copy.begin()
    seen = witness.witness(NODE, copy.history())
    assert seen == here.history()[0]
    assert has_forgotten(copy.history(), seen)
    again = copy.begin(seen)
    assert again.number > max(3, restarts + 1)
    assert witness.witness(NODE, copy.history()) == again
    assert has_forgotten(here.history(), again)  # the other card, put in once more


def test_the_best_chain_of_a_vm_is_remembered(tmp_path: Path) -> None:
    boots, (a, b) = Boots(tmp_path / "boots.sqlite"), (Identity(bytes([n]) * 32) for n in (1, 2))
    first = born(a, "counter", Digest(bytes(32)), bytes(16))
    second = first.released(a, b.public, Digest(bytes(32)))
    for chain in (second, first):
        boots.remember(chain)
    boots.close()
    boots = Boots(tmp_path / "boots.sqlite")
    assert boots.chains() == [second]
    assert boots.chain(VmId(bytes(20))) is None


boots_shown = st.lists(
    st.builds(Boot, st.integers(1, 1 << 53), st.binary(min_size=8, max_size=8)),
    min_size=1,
    max_size=HISTORY,
    unique_by=lambda boot: boot.number,
).map(lambda boots: sorted(boots, key=lambda boot: -boot.number))
holdings = st.lists(
    st.tuples(
        st.binary(min_size=20, max_size=20).map(VmId),
        st.binary(min_size=32, max_size=32).map(Digest),
    ),
    max_size=5,
)


@given(boots_shown, holdings, st.lists(st.binary(max_size=99), max_size=5))
def test_witness_messages_survive_their_wire_form(
    history: list[Boot], holds: list[tuple[VmId, Digest]], chains: list[bytes]
) -> None:
    for message in (Shown(history, holds), Seen(history[0], chains)):
        assert decode(encode(message)) == message


@given(msgpack_values | st.lists(st.sampled_from([1, "boot", "seen"]) | msgpack_values))
def test_any_value_is_a_witness_message_or_a_wire_error(value: object) -> None:
    with suppress(WireError):
        decode(pack(value))
