from __future__ import annotations

import pytest
import trio
from kademlia.node import Node
from trio.testing import MockClock

from radics_mesh.dht import rpc
from radics_mesh.directory.changes import Change
from radics_mesh.directory.neighbours import named_neighbours
from radics_mesh.directory.service import Directory
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.exchange import AGAIN_S
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.ownership import Ownership, born
from radics_mesh.records import Kind, dht_key, sign
from tests.members import Members, member
from tests.patience import PATIENCE_S

PERIOD_S = 10.0


async def _line(members: Members) -> tuple[Directory, Directory, Directory]:
    """A - B - C: A and C cannot hear each other. C publishes a source."""
    a = await members.start(0, bootstrap=[1], reach=[1])
    b = await members.start(1)
    c = await members.start(2, bootstrap=[1], reach=[1])
    for number in range(3):
        members.nursery.start_soon(members.keep_announcing, number)
    await c.announce(Kind.SOURCE, "camera/door", {"rate": 1000, "format": "text"})
    return a, b, c


def _shown(directory: Directory, kind: Kind) -> dict[NodeId, bool]:
    return {entry.publisher: entry.stale for entry in directory.known(kind)}


async def test_records_pass_through_the_middle_of_a_line(
    members: Members, clock: MockClock
) -> None:
    a, b, c = await _line(members)
    await trio.sleep(PERIOD_S)
    [source] = await a.lookup(Kind.SOURCE, "camera/door")
    assert source.publisher == c.me
    assert not source.stale
    assert source.record.body["rate"] == 1000
    await trio.sleep(PERIOD_S)
    assert _shown(a, Kind.NODE) == {a.me: False, b.me: False, c.me: False}


async def test_the_middle_dies_and_comes_back_empty(members: Members, clock: MockClock) -> None:
    a, b, c = await _line(members)
    await trio.sleep(2 * PERIOD_S)
    await a.lookup(Kind.SOURCE, "camera/door")
    await members.kill(1)
    changes = a.changes()
    await trio.sleep(90)
    # Nothing comes from outside any more but that it went stale.
    told = {changes.receive_nowait() for _ in range(changes.statistics().current_buffer_used)}
    assert Change(Kind.SOURCE, "camera/door", c.me) in told
    [source] = await a.lookup(Kind.SOURCE, "camera/door")
    assert source.stale
    assert source.age_s > 60
    assert _shown(a, Kind.NODE) == {a.me: False, b.me: True, c.me: True}
    back = await members.start(1, state="empty")
    members.nursery.start_soon(members.keep_announcing, 1)
    await trio.sleep(2 * PERIOD_S)
    for directory in (a, back, c):
        assert _shown(directory, Kind.NODE) == {a.me: False, b.me: False, c.me: False}
        [source] = await directory.lookup(Kind.SOURCE, "camera/door")
        assert not source.stale


async def _pair(members: Members) -> tuple[Directory, Directory]:
    a = await members.start(0)
    b = await members.start(1, bootstrap=[0])
    await trio.sleep(2)
    return a, b


def _vm_body(chain: Ownership) -> dict[str, object]:
    return {"name": chain.name, "epoch": chain.epoch, "ownership": bytes(chain.digest)}


async def _announce_vm(directory: Directory, chain: Ownership) -> None:
    await directory.put_object(chain.pack())
    await directory.announce(Kind.VM, chain.vm_id.text, _vm_body(chain))


async def test_what_is_announced_is_renewed_until_withdrawn(
    members: Members, clock: MockClock
) -> None:
    a, b = await _pair(members)
    first = await a.announce(Kind.SOURCE, "door", {"rate": 1})
    await trio.sleep(500)
    [entry] = await b.lookup(Kind.SOURCE, "door")
    assert not entry.stale
    assert entry.record.sequence > first.sequence
    await a.withdraw(Kind.SOURCE, "door")
    await trio.sleep(1)
    assert await b.lookup(Kind.SOURCE, "door") == []
    await trio.sleep(500)
    assert a.known(Kind.SOURCE) == b.known(Kind.SOURCE) == []


async def test_many_publishers_of_one_source(members: Members, clock: MockClock) -> None:
    for number in range(5):
        directory = await members.start(number, bootstrap=[0] if number else [])
        await directory.announce(Kind.SOURCE, "door", {"rate": number})
    await trio.sleep(5)
    entries = await members[4].lookup(Kind.SOURCE, "door")
    assert {entry.record.body["rate"] for entry in entries} == {0, 1, 2, 3, 4}


