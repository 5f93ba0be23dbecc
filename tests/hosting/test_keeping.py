"""Checkpoints at other nodes: policies, messages and what is kept on disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.hosting.copies import Copy
from radics_mesh.hosting.custody import Custody, Sort, State
from radics_mesh.hosting.keeping_messages import (
    Drop,
    Dropped,
    Filed,
    Keep,
    Kept,
    Letters,
    Message,
    Part,
    Want,
    decode,
    encode,
)
from radics_mesh.hosting.papers import Settings
from radics_mesh.hosting.policy import AFTER_MIN_S, Policy, Survival
from radics_mesh.identity import Identity, seal
from radics_mesh.ids import Digest, NodeId
from radics_mesh.node import replicas
from radics_mesh.ownership import born
from radics_mesh.vmm.handoff_messages import Piece, Terms
from radics_mesh.vmm.pages import PageStore
from tests.strategies import msgpack_values
from tests.vmm.test_snapshot import page, take

A, K = Identity(b"A" * 32), Identity(b"K" * 32)
CHAIN = born(A, "counter", Digest.of(b"image"), b"n" * 16)
SNAPSHOT = Digest.of(b"snapshot")
MANDATE = CHAIN.mandate(A, K.public, SNAPSHOT, 3, 60)
TERMS = Terms("x86_64", "qemu64", 32 << 20, 1 << 20, 1 << 16)
NODES = tuple(NodeId(bytes([n]) * 20) for n in (1, 2))
MESSAGES: list[Message] = [
    Keep(CHAIN.vm_id, CHAIN, MANDATE, 1, TERMS, SNAPSHOT, 1_800_000_000),
    Kept(CHAIN.vm_id, 3, SNAPSHOT, "no room"),
    Want(CHAIN.vm_id, SNAPSHOT, (1, 5)),
    Part(Piece(CHAIN.vm_id, SNAPSHOT, 0, 2, b"bytes")),
    Drop(CHAIN.vm_id, CHAIN),
    Dropped(CHAIN.vm_id),
    Letters(CHAIN.vm_id, CHAIN, (Copy(1, 7, b"k" * 16, "dtn://from/", "service", b"bytes"),)),
    Filed(CHAIN.vm_id, ((1, 7), (1, 9))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_reaches_only_who_it_is_for(message: Message) -> None:
    sealed = encode(message, K.public)
    assert decode(sealed, K) == message
    with pytest.raises(PeerError):
        decode(sealed, A)


@given(
    msgpack_values
    | st.lists(
        st.sampled_from([1, "keep", "kept", "want", "part", "drop", bytes(20), CHAIN.pack()])
        | msgpack_values
    )
)
def test_any_value_is_a_keeping_message_or_a_mesh_error(value: object) -> None:
    with suppress(WireError, PeerError):
        decode(seal(K.public, pack(value)), K)


@given(st.integers(0, 3000), st.integers(1, 255))
def test_an_altered_message_is_none(position: int, flip: int) -> None:
    data = bytearray(encode(MESSAGES[0], K.public))
    data[position % len(data)] ^= flip
    with pytest.raises(MeshError):
        decode(bytes(data), K)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("at-most-one", Policy()),
        ("restartable", Policy(Survival.RESTARTABLE, 300)),
        ("restartable:60", Policy(Survival.RESTARTABLE, 60)),
        ("replicated", Policy(Survival.REPLICATED)),
    ],
)
def test_a_policy_survives_words_and_wire(text: str, policy: Policy) -> None:
    assert Policy.parse(text) == policy
    assert Policy.parse(str(policy)) == policy
    kept = replace(policy, keepers=NODES)
    assert Policy.read(Fields(kept.fields(), "policy")) == kept


@pytest.mark.parametrize(
    "text",
    ["", "always", "restartable:", "restartable:x", f"restartable:{AFTER_MIN_S - 1}",
     "restartable:99999999999", "at-most-one:5", "replicated:2", "restartable:-60"],
)  # fmt: skip
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Policy.parse(text)
    with pytest.raises(UsageError):
        Policy.parse("replicated", NODES)


@given(st.lists(st.sampled_from(["restartable", 0, [bytes(20)]]) | msgpack_values, max_size=4))
def test_any_fields_are_a_policy_or_a_wire_error(fields: list[object]) -> None:
    with suppress(WireError):
        Policy.read(Fields(fields, "policy"))


def test_a_replica_is_asked_for_in_words_that_survive_the_wire() -> None:
    settings = Settings(1 << 20, arguments=("x",), policy=Policy(Survival.REPLICATED))
    for message in (
        replicas.Start(b"12345678", SNAPSHOT, "many", settings),
        replicas.Started(b"12345678", CHAIN.vm_id),
        replicas.Started(b"12345678", None, "no room"),
    ):
        assert replicas.decode(replicas.encode(message)) == message
    held = replicas.Start(b"12345678", SNAPSHOT, "one", Settings(1 << 20))
    with pytest.raises(WireError, match="not of a replicated VM"):
        replicas.decode(replicas.encode(held))


@given(msgpack_values | st.lists(st.sampled_from([1, "start", b"12345678"]) | msgpack_values))
def test_any_value_is_a_replica_message_or_a_wire_error(value: object) -> None:
    with suppress(WireError):
        replicas.decode(pack(value))


def custody_in(folder: Path) -> Custody:
    return Custody(folder, PageStore(folder / "pages", 1 << 30))


def checkpoint(folder: Path, number: int) -> tuple[State, bytes]:
    snapshot = take(folder / "ram", {400: page(number)})
    content, digest = snapshot.pack(), snapshot.digest
    mandate = CHAIN.mandate(A, K.public, digest, number, 60)
    state = State(
        CHAIN.vm_id, digest, Sort.CHECKPOINT, CHAIN, 1000.0 + number, len(content), 2000.0, mandate
    )
    return state, content


def test_a_later_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    custody = custody_in(tmp_path)
    for number in (1, 2):
        custody.keep(*checkpoint(tmp_path, number))
    state, content = checkpoint(tmp_path, 2)
    custody.close()
    custody = custody_in(tmp_path)
    assert custody.states() == [state]
    assert custody.content(state.snapshot) == content
    assert len(list(tmp_path.glob("*.manifest"))) == 1


def test_a_divergent_state_stays_until_it_is_dropped_by_name(tmp_path: Path) -> None:
    custody = custody_in(tmp_path)
    higher = CHAIN.recovered(K, SNAPSHOT, MANDATE)
    first, content = checkpoint(tmp_path, 1)
    divergent = replace(first, sort=Sort.DIVERGENT, mandate=None, higher=higher)
    custody.keep(divergent, content)
    custody.keep(*checkpoint(tmp_path, 2))
    assert divergent in custody.states(CHAIN.vm_id)
    custody.drop(divergent)
    assert [state.sort for state in custody.states()] == [Sort.CHECKPOINT]
    assert len(list(tmp_path.glob("*.manifest"))) == 1


def test_what_a_crash_left_without_a_row_is_removed(tmp_path: Path) -> None:
    custody = custody_in(tmp_path)
    custody.keep(*checkpoint(tmp_path, 1))
    custody.close()
    for suffix in (".snap", ".manifest"):
        (tmp_path / ("ab" * 32 + suffix)).write_bytes(b"half done")
    assert len(custody_in(tmp_path).states()) == 1
    assert len(list(tmp_path.glob("ab*"))) == 0
    assert len(list(tmp_path.glob("*.manifest"))) == 1


def test_a_state_is_kept_under_its_own_name_only(tmp_path: Path) -> None:
    custody = custody_in(tmp_path)
    first, content = checkpoint(tmp_path, 1)
    with pytest.raises(WireError, match="another state"):
        custody.keep(replace(first, snapshot=SNAPSHOT), content)
    assert custody.states() == []
    assert list(tmp_path.glob("*.manifest")) == []


def test_a_holder_numbers_above_what_a_keeper_has_seen(tmp_path: Path) -> None:
    custody, other = custody_in(tmp_path), Digest.of(b"other")
    assert custody.serial(CHAIN.vm_id, SNAPSHOT) == 1
    assert custody.serial(CHAIN.vm_id, SNAPSHOT) == 1
    assert custody.serial(CHAIN.vm_id, other) == 2
    assert custody.serial(CHAIN.vm_id, other, at_least=9) == 10
    assert custody.serial_of(CHAIN.vm_id) == 10
