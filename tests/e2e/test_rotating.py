"""The mesh key changes under traffic; a revoked node is answered no datagram after that."""

from __future__ import annotations

import json
import os
from functools import partial

import trio
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dht import rpc
from radics_mesh.errors import UsageError
from radics_mesh.keyring import Keyring
from radics_mesh.link import TAG_DHT
from radics_mesh.membership import Verifier
from radics_mesh.node.rekeying import FILE_NAME
from radics_mesh.node.state import StateDirectory
from radics_mesh.revocations import Revocations
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_images import command
from tests.e2e.test_mesh import receive
from tests.e2e.test_revoking import member, revoked_on, three
from tests.patience import PATIENCE_S


async def settled(peer: Peer, epoch: int) -> bool | None:
    """It has that key and no other, and everybody that it knows has confirmed it."""
    node = (await peer.call("status"))["node"]
    return (node["key_epoch"], node["keys_live"], node["key_waits"]) == (epoch, 1, []) or None


def ring_of(peer: Peer) -> Keyring:
    """What is in its state."""
    membership = StateDirectory(peer.state).membership()
    assert membership is not None
    ring = Keyring(membership.mesh, Revocations(Verifier(membership.mesh)))
    path = peer.state / FILE_NAME
    if path.exists():
        ring.load(path.read_bytes(), Monotonic(0.0), Wall(0.0))
    return ring


def key_of(peer: Peer) -> SecretBox:
    return SecretBox(ring_of(peer).newest.secret)


async def answered(peer: Peer, boxes: list[SecretBox]) -> list[bool]:
    """Which of some pings it answers, each sealed by one of these; the last one it does."""
    ids = [os.urandom(20) for _ in boxes]
    heard = set()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as udp:
        for box, name in zip(boxes, ids, strict=True):
            call = rpc.pack_call(name, "ping", [os.urandom(20)], room=rpc.ROOM_BYTES)
            await udp.sendto(box.encrypt(bytes((TAG_DHT,)) + call), (peer.host, peer.port))
        while ids[-1] not in heard:
            data, _ = await udp.recvfrom(65535)
            for box in boxes:
                try:
                    message = rpc.parse(bytes(box.decrypt(data))[1:])
                except CryptoError:
                    continue
                heard.add(message.message_id)
    return [name in heard for name in ids]


async def look_up(peer: Peer) -> None:
    """Something that nobody has: every node that could is asked."""
    try:
        await peer.call("where", name=f"nothing{os.urandom(4).hex()}")
    except UsageError:
        return


async def traffic(sender: Peer, sent: list[bytes], over: trio.Event) -> None:
    while not over.is_set():
        sent.append(b"%d" % len(sent))
        await sender.call("send", destination="C/mail", payload=sent[-1])
        await look_up(sender)


async def test_the_key_changes_under_traffic_and_shuts_the_revoked_out(
    make_peer: MakePeer,
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b, c = await three(make_peer)
        sent: list[bytes] = []
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic, b, sent, over)
            await until(partial(some, sent, 3))
            assert (await command(a, "rotate")).startswith("the mesh key is of epoch 1 now")
            for peer in (a, b, c):
                await until(partial(settled, peer, 1))
            await until(partial(some, sent, len(sent) + 3))
            over.set()
        taken = await receive(c, "mail", len(sent))
        assert [item["payload"] for item in taken] == sent
        assert (await answered(a, [key_of(c)])) == [True]

        said = json.loads(await command(a, "revoke", "C", "--rotate", "--overlap", "1s", "--json"))
        assert (said["news"], said["rotated"]["epoch"]) == (True, 2)
        assert set(said["rotated"]["waiting"]) <= {"B"}
        for peer in (a, b):
            await until(partial(revoked_on, peer))
            await until(partial(settled, peer, 2))
            assert await answered(peer, [key_of(c), key_of(a)]) == [False, True]
            row = await member(peer, "C")
            assert row is not None
            assert (row["key_epoch"], row["has_key"]) == (1, False)
        assert (await c.call("status"))["node"]["key_epoch"] == 1

        # A member that comes now, with a token, and one that was off, start with the newest.
        b.sigkill()
        await b.start()
        d = make_peer("D")
        await d.start("--invite", (await a.call("invite"))["token"])
        for peer in (b, d):
            await until(partial(settled, peer, 2))
            assert await answered(peer, [key_of(c), key_of(a)]) == [False, True]
        await d.call("send", destination=f"dtn://{(await b.call('status'))['node']['id']}/mail")
        assert len(await receive(b, "mail", 1)) == 1


async def some(sent: list[bytes], count: int) -> bool | None:
    return len(sent) >= count or None
