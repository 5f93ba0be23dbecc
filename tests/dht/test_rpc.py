from __future__ import annotations

from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kademlia.node import Node

from radics_mesh.codec import pack
from radics_mesh.dht import rpc
from radics_mesh.dht.server import Dht
from radics_mesh.errors import WireError
from radics_mesh.link_memory import MemoryNetwork
from tests.dht.world import Facts, TrioClock, at, fact, fact_key, node_id
from tests.strategies import msgpack_values

ids = st.binary(min_size=20, max_size=20)
hosts = st.ip_addresses().map(str) | st.text(max_size=12)
addresses = st.tuples(hosts, st.integers(-1, 70_000))
names = st.sampled_from(["ping", "stun", "store", "find_node", "find_value", "seek", "__init__"])
arguments = st.lists(ids | msgpack_values, max_size=5)


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda head, value: head + pack(value), st.binary(min_size=21, max_size=21), msgpack_values
    )
)
def test_any_datagram_is_a_message_or_malformed(datagram: bytes) -> None:
    try:
        message = rpc.parse(datagram)
    except WireError:
        return
    assert message.message_id == datagram[1:21]


@given(ids, names, arguments)
def test_calls_survive_the_wire(message_id: bytes, name: str, values: list[object]) -> None:
    message = rpc.parse(rpc.pack_call(message_id, name, values))
    assert isinstance(message, rpc.Call)
    assert (message.message_id, message.name) == (message_id, name)
    assert pack(message.arguments) == pack(values)


@given(st.lists(st.tuples(ids, addresses), max_size=20, unique_by=lambda one: one[0]))
def test_node_lists_keep_what_is_usable(nodes: list[tuple[bytes, tuple[str, int]]]) -> None:
    packed = rpc.pack_nodes(nodes)
    try:
        parsed = rpc.parse_nodes(packed)
    except WireError:
        assert any(port < 0 for _, (_, port) in nodes)
        return
    assert parsed == [node for node in nodes if rpc.is_usable(node[1])]


@given(msgpack_values)
def test_any_value_is_a_node_list_or_malformed(value: object) -> None:
    try:
        parsed = rpc.parse_nodes(value)
    except WireError:
        return
    assert all(rpc.is_usable(address) for _, address in parsed)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "example.org", "", "1"])
def test_unusable_hosts(host: str) -> None:
    assert not rpc.is_usable((host, 5050))


@given(st.lists(st.binary(max_size=1400), max_size=30))
def test_an_answer_never_outgrows_a_datagram(values: list[bytes]) -> None:
    packed = rpc.pack_values(values)
    assert len(rpc.pack_answer(bytes(20), {"value": packed})) <= rpc.DATAGRAM_MAX_BYTES
    kept = rpc.parse_values(packed)
    assert kept == values[: len(kept)]


def test_a_long_value_list_is_cut_not_refused() -> None:
    assert len(rpc.parse_values(rpc.pack_values([bytes(1400)] * 20))) == 5


def _node() -> Dht:
    dht = Dht(
        link=MemoryNetwork(Random(0)).link(at(0)),
        node_id=node_id(0),
        clock=TrioClock(),
        random=Random(0),
    )
    dht.serve(Facts())
    return dht


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=100),
            st.builds(rpc.pack_call, ids, names, arguments),
            st.builds(rpc.pack_answer, ids, msgpack_values),
        ),
        max_size=8,
    ),
    addresses,
)
def test_nothing_that_arrives_raises(datagrams: list[bytes], sender: tuple[str, int]) -> None:
    async def receive() -> None:
        dht = _node()
        for datagram in datagrams:
            answer = dht.protocol.handle(datagram, sender)
            assert answer is None or len(answer) <= rpc.DATAGRAM_MAX_BYTES
        assert dht.counters["datagrams_in"] == len(datagrams)

    trio.run(receive)


@given(arguments)
def test_a_store_call_with_odd_arguments_stores_nothing(values: list[object]) -> None:
    async def receive() -> None:
        dht = _node()
        dht.protocol.handle(rpc.pack_call(bytes(20), "store", values), at(1))
        assert len(dht.storage) == 0

    trio.run(receive)


async def test_malformed_datagrams_are_counted() -> None:
    dht = _node()
    for datagram in (b"", b"\x00" + bytes(20), b"\x07" + bytes(20) + pack(["ping", []])):
        assert dht.protocol.handle(datagram, at(1)) is None
    assert dht.counters["malformed"] == 3


async def test_refused_stores_are_counted_and_answered() -> None:
    dht = _node()
    forged = fact(node_id(1), 1, "cats: purr")[:-1] + b"\0"
    packed = rpc.pack_values([forged, fact(node_id(1), 1, "dogs: bark")])
    call = rpc.pack_call(bytes(20), "store", [bytes(node_id(1)), fact_key("cats"), packed])
    answer = dht.protocol.handle(call, at(1))
    assert answer == rpc.pack_answer(bytes(20), False)
    assert dht.counters["store_PeerError"] == 2
    assert len(dht.storage) == 0


async def test_nobody_abroad_is_told_of_loopback_addresses() -> None:
    dht = _node()
    for node in (Node(node_id(1), "127.0.0.1", 5050), Node(node_id(2), *at(2))):
        dht.protocol.contacts.name((node.ip, node.port), node.id)
        dht.protocol.contacts.present(node)
    call = rpc.pack_call(bytes(20), "find_node", [bytes(node_id(3)), bytes(20)], room=384)
    for sender, expected in ((at(3), {node_id(2)}), (("127.0.0.1", 9), {node_id(1), node_id(2)})):
        answer = dht.protocol.handle(call, sender)
        assert answer is not None
        message = rpc.parse(answer)
        assert isinstance(message, rpc.Answer)
        told = {told_id for told_id, _ in rpc.parse_nodes(message.value)}
        assert told - {node_id(3)} == expected


async def test_nobody_abroad_can_tell_of_loopback_addresses_or_of_ourselves() -> None:
    protocol = _node().protocol
    nodes = rpc.pack_nodes(
        [(node_id(0), at(0)), (node_id(1), ("127.0.0.1", 1)), (node_id(2), at(2))]
    )
    assert protocol._checked_nodes(at(5), nodes) == (True, [(node_id(2), *at(2))])
    assert protocol._checked_nodes(("127.0.0.1", 5), nodes) == (
        True,
        [(node_id(1), "127.0.0.1", 1), (node_id(2), *at(2))],
    )
