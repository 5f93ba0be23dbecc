"""Encrypted payloads: read by the receiver alone, bound to their bundle, never plain by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from radics_mesh.config import encrypt_rule
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.fragments import cut, join
from radics_mesh.dtn.rules.processing import depart, originate
from radics_mesh.dtn.trust.confidentiality import (
    RECORD_BYTES,
    KeyUnknown,
    Policy,
    decrypt,
    encrypt,
    is_encrypted,
    sealed_bytes,
)
from radics_mesh.dtn.trust.security import BundleVerifier, Signed, sign
from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, Fragment
from radics_mesh.dtn.wire.content import FileBytes
from radics_mesh.dtn.wire.scratch import scratch
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.ownership import born
from tests.dtn.bundles import plain
from tests.dtn.world import START, HandClock, Members, connect, running, until

MEMBERS = Members(HandClock())
A, B, C = MEMBERS.me("a"), MEMBERS.me("b"), MEMBERS.me("c")
TO = B.node_id.service("inbox")
SECRET = b"the position of the boat"


def sealed(payload: bytes = SECRET) -> Bundle:
    return encrypt(plain(A.identity.eid, TO, payload), B.identity.public)


def signed(payload: bytes = SECRET) -> Bundle:
    return sign(sealed(payload), A.identity, A.chain)


@pytest.mark.parametrize("size", [0, 1, 100, RECORD_BYTES, RECORD_BYTES + 1, 3 * RECORD_BYTES - 1])
def test_only_the_receiver_reads_it(size: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    payload = payload[:size]
    bundle = sealed(payload)
    assert is_encrypted(bundle)
    assert len(bundle.payload) == sealed_bytes(size)
    again = Bundle.parse(bundle.encode())
    assert decrypt(again, B.identity) == payload
    with pytest.raises(PeerError):
        decrypt(again, A.identity)


def test_nothing_of_it_is_on_the_wire() -> None:
    assert SECRET not in signed().encode()
    assert sealed().payload != sealed().payload  # nor whether the same was said twice


def test_hops_check_it_without_reading_it() -> None:
    hopped = Bundle.parse(depart(signed(), C.identity.eid, 5).encode())
    proved = BundleVerifier(C.verifier).verify(hopped, START)
    assert proved is not None
    assert proved.signer == A.node_id
    assert decrypt(hopped, B.identity) == SECRET


def without(bundle: Bundle, kind: int) -> Bundle:
    return bundle.with_blocks(tuple(b for b in bundle.blocks if b.kind != kind))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: without(b, blocks.CONFIDENTIALITY),
        lambda b: b.with_blocks((Block(blocks.CONFIDENTIALITY, 0, b"\x01\x00"), *b.blocks)),
        lambda b: b.with_blocks(
            tuple(
                replace(x, data=x.data[:-1] + b"?") if x.kind == blocks.CONFIDENTIALITY else x
                for x in b.blocks
            )
        ),
    ],
)
def test_the_signature_covers_how_it_is_encrypted(change: Callable[[Bundle], Bundle]) -> None:
    """Without the block, ciphertext would be delivered as if it were the message."""
    with pytest.raises(PeerError):
        BundleVerifier(B.verifier).verify(change(signed()), START)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, source=C.identity.eid),  # c signs what a said
        lambda b: replace(b, destination=B.node_id.service("other")),
        lambda b: replace(b, created=b.created + 1),
        lambda b: replace(b, sequence=b.sequence + 1),
        lambda b: replace(b, lifetime_s=b.lifetime_s + 1),
        lambda b: replace(b, report_to=C.identity.eid),
    ],
)
def test_it_opens_in_its_own_bundle_only(change: Callable[[Bundle], Bundle]) -> None:
    with pytest.raises(PeerError):
        decrypt(change(sealed()), B.identity)


def with_payload(bundle: Bundle, data: bytes) -> Bundle:
    return bundle.with_blocks(
        tuple(replace(b, data=data) if b.kind == blocks.PAYLOAD else b for b in bundle.blocks)
    )


def test_records_are_not_cut_moved_or_repeated() -> None:
    size = RECORD_BYTES + 17
    bundle = sealed(bytes(3 * RECORD_BYTES))
    one, two, three = (bundle.payload[at : at + size] for at in range(0, 3 * size, size))
    assert len(decrypt(bundle, B.identity)) == 3 * RECORD_BYTES
    for changed in (one + two, one, b"", one + three, two + one + three, one + two + three + three):
        with pytest.raises(PeerError):
            decrypt(with_payload(bundle, changed), B.identity)


def test_what_is_no_whole_or_no_single_encryption() -> None:
    twice = sealed().with_blocks((sealed().blocks[0], *sealed().blocks))
    part = replace(sealed(), fragment=Fragment(0, 1000))
    foreign = plain(extra=(Block(blocks.CONFIDENTIALITY, 0, sdnv.encode(3) + b"whatever"),))
    for bundle in (twice, part, foreign):
        with pytest.raises(PeerError):
            decrypt(bundle, B.identity)
    with pytest.raises(UsageError):
        encrypt(replace(plain(), fragment=Fragment(0, 1000)), B.identity.public)


@given(st.binary(max_size=140))
def test_any_confidentiality_block(data: bytes) -> None:
    bundle = plain(extra=(Block(blocks.CONFIDENTIALITY, 0, data),))
    with pytest.raises((PeerError, WireError)):
        decrypt(bundle, B.identity)


def test_every_truncation_and_bit_flip_of_the_block() -> None:
    bundle = sealed()
    data = bundle.blocks[0].data
    flips = (
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    )
    for changed in (*(data[:end] for end in range(len(data))), *flips):
        broken = bundle.with_blocks((replace(bundle.blocks[0], data=changed), *bundle.blocks[1:]))
        try:
            # A number that is written otherwise says the same.
            assert decrypt(broken, B.identity) == SECRET
        except (PeerError, WireError):
            continue


def key_of(node: NodeId) -> bytes:
    return {B.node_id: B.identity.public}.get(node, b"")


def test_no_key_is_an_error_and_never_plaintext() -> None:
    policy = Policy(A.identity, ("*",), key_of)
    assert policy.key_for(TO, asked=False) == B.identity.public
    assert policy.key_for(A.node_id.service("x"), asked=False) == A.identity.public
    with pytest.raises(KeyUnknown):
        policy.key_for(C.identity.eid, asked=False)
    vm = born(A.identity, "vm", Digest.of(b"image"), bytes(16)).vm_id
    to_vm = Eid(f"{vm.eid}in")
    for keyless in (to_vm, Eid("dtn://ibr/x"), Eid("ipn:2.1")):
        named = Policy(A.identity, (keyless, "*"), key_of)
        with pytest.raises(UsageError):
            named.key_for(keyless, asked=False)
        with pytest.raises(UsageError):
            Policy(A.identity).key_for(keyless, asked=True)
        assert Policy(A.identity).key_for(keyless, asked=False) == b""
    with capture_logs() as logged:  # "*" is all that can have a key
        assert policy.key_for(to_vm, asked=False) == policy.key_for(to_vm, asked=False) == b""
    assert len(logged) == 1
    with pytest.raises(UsageError):
        policy.key_for(Eid("ipn:2.1"), asked=False)
    with pytest.raises(PeerError):  # a directory that is wrong about a key
        Policy(A.identity, (), lambda node: A.identity.public).key_for(TO, asked=True)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ("*", True),
        ("inbox", True),
        ("in", False),
        (TO, True),
        (B.identity.eid, True),
        (C.identity.eid, False),
        (TO[:-1], False),
    ],
)
def test_rules(rule: str, matches: bool) -> None:
    policy = Policy(A.identity, (encrypt_rule(rule),), key_of)
    assert bool(policy.key_for(TO, asked=False)) == matches


@pytest.mark.parametrize("rule", ["", "not an: eid"])
def test_rules_that_never_match(rule: str) -> None:
    with pytest.raises(UsageError):
        encrypt_rule(rule)


async def test_from_application_to_application(tmp_path: Path) -> None:
    """Over a hop that stores it; a bundle that cannot be opened is dropped and counted."""
    to_b = StaticRoutes({B.node_id: [C.node_id]})
    inbox = B.node_id.service("inbox")
    async with (
        running(A, tmp_path / "a", to_b, privacy=Policy(A.identity, (), key_of)) as a,
        running(C, tmp_path / "c") as c,
        running(B, tmp_path / "b") as b,
    ):
        b.agent.register(inbox, b.collect)
        with pytest.raises(KeyUnknown):
            await a.agent.send(C.node_id.service("x"), SECRET, encrypt=True)
        await a.agent.send(inbox, SECRET, encrypt=True)
        (held,) = a.store.live()
        assert SECRET not in (await a.store.read(held) or SECRET)
        connect(a, c)
        connect(c, b)
        (delivery,) = await b.received(1)
        assert (delivery.payload, delivery.encrypted) == (SECRET, True)
        assert delivery.signer == a.id
        to_another = originate(
            A,
            inbox,
            SECRET,
            source=A.identity.eid,
            stamp=(1, 1),
            lifetime_s=60,
            ownership=b"",
            priority=1,
            receiver=C.identity.public,
        )
        await b.agent.receive(to_another.encode(), c.id)
        await until(lambda: b.agent.counters["undecipherable"] == 1 and not len(b.store))
        assert len(b.delivered) == 1


async def test_a_large_payload_from_file_to_file(tmp_path: Path) -> None:
    payload = bytes(range(256)) * (3 << 12) + b"end"
    source = tmp_path / "source"
    source.write_bytes(payload)
    inbox = B.node_id.service("inbox")
    async with (
        running(A, tmp_path / "a", privacy=Policy(A.identity, (), key_of)) as a,
        running(B, tmp_path / "b") as b,
    ):
        b.agent.register(inbox, b.collect)
        connect(a, b)
        await a.agent.send(inbox, FileBytes.of(source), encrypt=True)
        (delivery,) = await b.received(1)
        assert isinstance(delivery.content, FileBytes)
        assert delivery.payload == payload
        assert delivery.encrypted
        await until(lambda: not len(a.store) and not len(b.store))
        for node, name in ((a, "a"), (b, "b")):
            await node.store.flushed()
            assert list((tmp_path / name / "large").iterdir()) == []


def test_what_is_altered_leaves_no_file(tmp_path: Path) -> None:
    sealed_file = tmp_path / "sealed"
    bundle = sealed(bytes(4 * RECORD_BYTES))
    sealed_file.write_bytes(bundle.payload[:-1] + b"?")
    altered = bundle.with_blocks((bundle.blocks[0], blocks.payload(FileBytes.of(sealed_file))))
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(PeerError):
        decrypt(altered, B.identity, partial(scratch, kept))
    assert list(kept.iterdir()) == []
    with pytest.raises(CapacityError):
        decrypt(altered, B.identity, partial(scratch, tmp_path / "nowhere"))


def test_cut_on_the_way_and_joined_again() -> None:
    """Parts are signed by who cut them, and only the whole opens."""
    payload = bytes(range(200))
    verifier = BundleVerifier(C.verifier)
    pieces = [sign(piece, C.identity, C.chain) for piece in cut(signed(payload), [50, 120])]
    arrived = [Bundle.parse(depart(piece, C.identity.eid, 1).encode()) for piece in pieces]
    for piece in arrived:
        assert verifier.verify(piece, START) == Signed(C.node_id, b"")
        with pytest.raises(PeerError):
            decrypt(piece, B.identity)
    # Of the first part it says as well how it is encrypted.
    with pytest.raises(PeerError):
        verifier.verify(without(arrived[0], blocks.CONFIDENTIALITY), START)
    whole = join(arrived[::-1])
    assert verifier.verify(whole, START) == Signed(A.node_id, b"")
    assert decrypt(whole, B.identity) == payload
