"""Signatures: what must break them, what must not, who may sign for whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.dtn.rules.processing import depart
from radics_mesh.dtn.trust.security import BundleVerifier, Signed, canonical, ownership_in, sign
from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, Fragment
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.ids import Digest, Eid
from radics_mesh.ownership import born
from tests.dtn.bundles import plain
from tests.dtn.world import START, HandClock, Members

MEMBERS = Members(HandClock())
A, B = MEMBERS.me("a"), MEMBERS.me("b")
TO = B.node_id.service("inbox")
VERIFIER = BundleVerifier(B.verifier)


def signed(payload: bytes = b"payload", extra: tuple[Block, ...] = ()) -> Bundle:
    return sign(plain(A.identity.eid, TO, payload, extra), A.identity, A.chain)


def refused(bundle: Bundle) -> None:
    with pytest.raises((PeerError, WireError)):
        VERIFIER.verify(bundle, START)


def test_signed_by_a() -> None:
    assert VERIFIER.verify(signed(), START) == Signed(A.node_id, b"")
    assert VERIFIER.verify(Bundle.parse(signed().encode()), START) == Signed(A.node_id, b"")


def test_unsigned() -> None:
    assert VERIFIER.verify(plain(), START) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, destination=A.identity.eid),
        lambda b: replace(b, source=B.identity.eid),
        lambda b: replace(b, report_to=B.identity.eid),
        lambda b: replace(b, created=b.created + 1),
        lambda b: replace(b, sequence=b.sequence + 1),
        lambda b: replace(b, lifetime_s=b.lifetime_s + 1),
        lambda b: replace(b, flags=b.flags ^ 0x100),
        lambda b: replace(b, flags=b.flags | 2),
        lambda b: b.with_blocks((b.blocks[0], Block(blocks.PAYLOAD, 0, b"PAYLOAD"))),
        lambda b: b.with_blocks((b.blocks[0], Block(blocks.PAYLOAD, 4, b"payload"))),
        lambda b: b.with_blocks((b.blocks[0], Block(blocks.PAYLOAD, 0, b"payload", (TO,)))),
        lambda b: b.with_blocks((replace(b.blocks[0], flags=1), b.blocks[1])),
        lambda b: replace(b, fragment=Fragment(0, 7)),
        lambda b: b.with_blocks(b.blocks[:1]),
    ],
)
def test_a_change_to_what_is_signed(change: Callable[[Bundle], Bundle]) -> None:
    changed = change(signed())
    if changed.fragment:
        assert VERIFIER.verify(changed, START) is None  # nobody vouches for a fragment
    else:
        refused(changed)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_byte_changed(data: st.DataObject) -> None:
    """Whatever is still accepted says the same as what was signed."""
    original = signed()
    raw = bytearray(original.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = Bundle.parse(bytes(raw))
        proved = VERIFIER.verify(changed, START)
    except MeshError:
        return
    if proved is not None:
        meaning = changed.id, changed.destination, changed.payload, changed.lifetime_s
        assert meaning == (original.id, TO, b"payload", 3600)


def test_what_hops_may_change() -> None:
    """Dictionary order, custodian, age, previous hop, unknown blocks, the 'unprocessed' mark."""
    bundle = signed()
    hopped = replace(bundle, custodian=Eid("dtn://elsewhere/with/a/new/string"))
    hopped = depart(hopped, B.identity.eid, 12345)
    marked = tuple(replace(b, flags=b.flags | blocks.FORWARDED_UNPROCESSED) for b in hopped.blocks)
    hopped = hopped.with_blocks((Block(200, 0, b"?", (Eid("ipn:9.9"),)), *marked))
    again = Bundle.parse(hopped.encode())
    assert VERIFIER.verify(again, START) == Signed(A.node_id, b"")


def test_only_the_source_signs_for_itself() -> None:
    refused(sign(plain(B.identity.eid, TO), A.identity, A.chain))
    refused(sign(plain(Eid("dtn://stranger/"), TO), A.identity, A.chain))


def test_a_stranger_with_a_chain_of_its_own_mesh() -> None:
    other = Members(HandClock())
    stranger = other.me("a")
    refused(sign(plain(stranger.identity.eid, TO), stranger.identity, stranger.chain))


def test_a_stolen_chain_does_not_fit_another_key() -> None:
    refused(sign(plain(A.identity.eid, TO), B.identity, A.chain))


def test_an_expired_membership() -> None:
    VERIFIER.verify(signed(), START)
    with pytest.raises(PeerError, match="expired"):
        VERIFIER.verify(signed(), Wall(START + 2e8))


def test_a_vm_speaks_through_its_holder_only() -> None:
    birth = born(A.identity, "vm", Digest.of(b"image"), bytes(16))
    moved = birth.released(A.identity, B.identity.public, Digest.of(b"snapshot"))
    source = Eid(f"{birth.vm_id.eid}out")
    unsigned = plain(source, TO)
    assert VERIFIER.verify(sign(unsigned, A.identity, A.chain, birth.pack()), START) == Signed(
        A.node_id, birth.pack()
    )
    by_b = sign(unsigned, B.identity, B.chain, moved.pack())
    assert VERIFIER.verify(by_b, START) == Signed(B.node_id, moved.pack())
    assert ownership_in(by_b) == moved.pack()
    refused(sign(unsigned, A.identity, A.chain, moved.pack()))
    refused(sign(unsigned, B.identity, B.chain, birth.pack()))
    refused(sign(unsigned, A.identity, A.chain))
    refused(sign(unsigned, A.identity, A.chain, b"\x90"))
    other = born(A.identity, "other", Digest.of(b"image"), bytes(16))
    refused(sign(unsigned, A.identity, A.chain, other.pack()))


def test_a_fragment_is_vouched_for_by_who_cut_it() -> None:
    part = replace(plain(A.identity.eid, TO, b"345"), fragment=Fragment(3, 10))
    cut = sign(part, B.identity, B.chain)
    assert VERIFIER.verify(Bundle.parse(cut.encode()), START) == Signed(B.node_id, b"")
    refused(cut.with_blocks((cut.blocks[0], Block(blocks.PAYLOAD, 0, b"xyz"))))
    moved = replace(cut, fragment=Fragment(4, 10))
    assert VERIFIER.verify(moved, START) is None
    whole = replace(cut, fragment=None)
    assert VERIFIER.verify(whole, START) is None


def test_other_ciphersuites_are_not_ours_to_judge() -> None:
    foreign = Block(blocks.INTEGRITY, 0, sdnv.encode(2) + b"whatever")
    assert VERIFIER.verify(plain(extra=(foreign,)), START) is None


@given(st.binary(max_size=80))
def test_any_integrity_block(data: bytes) -> None:
    block = Block(blocks.INTEGRITY, 0, sdnv.encode(25519) + data)
    with pytest.raises((WireError, PeerError)):
        VERIFIER.verify(plain(extra=(block,)), START)


def test_no_payload_no_signature() -> None:
    with pytest.raises(UsageError):
        sign(plain().with_blocks((blocks.age(1),)), A.identity, A.chain)


def test_the_canonical_form_byte_for_byte() -> None:
    bundle = replace(
        plain(Eid("dtn://a/"), Eid("dtn://b/"), b"xyz", created=5, sequence=6, lifetime_s=7),
        custodian=Eid("dtn://c/"),
    )
    head, payload = canonical(bundle, Block(blocks.INTEGRITY, 0, b"0123456789"), 4)
    assert payload == b"xyz"
    eid = "00000008" + b"dtn://%b/".hex()
    eids = "".join(
        len(e).to_bytes(4, "big").hex() + e.encode().hex()
        for e in ("dtn://b/", "dtn://a/", "dtn:none")
    )
    numbers = "".join(n.to_bytes(8, "big").hex() for n in (5, 6, 7))
    assert len(eid) == 26
    assert head.hex() == (
        "06" + "0000000000000090" + f"{len(eids + numbers) // 2:08x}" + eids + numbers
        + "03" + "0000000000000000" + "000000000000000a" + b"0123".hex()
        + "01" + "0000000000000000" + "0000000000000003"
    )  # fmt: skip
