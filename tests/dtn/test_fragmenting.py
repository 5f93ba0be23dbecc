"""Fragments between agents: small links, broken transfers, shuffled and forged pieces."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from radics_mesh.config import Foreign
from radics_mesh.dtn.handling.broken_off import BrokenOff
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.fragments import cut
from radics_mesh.dtn.rules.processing import depart, originate
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import CUSTODY, REPORT_DELIVERY, Bundle
from radics_mesh.dtn.wire.content import FileBytes
from radics_mesh.errors import PeerError
from radics_mesh.ids import NONE_EID, Eid
from radics_mesh.me import Me
from tests.dtn.bundles import plain
from tests.dtn.world import Members, Node, carry, connect, running, until

PAYLOAD = bytes(n % 251 for n in range(20_000))


def whole(sender: Me, to: Eid, sequence: int = 1, asks: int = 0) -> Bundle:
    return originate(
        sender,
        to,
        PAYLOAD,
        source=sender.identity.eid,
        stamp=(1, sequence),
        lifetime_s=3600,
        ownership=b"",
        priority=1,
        asks=asks,
        report_to=sender.identity.eid if asks else NONE_EID,
    )


def pieces(bundle: Bundle, cutter: Me, *at: int) -> list[bytes]:
    """As they leave who cut them."""
    own = cutter.identity
    return [
        depart(sign(piece, own, cutter.chain), own.eid, 0).encode() for piece in cut(bundle, at)
    ]


def narrow(receiver: Node, sender: Node, limit: int, seen: list[int]) -> None:
    """A contact that takes small bundles only."""
    arrives = carry(receiver, sender.id)

    async def transmit(raw: bytes) -> None:
        assert len(raw) <= limit
        seen.append(len(raw))
        await arrives(raw)

    sender.agent.contact_up(receiver.id, transmit, limit_bytes=limit)


# --- small links ---


async def test_a_long_bundle_crosses_a_small_link(tmp_path: Path, members: Members) -> None:
    """And is cut again by a smaller one; the whole is proved at its end."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    via_b = StaticRoutes({c.node_id: [b.node_id]})
    async with (
        running(a, tmp_path / "a", via_b) as node_a,
        running(b, tmp_path / "b") as node_b,
        running(c, tmp_path / "c") as node_c,
    ):
        first, second = list[int](), list[int]()
        narrow(node_b, node_a, 8000, first)
        narrow(node_c, node_b, 3000, second)
        node_c.agent.register(inbox, node_c.collect)
        sent = await node_a.agent.send(inbox, PAYLOAD)
        (delivery,) = await node_c.received(1)
        assert (delivery.bundle_id, delivery.signer) == (sent, a.node_id)
        assert delivery.payload == PAYLOAD
        assert len(second) > len(first) > 2
        await until(lambda: not any(len(node.store) for node in (node_a, node_b, node_c)))


async def test_what_must_not_be_cut_waits_for_another_contact(
    tmp_path: Path, members: Members
) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(inbox, node_b.collect)
        narrow(node_b, node_a, 8000, [])
        await node_a.agent.send(inbox, PAYLOAD, must_not_fragment=True)
        await until(lambda: node_a.agent.counters["too_long"] == 1)
        assert len(node_a.store) == 1
        node_a.agent.contacts()[0].close()
        connect(node_a, node_b)
        assert (await node_b.received(1))[0].payload == PAYLOAD


# --- broken transfers ---


def breaks_once(
    receiver: Node, sender: Node, taken: int, told: int
) -> Callable[[bytes], Awaitable[None]]:
    """A link over which `taken` bytes come, `told` of them acknowledged, before it breaks."""
    arrives = carry(receiver, sender.id)
    broken = False

    async def transmit(raw: bytes) -> None:
        nonlocal broken
        if len(raw) < len(PAYLOAD) or broken:
            await arrives(raw)
            return
        broken = True
        await receiver.agent.receive_part(raw[:taken], sender.id)
        raise BrokenOff(told)

    return transmit


