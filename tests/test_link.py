from collections.abc import AsyncIterator
from random import Random

import pytest
import trio
from nacl.secret import SecretBox
from trio.testing import MockClock

from radics_mesh.config import Address
from radics_mesh.errors import LinkError, UsageError
from radics_mesh.link import (
    SEAL_OVERHEAD_BYTES,
    TAG_DHT,
    Restricted,
    SealedDatagrams,
    UdpLink,
    plain,
    resolve,
    resolve_all,
)
from radics_mesh.link_memory import MemoryNetwork
from tests.patience import PATIENCE_S

KEY = bytes(range(32))
HERE, THERE, ELSEWHERE = ("10.0.0.1", 5050), ("10.0.0.2", 5050), ("10.0.0.3", 5050)


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def udp_pair() -> AsyncIterator[tuple[UdpLink, UdpLink]]:
    one = await UdpLink.open(Address("127.0.0.1", 0))
    other = await UdpLink.open(("127.0.0.1", 0))
    yield one, other
    one.close()
    other.close()


async def test_udp_carries_datagrams(udp_pair: tuple[UdpLink, UdpLink]) -> None:
    one, other = udp_pair
    with trio.fail_after(PATIENCE_S):
        await one.send(b"hello", other.local)
        assert await other.receive() == (b"hello", one.local)


async def test_udp_over_both_families_at_once() -> None:
    both = await UdpLink.open(("::", 0))
    old = await UdpLink.open(("127.0.0.1", 0))
    with trio.fail_after(PATIENCE_S):
        await both.send(b"to v4", ("127.0.0.1", old.local[1]))
        data, source = await old.receive()
        assert data == b"to v4"
        await old.send(b"back", source)
        assert await both.receive() == (b"back", old.local)
    both.close()
    old.close()


async def test_a_taken_port_is_the_users_mistake(udp_pair: tuple[UdpLink, UdpLink]) -> None:
    with pytest.raises(UsageError, match="cannot listen on UDP"):
        await UdpLink.open(udp_pair[0].local)


async def test_a_closed_link_says_so(udp_pair: tuple[UdpLink, UdpLink]) -> None:
    one, other = udp_pair
    one.close()
    with pytest.raises(LinkError):
        await one.receive()
    with pytest.raises(LinkError):
        await one.send(b"late", other.local)


async def test_what_is_too_long_cannot_leave(udp_pair: tuple[UdpLink, UdpLink]) -> None:
    with pytest.raises(LinkError):
        await udp_pair[0].send(bytes(70_000), udp_pair[1].local)


async def test_neighbours_only_both_ways(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    here, there, elsewhere = (network.link(a) for a in (HERE, THERE, ELSEWHERE))
    restricted = Restricted(here, [THERE])
    with pytest.raises(LinkError, match="no neighbour"):
        await restricted.send(b"x", ELSEWHERE)
    await elsewhere.send(b"from afar", HERE)
    await there.send(b"from near", HERE)
    assert await restricted.receive() == (b"from near", THERE)
    await restricted.send(b"x", THERE)
    assert await there.receive() == (b"x", HERE)


async def test_sealed_datagrams_reach_the_channel_of_their_tag(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    one = SealedDatagrams(network.link(HERE), KEY)
    raw = network.link(THERE)
    other = SealedDatagrams(raw, KEY)
    dht, gossip = other.channel(TAG_DHT), other.channel(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.run)
        await one.channel(2).send(b"rumour", THERE)
        await one.channel(TAG_DHT).send(b"find", THERE)
        assert await dht.receive() == (b"find", HERE)
        assert await gossip.receive() == (b"rumour", HERE)
        nursery.cancel_scope.cancel()
    assert other.counters["opened"] == 2
    assert one.counters["bytes_out"] == other.counters["bytes_in"]
    assert one.counters["bytes_out"] == 10 + 2 * SEAL_OVERHEAD_BYTES


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"short",
        bytes(100),
        bytes(SecretBox(bytes(32)).encrypt(b"\x01another mesh")),
        bytes(SecretBox(KEY).encrypt(b"")),
        bytes(SecretBox(KEY).encrypt(b"\x99unknown tag")),
    ],
    ids=["empty", "short", "zeros", "another key", "nothing in it", "unknown tag"],
)
async def test_an_outsiders_datagram_reaches_nobody(clock: MockClock, datagram: bytes) -> None:
    network = MemoryNetwork(Random(1))
    sealed = SealedDatagrams(network.link(HERE), KEY)
    dht = sealed.channel(TAG_DHT)
    outsider = network.link(ELSEWHERE)
    friend = SealedDatagrams(network.link(THERE), KEY).channel(TAG_DHT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealed.run)
        await outsider.send(datagram, HERE)
        await friend.send(b"after it", HERE)
        assert await dht.receive() == (b"after it", THERE)
        nursery.cancel_scope.cancel()
    assert sealed.counters["refused"] + sealed.counters["unknown_tag"] == 1


