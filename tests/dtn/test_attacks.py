"""What outsiders, members and those on the way may try against bundles, and what it gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.processing import Gate, Peer, Refusal, depart, originate
from radics_mesh.dtn.trust import security_block
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.dtn.trust.security import CIPHERSUITE, BundleVerifier, Signed, sign
from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.bundle import Bundle, Fragment
from radics_mesh.errors import PeerError, WireError
from radics_mesh.ids import NONE_EID, Digest, Eid
from radics_mesh.membership import Verifier, invite
from radics_mesh.ownership import born
from tests.dtn.bundles import plain
from tests.dtn.world import START, HandClock, Members, identity, running, until

CLOCK = HandClock()
MEMBERS = Members(CLOCK)
A, B, MALLORY = MEMBERS.me("a"), MEMBERS.me("b"), MEMBERS.me("mallory")
STRANGER = Members(HandClock()).me("stranger")
TO = B.node_id.service("inbox")
FOREIGN = Foreign(Eid("dtn://ibr"), None, "127.0.0.1", ("report",))


def signed(payload: bytes = b"payload") -> Bundle:
    return sign(plain(A.identity.eid, TO, payload), A.identity, A.chain)


def only(bundle: Bundle, *kinds: int) -> Bundle:
    return bundle.with_blocks(tuple(b for b in bundle.blocks if b.kind in kinds))


def with_data(bundle: Bundle, kind: int, data: bytes) -> Bundle:
    changed = (replace(b, data=data) if b.kind == kind else b for b in bundle.blocks)
    return bundle.with_blocks(tuple(changed))


def other_suite(bundle: Bundle) -> Bundle:
    """The signature is there, but said to be of a kind that nobody here can check."""
    block = bundle.block(blocks.INTEGRITY)
    assert block is not None
    data = sdnv.encode(2) + block.data[len(sdnv.encode(CIPHERSUITE)) :]
    return with_data(bundle, blocks.INTEGRITY, data)


def as_before(bundle: Bundle, chain: bytes, public: bytes) -> Bundle:
    """The form that carried the chain inside, with a signature that was made for the new one."""
    block = bundle.block(blocks.INTEGRITY)
    assert block is not None
    information = pack([public, chain, b""])
    parameters = security_block.item(security_block.KEY_INFORMATION, information)
    data = security_block.begin(CIPHERSUITE, parameters, 66) + block.data[-66:]
    return with_data(only(bundle, blocks.INTEGRITY, blocks.PAYLOAD), blocks.INTEGRITY, data)


def by_another_key() -> Bundle:
    """Mallory signs as a: with a's chain."""
    return sign(plain(A.identity.eid, TO), MALLORY.identity, A.chain)


def in_anothers_name() -> Bundle:
    return sign(plain(A.identity.eid, TO), MALLORY.identity, MALLORY.chain)


def for_a_vm_of_another() -> Bundle:
    vm = born(A.identity, "vm", Digest.of(b"image"), bytes(16))
    source = Eid(f"{vm.vm_id.eid}out")
    return sign(plain(source, TO), MALLORY.identity, MALLORY.chain, vm.pack())


def part_as_whole() -> Bundle:
    part = replace(plain(A.identity.eid, TO), fragment=Fragment(0, 100))
    return replace(sign(part, MALLORY.identity, MALLORY.chain), fragment=None)


def from_a_stranger() -> Bundle:
    return sign(plain(STRANGER.identity.eid, TO), STRANGER.identity, STRANGER.chain)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (lambda: only(signed(), blocks.PAYLOAD), "unsigned"),
        (lambda: only(signed(), blocks.PAYLOAD, blocks.CHAIN), "unsigned"),
        (lambda: other_suite(signed()), "unsigned"),
        (lambda: as_before(signed(), A.chain, A.identity.public), "signature"),
        (lambda: as_before(signed(), A.chain, MALLORY.identity.public), "signature"),
        (by_another_key, "signature"),
        (in_anothers_name, "signature"),
        (for_a_vm_of_another, "signature"),
        (part_as_whole, "unsigned"),
        (from_a_stranger, "signature"),
        (lambda: replace(signed(), source=MALLORY.identity.eid), "signature"),
        (lambda: replace(signed(), destination=MALLORY.identity.eid), "signature"),
        (lambda: replace(signed(), sequence=2), "signature"),  # as if it were another one
        (lambda: replace(signed(), lifetime_s=1 << 40), "signature"),
    ],
)
@pytest.mark.parametrize("peer", [MALLORY.node_id, FOREIGN], ids=["member", "foreign"])
def test_forged_and_stripped(attack: Callable[[], Bundle], reason: str, peer: Peer) -> None:
    with pytest.raises(Refusal) as refused:
        Gate(B).judge(attack().encode(), peer, now=CLOCK.monotonic(), wall=START)
    # A foreign peer has no more trust: nothing unsigned in a member's name, nor of a stranger.
    assert refused.value.reason == reason


