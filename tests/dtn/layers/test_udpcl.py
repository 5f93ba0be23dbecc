"""UDPCL over real sockets: a node with a store and an agent, its peer played by hand."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from pyd3tn.bundle6 import serialize_bundle6

from radics_mesh.clock import to_dtn
from radics_mesh.config import Address, Config, Foreign
from radics_mesh.dtn.layers.udpcl import KEEPALIVE, UdpLayer
from radics_mesh.dtn.rules.fragments import join
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.ids import Eid
from tests.dtn.world import Members, Node, TrioClock, running, until
from tests.patience import PATIENCE_S

PEER = Eid("dtn://peer/")
HOST = "127.0.0.1"
INBOX = Eid("dtn://peer/inbox")


@asynccontextmanager
async def udp(port: int = 0, host: str = HOST) -> AsyncIterator[trio.socket.SocketType]:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        await made.bind((host, port))
        yield made


class Peered:
    def __init__(self, node: Node, layer: UdpLayer, listens: Address) -> None:
        self.node, self.layer, self.listens = node, layer, listens


@asynccontextmanager
async def peered(tmp_path: Path, port: int, **settings: object) -> AsyncIterator[Peered]:
    me = Members(TrioClock()).me("a")
    foreign = Foreign(PEER, Address(HOST, port) if port else None, HOST, ("echo",), over_udp=True)
    config = Config(
        state=tmp_path,
        name="a",
        foreign=(foreign,),
        udp_listen=Address(HOST, 0),
        redial_first_s=0.05,
        redial_max_s=0.1,
        keepalive_s=1,
        **settings,  # type: ignore[arg-type]  # any field
    )
    async with running(me, tmp_path) as node, trio.open_nursery() as nursery:
        layer = UdpLayer(agent=node.agent, config=config, random=lambda: 0.5)
        listens = await nursery.start(layer.run)
        assert listens is not None
        yield Peered(node, layer, listens)
        nursery.cancel_scope.cancel()


async def bundle_from(peer: trio.socket.SocketType) -> bytes:
    """The next datagram that is one."""
    with trio.fail_after(PATIENCE_S):
        while True:
            data = await peer.recv(65_507)
            if data != KEEPALIVE:
                return data


def unsigned(to: Eid, payload: bytes, sequence: int = 0) -> bytes:
    created = int(to_dtn(TrioClock().wall()))
    return bytes(serialize_bundle6(PEER, to, payload, creation_timestamp=created + sequence))


async def test_a_bundle_is_a_datagram_in_both_directions(tmp_path: Path) -> None:
    async with udp() as peer:
        port = peer.getsockname()[1]
        async with peered(tmp_path, port) as at:
            await at.node.agent.send(INBOX, b"to the peer")
            assert Bundle.parse(await bundle_from(peer)).payload == b"to the peer"
            await until(lambda: not len(at.node.store))
            echo = at.node.id.service("echo")
            at.node.agent.register(echo, at.node.collect)
            await peer.sendto(KEEPALIVE, (HOST, at.listens.port))
            await peer.sendto(unsigned(echo, b"from the peer"), (HOST, at.listens.port))
            (delivery,) = await at.node.received(1)
            assert (delivery.payload, delivery.signer) == (b"from the peer", None)


async def test_a_peer_that_begins_is_known_by_its_host_only(tmp_path: Path) -> None:
    async with peered(tmp_path, 0) as at:
        echo = at.node.id.service("echo")
        at.node.agent.register(echo, at.node.collect)
        async with udp() as peer, udp(host="127.0.0.2") as stranger:
            await stranger.sendto(unsigned(echo, b"strange"), (HOST, at.listens.port))
            await peer.sendto(unsigned(echo, b"known"), (HOST, at.listens.port))
            (delivery,) = await at.node.received(1)
        assert delivery.payload == b"known"
        assert at.layer.counters["strangers"] == 1


async def test_what_nobody_is_there_for_waits(tmp_path: Path) -> None:
    async with udp() as reserved:
        port = reserved.getsockname()[1]
    async with peered(tmp_path, port) as at:
        await at.node.agent.send(INBOX, b"waits")
        await until(lambda: at.layer.counters["unreachable"] >= 3)
        assert len(at.node.store) == 1
        async with udp(port) as peer:
            assert Bundle.parse(await bundle_from(peer)).payload == b"waits"
            await until(lambda: not len(at.node.store))
        # It has gone again: what is sent now stays.
        await until(lambda: not at.node.agent.contacts())
        await at.node.agent.send(INBOX, b"stays")
        assert len(at.node.store) == 1


async def test_garbage_is_counted_and_nothing_else(tmp_path: Path) -> None:
    async with udp() as peer, peered(tmp_path, peer.getsockname()[1]) as at:
        echo = at.node.id.service("echo")
        at.node.agent.register(echo, at.node.collect)
        whole = unsigned(echo, b"whole")
        to = (HOST, at.listens.port)
        closed = unsigned(at.node.id.service("admin"), b"closed")
        for junk in (b"", b"\x00", bytes(5), whole[:-1], whole + b"x", closed):
            await peer.sendto(junk, to)
        await peer.sendto(whole, to)
        (delivery,) = await at.node.received(1)
        assert delivery.payload == b"whole"
        await until(lambda: at.layer.counters["refused"] == 6)


async def test_long_bundles_are_cut_before_they_are_sent(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 40
    async with (
        udp() as peer,
        peered(tmp_path, peer.getsockname()[1], datagram_max_bytes=1400) as at,
    ):
        await at.node.agent.send(INBOX, payload)
        pieces: list[Bundle] = []
        while sum(len(piece.payload) for piece in pieces) < len(payload):
            raw = await bundle_from(peer)
            assert len(raw) <= 1400
            pieces.append(Bundle.parse(raw))
        assert join(pieces).payload == payload