async def test_a_slow_reader_loses_datagrams_and_blocks_nobody(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    sealed = SealedDatagrams(network.link(HERE), KEY)
    slow, fast = sealed.channel(1), sealed.channel(2)
    peer = SealedDatagrams(network.link(THERE), KEY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealed.run)
        for _ in range(1000):
            await peer.send(1, b"flood", HERE)
        await peer.send(2, b"through", HERE)
        assert await fast.receive() == (b"through", THERE)
        nursery.cancel_scope.cancel()
    assert sealed.counters["overflow"] > 0
    assert await slow.receive() == (b"flood", THERE)


def test_a_tag_has_one_owner() -> None:
    sealed = SealedDatagrams(MemoryNetwork(Random(1)).link(HERE), KEY)
    sealed.channel(1)
    with pytest.raises(UsageError):
        sealed.channel(1)


async def test_memory_network_delays(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1), delay_s=(0.010, 0.080))
    here, there = network.link(HERE), network.link(THERE)
    began = trio.current_time()
    await here.send(b"x", THERE)
    await there.receive()
    assert 0.010 <= trio.current_time() - began <= 0.080


async def test_memory_network_loses_a_share(clock: MockClock) -> None:
    network = MemoryNetwork(Random(7), loss=0.3)
    here, _ = network.link(HERE), network.link(THERE)
    for _ in range(1000):
        await here.send(b"x", THERE)
    assert 250 < network.counters["lost"] < 350


async def test_memory_network_partitions_and_heals(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    here, there, elsewhere = (network.link(a) for a in (HERE, THERE, ELSEWHERE))
    network.partition([HERE, THERE])
    await here.send(b"near", THERE)
    await elsewhere.send(b"cut", THERE)
    assert (await there.receive())[0] == b"near"
    network.heal()
    await elsewhere.send(b"again", THERE)
    assert (await there.receive())[0] == b"again"
    assert network.counters["cut"] == 1


async def test_a_closed_memory_link_wakes_its_reader(clock: MockClock) -> None:
    network = MemoryNetwork(Random(1))
    here = network.link(HERE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_closed, here.receive)
        await trio.testing.wait_all_tasks_blocked()
        here.close()
    network.link(HERE)  # the address is free again


async def _expect_closed(receive: object) -> None:
    assert callable(receive)
    with pytest.raises(LinkError):
        await receive()


def test_plain_addresses() -> None:
    assert plain(("10.0.0.1", 7)) == ("10.0.0.1", 7)
    assert plain(("::ffff:10.0.0.1", 7, 0, 0)) == ("10.0.0.1", 7)
    assert plain(("fe80::1", 7, 0, 3)) == ("fe80::1%3", 7)


async def test_resolve() -> None:
    assert await resolve(Address("127.0.0.1", 7)) == [("127.0.0.1", 7)]
    with pytest.raises(LinkError):
        await resolve(Address("no.such.host.invalid", 7))
    assert await resolve_all([Address("127.0.0.1", 7), Address("no.such.host.invalid", 7)]) == {
        ("127.0.0.1", 7)
    }