async def test_bad_records_are_refused_and_counted(members: Members, clock: MockClock) -> None:
    a, b = await _pair(members)
    good = await a.announce(Kind.SOURCE, "door", {"rate": 1})
    raw = good.pack(0.0)
    assert b.learn(raw) is not None
    newer = await a.announce(Kind.SOURCE, "door", {"rate": 2})
    assert b.learn(newer.pack(0.0)) is not None
    stranger = Identity(b"s" * 32)
    identity, chain = member(5)
    elsewhere = sign(stranger, chain, Kind.SOURCE, "door", sequence=1, ttl_s=60, body={})
    other = sign(identity, chain, Kind.NODE, a.me.text, sequence=1 << 60, ttl_s=60, body={})
    bad = {
        "replayed": raw,
        "forged": newer.pack(0.0)[:-1] + b"\x55",
        "truncated": raw[:-3],
        "oversize": raw + bytes(1400),
        "no member": elsewhere.pack(0.0),
        "about another node": other.pack(0.0),
        "nothing": b"",
    }
    for why, record in bad.items():
        assert b.learn(record) is None, why
    refused = b.counters["refused_WireError"] + b.counters["refused_PeerError"]
    assert refused == len(bad) - 1
    assert b.counters["outdated"] == 1  # the replayed one: it may as well have come late
    with pytest.raises(PeerError, match="key"):
        b.admit(dht_key(Kind.SOURCE, "window"), newer.pack(0.0))
    [entry] = b.known(Kind.SOURCE, "door")
    assert entry.record.body["rate"] == 2


async def test_an_old_record_stored_again_does_not_come_back(
    members: Members, clock: MockClock
) -> None:
    """A member replays another's old record at all who hold it."""
    a, b = await _pair(members)
    old = await a.announce(Kind.SOURCE, "door", {"rate": 1})
    await trio.sleep(1)
    await a.announce(Kind.SOURCE, "door", {"rate": 2})
    await trio.sleep(1)
    packed = rpc.pack_values([old.pack(0.0)])
    protocol = members.peers[0].dht.protocol
    [(node_id, address)] = members.peers[0].dht.contacts().items()
    stored = await protocol.call_store(Node(bytes(node_id), *address), old.key, packed)
    assert stored == (True, False)
    assert members.peers[1].dht.counters["store_Outdated"] == 1
    [entry] = await b.lookup(Kind.SOURCE, "door")
    assert entry.record.body["rate"] == 2


async def test_sequences_grow_over_a_restart(members: Members, clock: MockClock) -> None:
    a, b = await _pair(members)
    first = await a.announce(Kind.SOURCE, "door", {"rate": 1})
    await trio.sleep(1)
    await members.kill(0)
    again = await members.start(0)
    second = await again.announce(Kind.SOURCE, "door", {"rate": 2})
    assert second.sequence > first.sequence
    await trio.sleep(10)
    [entry] = b.known(Kind.SOURCE, "door")
    assert entry.record.body["rate"] == 2


async def test_what_was_known_survives_a_restart_with_its_age(
    members: Members, clock: MockClock
) -> None:
    a, _ = await _pair(members)
    await a.announce(Kind.SOURCE, "door", {"rate": 1})
    await trio.sleep(1)
    await members.kill(0)
    await members.kill(1)
    await trio.sleep(100)
    again = await members.start(1)
    [entry] = again.known(Kind.SOURCE, "door")
    assert entry.stale
    assert entry.age_s > 100


async def test_what_a_restarted_node_no_longer_states_it_does_not_believe(
    members: Members, clock: MockClock
) -> None:
    a, b = await _pair(members)
    await a.announce(Kind.SOURCE, "door", {"rate": 1})
    await trio.sleep(1)
    await members.kill(0)
    again = await members.start(0, bootstrap=[1])
    await trio.sleep(2)
    assert await again.lookup(Kind.SOURCE, "door") == []
    assert len(await b.lookup(Kind.SOURCE, "door")) == 1


async def test_a_vm_is_where_its_chain_says(members: Members, clock: MockClock) -> None:
    a, b = await _pair(members)
    c = await members.start(2, bootstrap=[0])
    await trio.sleep(2)
    birth = born(member(0)[0], "count", Digest(bytes(32)), bytes(16))
    await _announce_vm(a, birth)
    found = await c.vm(birth.vm_id)
    assert found is not None
    assert (found.record.publisher, found.ownership) == (a.me, birth)
    # B claims it too, once with A's chain and once with one of its own making.
    await b.announce(Kind.VM, birth.vm_id.text, _vm_body(birth))
    other = born(member(1)[0], "count", Digest(bytes(32)), bytes(16))
    await b.put_object(other.pack())
    await b.announce(Kind.VM, birth.vm_id.text, _vm_body(other))
    await trio.sleep(5)
    assert [entry.publisher for entry in c.known(Kind.VM)] == [a.me]
    assert c.locate(birth.vm_id.eid) == a.me
    # Now A hands it over.
    moved = birth.released(member(0)[0], member(1)[0].public, Digest(bytes(32)))
    changes = c.changes()
    await _announce_vm(b, moved)
    await trio.sleep(5)
    assert [entry.publisher for entry in c.known(Kind.VM)] == [b.me]
    assert c.locate(birth.vm_id.eid) == b.me
    told = []
    while changes.statistics().current_buffer_used:
        told.append(changes.receive_nowait())
    assert Change(Kind.VM, birth.vm_id.text, b.me) in told