def test_a_chain_put_in_place_of_another() -> None:
    """Names are hashes: the chain that comes along must have the one that was signed."""
    swapped = with_data(signed(), blocks.CHAIN, MALLORY.chain)
    with pytest.raises(ChainUnknown):
        BundleVerifier(B.verifier).verify(swapped, START)
    verifier = BundleVerifier(B.verifier)
    verifier.learn(A.chain)
    assert verifier.verify(swapped, START) == Signed(A.node_id, b"")


def test_a_stranger_teaches_no_chains() -> None:
    """What did not hold is not remembered, so it cannot fill the memory either."""
    verifier = BundleVerifier(B.verifier)
    with pytest.raises(PeerError):
        verifier.verify(from_a_stranger(), START)
    with pytest.raises(ChainUnknown):
        verifier.verify(only(from_a_stranger(), blocks.INTEGRITY, blocks.PAYLOAD), START)


def test_a_member_whose_time_is_over() -> None:
    """Also where its chain is remembered from better days."""
    verifier = BundleVerifier(B.verifier)
    assert verifier.verify(signed(), START) is not None
    for bundle in (signed(), only(signed(), blocks.INTEGRITY, blocks.PAYLOAD)):
        with pytest.raises(PeerError, match="expired"):
            verifier.verify(bundle, Wall(START + 2e8))


def test_a_member_invited_by_one_who_may_not() -> None:
    first = identity("first")
    root = invite(first, MEMBERS.root, MALLORY.identity.public, "m", Wall(START + 1e8))
    # By hand, since `invite` refuses: mallory's certificate ends the chain.
    forged = replace(root, certificates=(*root.certificates, root.certificates[-1])).pack()
    with pytest.raises((PeerError, WireError)):
        BundleVerifier(Verifier(MEMBERS.mesh)).verify(
            sign(plain(MALLORY.identity.eid, TO), MALLORY.identity, forged), START
        )


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        (B.node_id.service("report"), None),
        (B.node_id.service("control"), "closed"),
        (B.identity.eid, "closed"),
        (A.node_id.service("report"), "closed"),  # nothing is carried on for it
        (Eid("dtn://elsewhere/report"), "closed"),
        (NONE_EID, "closed"),
    ],
)
def test_a_foreign_peer_reaches_what_it_is_listed_for(to: Eid, reason: str | None) -> None:
    raw = plain(Eid("dtn://ibr/app"), to).encode()
    judged: str | None = None
    try:
        Gate(B).judge(raw, FOREIGN, now=CLOCK.monotonic(), wall=START)
    except Refusal as error:
        judged = error.reason
    assert judged == reason


async def test_an_old_bundle_made_young_again(tmp_path: Path) -> None:
    """Recorded, kept for a year, its age (which nobody signs) set back."""
    clock = HandClock()
    members = Members(clock)
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    made = originate(
        a,
        inbox,
        b"open the gate",
        source=a.identity.eid,
        stamp=(1, 1),
        lifetime_s=60,
        ownership=b"",
        priority=1,
    )
    young = depart(made, a.identity.eid, 0).encode()
    async with running(b, tmp_path) as node:
        node.agent.register(inbox, node.collect)
        await node.agent.receive(young, a.node_id)
        await node.received(1)
        for _ in range(3):
            clock.now += 86_400 * 365 / 3
            node.store.tick()
            await node.store.flushed()
            await node.agent.receive(young, a.node_id)
        assert node.agent.counters["duplicate"] == 3
        assert len(node.delivered) == 1
    async with running(b, tmp_path) as node:
        await node.agent.receive(young, a.node_id)
        await until(lambda: node.agent.counters["duplicate"] == 1)


