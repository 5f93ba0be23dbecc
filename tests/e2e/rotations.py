"""`make rotations`: what is dear about rotations, with real processes. Printed, and checked."""

from __future__ import annotations

from functools import partial

import trio

from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import chain_of_three, knows, receive
from tests.e2e.test_revoking import three
from tests.e2e.test_rotating import key_of, settled, some, traffic
from tests.patience import PATIENCE_S

ROTATIONS = 5
_COUNTED = (
    "directory_lookups_remote",
    "dht_calls_failed",
    "dht_retransmitted",
    "datagram_opened",
    "datagram_copies",
    "datagram_refused",
)


async def counted(peers: list[Peer]) -> dict[str, int]:
    all_of_them = [(await peer.call("status"))["bundles"]["counters"] for peer in peers]
    return {name: sum(one.get(name, 0) for one in all_of_them) for name in _COUNTED}


async def test_nothing_is_lost_over_some_rotations_under_traffic(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b, c = peers = list(await three(make_peer))
        sent: list[bytes] = []
        over = trio.Event()
        before = await counted(peers)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic, b, sent, over)
            for epoch in range(1, ROTATIONS + 1):
                await until(partial(some, sent, len(sent) + 3))
                await (a, b, c)[epoch % 3].call("rotate")
                for peer in peers:
                    await until(partial(settled, peer, epoch))
            over.set()
        taken = await receive(c, "mail", len(sent))
        after = await counted(peers)
    print(f"\n{ROTATIONS} rotations in {trio.current_time() - began:.1f} s by the wall clock")
    print(f"bundles sent and received in order: {len(sent)}, {len(taken)}")
    for name, count in after.items():
        print(f"{name}: {count - before[name]}")
    assert [item["payload"] for item in taken] == sent
    assert after["dht_calls_failed"] == before["dht_calls_failed"]


async def test_both_halves_of_a_partition_rotate_and_one_key_is_left(make_peer: MakePeer) -> None:
    """Who joins the halves is killed for it, and again while it takes and hands on the keys."""
    with trio.fail_after(PATIENCE_S):
        a, b, c = await chain_of_three(make_peer)
        await knows(a, "C", connected=False)
        b.sigkill()
        for peer in (a, c):
            assert (await peer.call("rotate"))["epoch"] == 1
        await a.call("send", destination="C/mail", payload=b"made apart")
        halves = {bytes(key_of(peer)) for peer in (a, c)}
        assert len(halves) == 2
        await b.start()
        await until(partial(holds_one_of, b, halves))
        b.sigkill()
        await b.start()
        assert (await receive(c, "mail", 1))[0]["payload"] == b"made apart"
        for peer in (a, b, c):
            await until(partial(confirmed, peer))
        assert len({bytes(key_of(peer)) for peer in (a, b, c)}) == 1
        assert bytes(key_of(a)) in halves


async def holds_one_of(peer: Peer, keys: set[bytes]) -> bool | None:
    return bytes(key_of(peer)) in keys or None


async def confirmed(peer: Peer) -> bool | None:
    node = (await peer.call("status"))["node"]
    return (node["key_epoch"], node["key_waits"]) == (1, []) or None
