"""Mesh keys between real agents: sent, compared at contact, kept, confirmed; what is bad is
counted. And DHT nodes whose keys change under their look-ups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from radics_mesh.codec import pack
from radics_mesh.config import Address
from radics_mesh.dht.server import Dht
from radics_mesh.errors import UsageError, WireError
from radics_mesh.identity import seal
from radics_mesh.link import TAG_DHT, SealedDatagrams
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import Chain
from radics_mesh.node.key_messages import Message
from radics_mesh.node.rekeying import FILE_NAME, SERVICE, Rekeying, keep_given
from radics_mesh.records import Kind, Record, sign
from radics_mesh.revocations import Revocation, Revocations, revoke
from radics_mesh.rotations import Rotation, rotate
from tests.dht.world import Facts, at, fact, fact_key, node_id
from tests.dht.world import TrioClock as DhtClock
from tests.dtn.world import Members, Node, TrioClock, connect, running, until
from tests.dtn.world import identity as named
from tests.strategies import msgpack_values

MEMBERS = Members(TrioClock())
FIRST = named("first")


def put_out(me: Me) -> Revocation:
    """By the first member, who has invited all the others."""
    return revoke(
        FIRST, MEMBERS.root.pack(), Chain.parse(me.chain).member, when=me.clock.wall(), reason=""
    )


class Site:
    def __init__(self, node: Node, rekeying: Rekeying, revocations: Revocations) -> None:
        self.node = node
        self.me = node.me
        self.rekeying = rekeying
        self.revocations = revocations

    @property
    def epoch(self) -> int:
        return self.rekeying.ring.newest.epoch

    @property
    def live(self) -> list[int]:
        return [key.epoch for key in self.rekeying.ring.live()]

    def record(self) -> Record:
        return sign(
            self.me.identity,
            self.me.chain,
            Kind.NODE,
            self.me.node_id.text,
            sequence=1,
            ttl_s=60,
            body={"mesh_key": self.rekeying.said()},
        )

    async def rotate(self, overlap_s: int = 3600) -> Rotation:
        return await self.rekeying.rotate(self.me.identity, self.me.chain, overlap_s)


class Directory:
    """What all say of themselves, known to all at once."""

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}

    def members(self) -> list[Record]:
        return [site.record() for site in self.sites.values()]

    @asynccontextmanager
    async def site(self, name: str, path: Path) -> AsyncIterator[Site]:
        directory = path / name
        directory.mkdir(exist_ok=True)
        me = MEMBERS.me(name)
        revocations = Revocations(me.verifier)
        rekeying = Rekeying(me, directory, revocations)
        async with running(me, directory) as node:
            rekeying.attach(node.agent, self.members)
            await node.nursery.start(rekeying.run)
            site = self.sites[name] = Site(node, rekeying, revocations)
            yield site


@asynccontextmanager
async def sites(path: Path, names: str) -> AsyncIterator[list[Site]]:
    directory = Directory()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(directory.site(name, path)) for name in names]


async def test_a_key_goes_to_all_and_on_to_their_neighbours_and_is_kept(tmp_path: Path) -> None:
    async with sites(tmp_path, "abc") as (a, b, c):
        connect(a.node, b.node)
        connect(b.node, c.node)
        await a.rotate()
        await until(lambda: a.epoch == b.epoch == c.epoch == 1)
        assert a.rekeying.waiting() == []
        newest = c.rekeying.ring.newest.secret
        assert a.live == [1, 0]
    path = tmp_path / "c" / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    again = Rekeying(MEMBERS.me("c"), tmp_path / "c", Revocations(MEMBERS.me("c").verifier))
    assert again.ring.newest.secret == newest
    path.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        Rekeying(MEMBERS.me("c"), tmp_path / "c", Revocations(MEMBERS.me("c").verifier))


async def test_who_comes_back_gets_the_newest_and_halves_each_others(tmp_path: Path) -> None:
    async with sites(tmp_path, "abcd") as (a, b, c, d):
        connect(a.node, b.node)
        connect(c.node, d.node)
        for _ in range(2):
            await a.rotate()
        await c.rotate()
        await until(lambda: (a.epoch, b.epoch, c.epoch, d.epoch) == (2, 2, 1, 1))
        connect(b.node, c.node)
        await until(lambda: a.epoch == b.epoch == c.epoch == d.epoch == 2)
        assert len({site.rekeying.ring.newest.key_id for site in (a, b, c, d)}) == 1
        # Of the other half's, too, nobody loses one that somebody may still send under.
        await until(lambda: all(set(site.live) == {0, 1, 2} for site in (a, b, c, d)))
        shared = [set(site.rekeying.ring.secrets()) for site in (a, b, c, d)]
        assert len(set.intersection(*shared)) == 4


async def test_two_keys_of_one_epoch_end_as_one_on_both_sides(tmp_path: Path) -> None:
    async with sites(tmp_path, "ab") as (a, b):
        for site in (a, b):
            await site.rotate()
        ids = {site.rekeying.ring.newest.key_id for site in (a, b)}
        connect(a.node, b.node)
        await until(lambda: len(a.live) == len(b.live) == 3)
        assert {site.rekeying.ring.newest.key_id for site in (a, b)} == {max(ids)}


async def test_a_revoked_node_gets_nothing_and_a_neighbour_that_does_not_know_it_waits(
    tmp_path: Path,
) -> None:
    async with sites(tmp_path, "abc") as (a, b, c):
        connect(a.node, b.node)
        connect(b.node, c.node)
        connect(a.node, c.node)
        word = put_out(c.me)
        a.revocations.add(word)
        await a.rotate()
        await until(lambda: b.epoch == 1)
        assert b.rekeying.ring.passable() == []
        await c.node.agent.send(b.node.id.service(SERVICE), pack([2, c.me.chain, [], []]))
        await b.node.agent.send(c.node.id.service("after"), b"")
        await until(lambda: b.node.agent.counters["delivered"] >= 2)
        b.revocations.add(word)
        b.rekeying.revocations_changed()
        assert len(b.rekeying.ring.passable()) == 1
        await until(lambda: not b.node.agent.bundles() and not a.node.agent.bundles())
        assert c.epoch == 0
        assert [one.text for one in a.rekeying.waiting()] == []


async def test_an_old_key_ends_by_itself(tmp_path: Path) -> None:
    async with sites(tmp_path, "abc") as (a, b, _):
        connect(a.node, b.node)
        changes: list[list[int]] = []
        b.rekeying.changed = lambda: changes.append(b.live)
        await a.rotate(overlap_s=1)
        await until(lambda: a.live == b.live == [1])  # though c has not confirmed
        assert changes == [[1, 0], [1]]


async def test_what_is_bad_is_counted_and_the_node_goes_on(tmp_path: Path) -> None:
    async with sites(tmp_path, "ab") as (a, b):
        connect(a.node, b.node)
        to = b.node.id.service(SERVICE)
        other = MEMBERS.me("other")
        made = Rekeying(other, tmp_path, Revocations(other.verifier))
        made.attach(a.node.agent, list)
        statement = await made.rotate(other.identity, other.chain, 60)
        good, secret = statement.pack(), made.ring.newest.secret
        box = seal(b.me.identity.public, secret)
        for payload in (b"", pack([3, b"", [], []]), pack([0, b"", [], [[good, b"short"]]])):
            await a.node.agent.send(to, payload)
        await a.node.agent.send(to, pack([2, other.chain, [], []]))  # not its own chain
        bad = [
            [good, seal(a.me.identity.public, secret)],
            [good, seal(b.me.identity.public, bytes(32))],
            [good[:-1] + bytes((good[-1] ^ 1,)), box],
            [good, box],
        ]
        await a.node.agent.send(to, pack([0, b"", [], bad]))
        await until(lambda: b.epoch == 1)
        assert b.rekeying.counters == {"refused_PeerError": 3, "learned": 1}


async def test_a_record_that_names_a_newer_key_makes_a_node_ask(tmp_path: Path) -> None:
    """What its maker had sent was lost, and there is no new contact at which to compare."""
    async with sites(tmp_path, "ab") as (a, b):
        connect(a.node, b.node)
        statement = rotate(
            a.me.identity,
            a.me.chain,
            a.me.mesh,
            NEW,
            epoch=1,
            overlap_s=60,
            when=a.me.clock.wall(),
            knows=[],
        )
        a.rekeying.ring.add(statement, NEW, a.me.clock.monotonic())
        behind = b.record()
        assert not a.rekeying.holds_newest(behind)
        a.rekeying.heard(behind)
        b.rekeying.heard(a.record())
        await until(lambda: b.epoch == 1)
        assert b.rekeying.epoch_of(behind) == 0
        assert a.rekeying.holds_newest(b.record())


async def test_a_new_member_keeps_what_it_was_given(tmp_path: Path) -> None:
    async with sites(tmp_path, "ab") as (a, b):
        await a.rotate()
        (tmp_path / "c").mkdir()
        keep_given(tmp_path / "c", MEMBERS.mesh, a.rekeying.ring.given(), a.me.clock)
        async with Directory().site("c", tmp_path) as c:
            assert c.rekeying.ring.secrets() == a.rekeying.ring.secrets()
            assert c.rekeying.ring.passable() == []
            connect(a.node, c.node)
            await until(lambda: len(c.rekeying.ring.passable()) == 1)
            connect(c.node, b.node)
            await until(lambda: b.epoch == 1)


async def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    me = MEMBERS.me("a")
    for damaged in (b"", b"\x00", pack([1, bytes(me.mesh.mesh_id), 0, []]), pack([2])):
        (tmp_path / FILE_NAME).write_bytes(damaged)
        (tmp_path / FILE_NAME).chmod(0o600)
        with pytest.raises(UsageError, match="damaged"):
            Rekeying(me, tmp_path, Revocations(me.verifier))


@given(st.binary(max_size=200) | msgpack_values.map(pack))
def test_any_payload_is_parsed_or_a_wire_error(payload: bytes) -> None:
    try:
        message = Message.parse(payload)
    except WireError:
        return
    assert Message.parse(message.pack()) == message


OLD, NEW = bytes(32), bytes([1]) * 32
# What each of three nodes goes through, in any order between them.
STAGES = ([NEW, OLD], [NEW])


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_no_look_up_is_lost_while_the_key_changes(
    order: tuple[int, ...], autojump_clock: MockClock
) -> None:
    network = MemoryNetwork(Random(1), delay_s=(0.01, 0.08))
    async with trio.open_nursery() as nursery:
        links, dhts = [], []
        for number in range(3):
            link = SealedDatagrams(network.link(at(number)), OLD)
            dht = Dht(
                link=link.channel(TAG_DHT),
                node_id=node_id(number),
                clock=DhtClock(),
                bootstrap=[Address(*at(0))] if number else [],
                peers_path=None,
                random=Random(number),
            )
            dht.serve(Facts())
            nursery.start_soon(link.run)
            await nursery.start(dht.run)
            links.append(link)
            dhts.append(dht)
        await trio.sleep(10)
        for step, (keys, number) in enumerate((k, n) for k in STAGES for n in order):
            links[number].seals.use(keys)
            value = fact(b"o" * 20, 1, f"subject {step}:")
            for one, other in permutations(dhts, 2):
                await one.put(fact_key(f"subject {step}:"), value)
                assert await other.get(fact_key(f"subject {step}:")) == [value]
        assert [dht.counters["calls_failed"] for dht in dhts] == [0, 0, 0]
        assert [dht.counters["retransmitted"] for dht in dhts] == [0, 0, 0]
        assert sum(link.counters["copies"] for link in links) > 0
        nursery.cancel_scope.cancel()