# --- other implementations on the way ---


def reencoded(bundle: Bundle) -> bytes:
    """As another implementation might write it: dictionary in another order, strings repeated,
    numbers padded, another custodian, an extension of its own and a previous hop."""
    eids = bundle.destination, bundle.source, bundle.report_to, Eid("dtn://custodian/x")
    dictionary, pairs = bytearray(b"unused\0"), []
    for eid in reversed(eids):
        offsets = []
        for text in (eid.ssp, eid.scheme):
            offsets.append(padded(len(dictionary)))
            dictionary += text.encode() + b"\0"
        pairs.append(offsets[1] + offsets[0])
    body = b"".join(reversed(pairs))
    body += b"".join(map(padded, (bundle.created, bundle.sequence, bundle.lifetime_s)))
    body += padded(len(dictionary)) + dictionary
    if bundle.fragment:
        body += padded(bundle.fragment.offset) + padded(bundle.fragment.total)
    primary = b"\x06" + padded(bundle.flags | bool(bundle.fragment)) + padded(len(body)) + body
    own = b"\xc6\x10\x03odd" + b"\x05\x10\x0bdtn\0//ibr/\0"
    last = len(bundle.blocks) - 1
    rest = (
        bytes((block.kind,))
        + padded(block.flags | blocks.FORWARDED_UNPROCESSED | (8 if place == last else 0))
        + padded(len(block.data))
        + block.data
        for place, block in enumerate(bundle.blocks)
    )
    return primary + own + b"".join(rest)


def padded(number: int) -> bytes:
    return b"\x80" + sdnv.encode(number)


@pytest.mark.parametrize("fragment", [None, Fragment(3, 100)])
def test_what_another_implementation_wrote_anew(fragment: Fragment | None) -> None:
    bundle = replace(plain(A.identity.eid, TO, b"payload"), fragment=fragment)
    again = Bundle.parse(reencoded(sign(bundle, A.identity, A.chain)))
    assert again.custodian == "dtn://custodian/x"
    assert BundleVerifier(B.verifier).verify(again, START) == Signed(A.node_id, b"")


# --- every truncation, every bit ---


def broken(data: bytes) -> list[bytes]:
    cut = [data[:end] for end in range(len(data))]
    flipped = [
        data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]
    return cut + flipped


def test_every_broken_integrity_block() -> None:
    bundle = signed()
    block = bundle.block(blocks.INTEGRITY)
    assert block is not None
    verifier = BundleVerifier(B.verifier)
    for data in broken(block.data):
        # Refused, or of another ciphersuite and so no signature at all.
        try:
            assert verifier.verify(with_data(bundle, blocks.INTEGRITY, data), START) is None
        except (PeerError, WireError):
            continue


def test_every_broken_chain_block() -> None:
    bundle = signed()
    for data in broken(A.chain):
        with pytest.raises(ChainUnknown):
            BundleVerifier(B.verifier).verify(with_data(bundle, blocks.CHAIN, data), START)


def test_every_broken_chain_that_is_named() -> None:
    """Whoever signs may name anything as its chain."""
    verifier = BundleVerifier(B.verifier)
    for data in broken(A.chain):
        with pytest.raises((PeerError, WireError)):
            verifier.verify(sign(plain(A.identity.eid, TO), A.identity, data), START)


def test_every_broken_bundle() -> None:
    """What is still taken says what was said."""
    original = signed()
    gate = Gate(B)
    taken = 0
    for raw in broken(original.encode()):
        try:
            held = gate.judge(raw, A.node_id, now=CLOCK.monotonic(), wall=START).held
        except (PeerError, WireError):
            continue
        taken += 1
        assert (held.bundle_id, held.destination) == (original.id, TO)
        assert (held.signer, held.lifetime_s) == (A.node_id, 3600)
    assert taken > 0  # custodian, marks of hops