@pytest.mark.parametrize("custody", [False, True])
@pytest.mark.parametrize(("taken", "told"), [(9000, 9000), (12_000, 9000)])
async def test_what_came_before_a_break_does_not_come_again(
    tmp_path: Path, members: Members, taken: int, told: int, custody: bool
) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(inbox, node_b.collect)
        node_a.agent.contact_up(b.node_id, breaks_once(node_b, node_a, taken, told))
        sent = await node_a.agent.send(inbox, PAYLOAD, custody=custody)
        await until(lambda: node_a.agent.counters["cut"] == 1)
        connect(node_a, node_b)
        (delivery,) = await node_b.received(1)
        assert (delivery.bundle_id, delivery.payload, delivery.signer) == (sent, PAYLOAD, a.node_id)
        await until(lambda: not len(node_a.store) and not len(node_b.store))
        assert node_b.agent.bytes_in < len(PAYLOAD) + 8000


async def test_a_part_without_any_payload_is_nothing(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(inbox, node_b.collect)

        async def breaks(raw: bytes) -> None:
            raise BrokenOff(20)

        node_a.agent.contact_up(b.node_id, breaks)
        await node_a.agent.send(inbox, PAYLOAD)
        await until(lambda: not node_a.agent.contacts())
        connect(node_a, node_b)
        assert (await node_b.received(1))[0].payload == PAYLOAD
        assert node_a.agent.counters["cut"] == 0


async def test_parts_that_are_not_taken(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    foreign = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("inbox",))
    must = Block(200, blocks.DELETE_BUNDLE_IF_UNPROCESSABLE, b"")
    signed = whole(a, inbox).encode()
    async with running(b, tmp_path) as node:
        for raw, peer in (
            (signed, a.node_id),  # all of it: no part
            (replace(whole(a, inbox), flags=4).encode()[:-9], a.node_id),
            (plain(a.identity.eid, inbox, PAYLOAD).encode()[:-9], a.node_id),
            (plain(a.identity.eid, inbox, PAYLOAD, (must,)).encode()[:-9], a.node_id),
            (signed[:-9], foreign),  # a member's: it could not be proved
            (plain(Eid("dtn://ibr/x"), b.node_id.service("other"), PAYLOAD).encode()[:-9], foreign),
        ):
            with pytest.raises(PeerError):
                await node.agent.receive_part(raw, peer)
        assert not len(node.store)


async def test_a_part_in_a_file(tmp_path: Path, members: Members) -> None:
    """With a block that is not known here, and so is changed."""
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    odd = Block(200, 0, b"what is this")
    bundle = whole(a, inbox)
    bundle = bundle.with_blocks((odd, *bundle.blocks))
    path = tmp_path / "part"
    path.write_bytes(bundle.encode()[:-3000])
    async with running(b, tmp_path / "b") as node:
        node.agent.register(inbox, node.collect)
        assert await node.agent.receive_part(FileBytes.of(path), a.node_id)
        (held,) = node.store
        kept = await node.store.read(held)
        assert kept is not None
        marked = Bundle.parse(kept).block(200)
        assert marked is not None
        assert (marked.data, marked.flags) == (odd.data, blocks.FORWARDED_UNPROCESSED)
        await node.agent.receive(pieces(bundle, a, len(PAYLOAD) - 3000)[1], a.node_id)
        assert (await node.received(1))[0].signer == a.node_id


async def test_a_foreign_peers_part_and_rest(tmp_path: Path, members: Members) -> None:
    b = members.me("b")
    inbox = b.node_id.service("inbox")
    foreign = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("inbox",))
    bundle = plain(Eid("dtn://ibr/x"), inbox, PAYLOAD)
    async with running(b, tmp_path) as node:
        node.agent.register(inbox, node.collect)
        raw = bundle.encode()
        head = len(raw) - len(PAYLOAD)
        await node.agent.receive_part(raw[: head + 7000], foreign)
        await node.agent.receive(cut(bundle, [7000])[1].encode(), foreign)
        (delivery,) = await node.received(1)
        assert (delivery.payload, delivery.signer) == (PAYLOAD, None)


# --- at the destination ---


@pytest.mark.parametrize("seed", range(3))
async def test_shuffled_overlapping_repeated(tmp_path: Path, members: Members, seed: int) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = b.node_id.service("inbox")
    bundle = whole(a, inbox, asks=REPORT_DELIVERY)
    dice = random.Random(seed)
    some = [*pieces(bundle, c, 5000, 10_000, 15_000), *pieces(bundle, a, 3000, 12_000)]
    dice.shuffle(some)
    async with running(b, tmp_path / "b") as node:
        for raw in some[:3]:
            await node.agent.receive(raw, c.node_id)
    async with running(b, tmp_path / "b") as node:  # what was here before a restart counts
        node.agent.register(inbox, node.collect)
        for raw in (*some, *some):
            await node.agent.receive(raw, c.node_id)
        await node.received(1)
        for raw in some:  # late ones
            assert not await node.agent.receive(raw, c.node_id)
        await until(lambda: {h.is_administrative for h in node.store} == {True})
        (delivery,) = node.delivered
        assert (delivery.payload, delivery.signer) == (PAYLOAD, a.node_id)