async def test_locate_looks_in_the_background(members: Members, clock: MockClock) -> None:
    a, _ = await _pair(members)
    birth = born(member(0)[0], "count", Digest(bytes(32)), bytes(16))
    await _announce_vm(a, birth)
    await trio.sleep(1)
    late = await members.start(9, bootstrap=[1])
    changes = late.changes()
    assert late.locate(birth.vm_id.eid) is None
    for _ in range(100):
        late.locate(birth.vm_id.eid)
    with trio.fail_after(PATIENCE_S):
        while (await changes.receive()).subject != birth.vm_id.text:
            pass
    assert late.locate(birth.vm_id.eid) == a.me
    assert late.counters["lookups_remote"] <= 5
    assert late.locate(a.me.eid) == a.me
    assert late.locate(Eid("dtn://elsewhere/inbox")) is None
    assert late.locate(Eid("ipn:4.2")) is None


async def test_a_chain_from_a_bundle_locates_at_once(members: Members, clock: MockClock) -> None:
    a = await members.start(0)
    birth = born(member(3)[0], "count", Digest(bytes(32)), bytes(16))
    moved = birth.released(member(3)[0], member(4)[0].public, Digest(bytes(32)))
    assert a.learn_ownership(moved.pack()) == moved
    assert a.learn_ownership(birth.pack()) == birth
    assert a.learn_ownership(b"junk") is None
    assert a.locate(birth.vm_id.eid) == member(4)[0].node_id
    assert a.ownership(birth.vm_id) == moved
    told = a.lower.listen()
    recovered = birth.recovered(member(5)[0], Digest(bytes(32)))
    assert a.learn_ownership(recovered.pack()) == recovered
    assert a.locate(birth.vm_id.eid) == member(5)[0].node_id
    assert a.learn_ownership(moved.pack()) == moved  # who follows it is to be told
    assert told.receive_nowait() == moved
    assert a.is_lower(moved)
    assert a.locate(birth.vm_id.eid) == member(5)[0].node_id


@pytest.mark.parametrize("size", [10, 60_000])
async def test_objects_travel_by_their_digest(
    members: Members, clock: MockClock, size: int
) -> None:
    a, b = await _pair(members)
    content = bytes(n * n % 251 for n in range(size))
    digest = await a.put_object(content)
    await trio.sleep(5)
    assert await a.get_object(digest) == content
    assert await b.get_object(digest) == content
    await members.kill(0)
    late = await members.start(9, bootstrap=[1])
    await trio.sleep(2)
    assert await late.get_object(digest) == content
    assert await late.get_object(Digest(bytes(32))) is None


async def test_a_large_mesh_knows_itself(members: Members, clock: MockClock) -> None:
    """With more nodes than a record has holders: the rest comes by looking it up."""
    members.network.loss = 0.05
    for number in range(16):
        await members.start(number, bootstrap=[0] if number else [])
        members.nursery.start_soon(members.keep_announcing, number)
    await trio.sleep(60)
    for number in range(16):
        entries = members[number].known(Kind.NODE)
        assert len(entries) == 16
        assert not any(entry.stale for entry in entries)


async def test_too_long_a_record_is_the_callers_fault(members: Members, clock: MockClock) -> None:
    a = await members.start(0)
    with pytest.raises(UsageError):
        await a.announce(Kind.SOURCE, "door", {"format": "x" * 1400})
    assert a.known(Kind.SOURCE) == []


def test_neighbours_named_in_a_record() -> None:
    identity, chain = member(1)
    listed = [[member(2)[0].node_id.text, 5], 7, ["?"], [], [member(3)[0].node_id.text, 9]]
    for neighbours, expected in ((listed, {2, 3}), ("text", set()), (None, set())):
        record = sign(
            identity,
            chain,
            Kind.NODE,
            identity.node_id.text,
            sequence=1,
            ttl_s=60,
            body={"neighbours": neighbours},
        )
        assert named_neighbours(record) == {member(n)[0].node_id for n in expected}


async def test_its_own_records_of_an_earlier_life_are_outdone(
    members: Members, clock: MockClock
) -> None:
    a = await members.start(0)
    identity, chain = member(0)
    earlier = sign(identity, chain, Kind.SOURCE, "door", sequence=1 << 50, ttl_s=60, body={})
    assert a.learn(earlier.pack(0.0)) is not None
    assert a.known(Kind.SOURCE) == []
    assert (await a.announce(Kind.SOURCE, "door", {})).sequence > 1 << 50


async def test_objects_are_stored_again(members: Members, clock: MockClock) -> None:
    a, _ = await _pair(members)
    await a.put_object(b"chain")
    await trio.sleep(AGAIN_S - 5)
    counters = members.peers[1].dht.counters
    assert counters["stored"] == 1
    await trio.sleep(10)
    assert members.peers[1].dht.counters["stored"] == 2