async def test_forged_pieces_make_no_bundle(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = b.node_id.service("inbox")
    first, _ = pieces(whole(a, inbox), c, 10_000)
    forged = replace(whole(a, inbox), blocks=(Block(blocks.PAYLOAD, 0, bytes(20_000)),))
    _, second = pieces(forged, c, 10_000)
    async with running(b, tmp_path / "b") as node:
        node.agent.register(inbox, node.collect)
        await node.agent.receive(first, c.node_id)
        await node.agent.receive(second, c.node_id)
        await until(lambda: node.agent.counters["refused_reassembled"] == 1)
        assert not node.delivered
        assert not len(node.store)
        for raw in pieces(whole(a, inbox), c, 10_000):
            await node.agent.receive(raw, c.node_id)
        await node.received(1)


def forged_pieces(sender: Me, to: Eid, liar: Me, *at: int) -> list[bytes]:
    """Of another payload, in the name of `sender`'s bundle, whose signature comes along."""
    true = whole(sender, to)
    other = [replace(b, data=bytes(20_000)) if b.kind == blocks.PAYLOAD else b for b in true.blocks]
    return pieces(true.with_blocks(tuple(other)), liar, *at)


@pytest.mark.parametrize("honest_at", [(5000, 10_000, 15_000), (7000, 12_000)])
@pytest.mark.parametrize("lies", [(0,), (2,), (1, 3), (0, 1, 2, 3)])
async def test_a_liar_between_honest_members(
    tmp_path: Path, members: Members, lies: tuple[int, ...], honest_at: tuple[int, ...]
) -> None:
    """Its pieces come first, of the very bytes of honest ones or of others; over a restart."""
    a, b, c, liar = map(members.me, ("a", "b", "c", "liar"))
    inbox = b.node_id.service("inbox")
    forged = forged_pieces(a, inbox, liar, 5000, 10_000, 15_000)
    first, *others = pieces(whole(a, inbox), c, *honest_at)
    with capture_logs() as logged:
        async with running(b, tmp_path / "b") as node:
            for raw in (*(forged[n] for n in lies), *others[:-1]):
                assert await node.agent.receive(raw, liar.node_id)
        async with running(b, tmp_path / "b") as node:
            node.agent.register(inbox, node.collect)
            for raw in (others[-1], first):
                await node.agent.receive(raw, c.node_id)
            (delivery,) = await node.received(1)
            await until(lambda: not len(node.store))
    assert (delivery.payload, delivery.signer) == (PAYLOAD, a.node_id)
    told = [entry["signer"] for entry in logged if "signer" in entry]
    assert told == [liar.node_id.text] * len(lies)


async def test_two_liars_and_two_honest_cutters(tmp_path: Path, members: Members) -> None:
    a, b, c, d, liar, other = map(members.me, ("a", "b", "c", "d", "liar", "other"))
    inbox = b.node_id.service("inbox")
    lies = forged_pieces(a, inbox, liar, 6000)[0], forged_pieces(a, inbox, other, 16_000)[1]
    true = pieces(whole(a, inbox), c, 9000)[0], pieces(whole(a, inbox), d, 8000)[1]
    async with running(b, tmp_path / "b") as node:
        node.agent.register(inbox, node.collect)
        with capture_logs() as logged:
            for raw in (*lies, *true):
                await node.agent.receive(raw, liar.node_id)
            assert (await node.received(1))[0].payload == PAYLOAD
        told = {entry["signer"] for entry in logged if "signer" in entry}
        assert told == {liar.node_id.text, other.node_id.text}


async def test_a_hop_hands_on_all_versions_of_a_piece(tmp_path: Path, members: Members) -> None:
    """It cannot know which one is true, and answers for each that it has custody of."""
    a, b, c, liar = map(members.me, ("a", "b", "c", "liar"))
    inbox = b.node_id.service("inbox")
    (_, true) = pieces(whole(a, inbox, asks=CUSTODY), c, 10_000)
    forged = whole(a, inbox, asks=CUSTODY)
    forged = replace(forged, blocks=(Block(blocks.PAYLOAD, 0, bytes(20_000)),))
    (_, lie) = pieces(forged, liar, 10_000)
    async with running(c, tmp_path / "c") as node, running(b, tmp_path / "b") as end:
        assert await node.agent.receive(lie, liar.node_id)
        assert await node.agent.receive(true, a.node_id)
        assert not await node.agent.receive(true, a.node_id)
        waiting = [h for h in node.store if not h.is_administrative]
        assert {h.signer for h in waiting} == {liar.node_id, c.node_id}
        assert len({h.bundle_id for h in waiting}) == 1
        connect(node, end)
        await until(lambda: len(end.store) == 2)


async def test_the_length_of_the_whole_is_signed(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = b.node_id.service("inbox")
    true = Bundle.parse(pieces(whole(a, inbox), c, 10_000)[0])
    assert true.fragment is not None
    longer = replace(true, fragment=replace(true.fragment, total=30_000))
    async with running(b, tmp_path / "b") as node:
        with pytest.raises(PeerError, match="unsigned"):
            await node.agent.receive(longer.encode(), c.node_id)


async def test_stripped_of_the_signature_of_the_whole(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = b.node_id.service("inbox")
    bare = plain(a.identity.eid, inbox, PAYLOAD)
    async with running(b, tmp_path / "b") as node:
        node.agent.register(inbox, node.collect)
        for raw in pieces(bare, c, 10_000):
            await node.agent.receive(raw, c.node_id)
        await until(lambda: node.agent.counters["refused_reassembled"] == 1)
        assert not node.delivered


async def test_pieces_of_what_can_never_fit(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    raw, _ = pieces(whole(a, b.node_id.service("inbox")), a, 2000)
    async with running(b, tmp_path, quota_bytes=10_000) as node:
        with pytest.raises(PeerError):
            await node.agent.receive(raw, a.node_id)


async def test_pieces_in_custody_release_the_whole(tmp_path: Path, members: Members) -> None:
    """The custodian has sent it whole, a hop that takes no custody has cut it."""
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        arrives = carry(node_b, a.node_id)

        async def cuts(raw: bytes) -> None:
            for piece in pieces(Bundle.parse(raw), members.me("c"), 9000):
                await arrives(piece)

        node_a.agent.contact_up(b.node_id, cuts)
        node_b.agent.contact_up(a.node_id, carry(node_a, b.node_id))
        await node_a.agent.send(inbox, PAYLOAD, custody=True)
        await until(lambda: not len(node_a.store))
        assert node_b.agent.counters["custody_taken"] == 2
        (held,) = node_b.store
        assert (held.custodian, held.flags & CUSTODY) == (b.identity.eid, CUSTODY)
        node_b.agent.register(inbox, node_b.collect)
        await node_b.received(1)
        await until(lambda: not len(node_b.store))


async def test_a_piece_that_others_cover_is_answered_for_once_it_is_delivered(
    tmp_path: Path, members: Members
) -> None:
    """The larger piece asks for no custody, so this node may lose it: no word to the custodian."""
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    asking = replace(whole(a, inbox, asks=CUSTODY), custodian=a.identity.eid)
    small, middle, _ = pieces(asking, a, 5000, 10_000)
    large, rest = pieces(whole(a, inbox), a, 12_000)
    async with running(b, tmp_path) as node:
        node.agent.register(inbox, node.collect)
        await node.agent.receive(large, a.node_id)
        for raw in (small, middle):
            assert not await node.agent.receive(raw, a.node_id)
        assert node.agent.counters["custody_redundant"] == 0
        await node.agent.receive(rest, a.node_id)
        await node.received(1)
        await until(lambda: not any(h.bundle_id.source == a.identity.eid for h in node.store))
        await node.agent.receive(small, a.node_id)
        assert node.agent.counters["custody_redundant"] == 1


async def test_pieces_expire(tmp_path: Path, members: Members, mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    first, second = pieces(whole(a, inbox), a, 10_000)
    async with running(b, tmp_path) as node:
        node.agent.register(inbox, node.collect)
        await node.agent.receive(first, a.node_id)
        mock_clock.jump(3601)
        await until(lambda: not len(node.store))
        await node.agent.receive(second, a.node_id)
        assert not node.delivered
        assert len(node.store) == 1
        await node.agent.receive(first, a.node_id)
        await node.received(1)
