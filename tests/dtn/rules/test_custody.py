"""Custody: who answers for a bundle, signals lost and late, and nodes that lose what they took."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.handling.contact import Transmit
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.coverage import Coverage
from radics_mesh.dtn.rules.custody import TIMER_FAILED_S, TIMER_FIRST_S, TIMER_MAX_S, Custody
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.admin_records import CustodySignal, Moment, Reason
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, CUSTODY, SINGLETON, BundleId
from radics_mesh.errors import CapacityError, LinkError
from radics_mesh.ids import Eid, NodeId
from tests.dtn.world import Members, Node, TrioClock, carry, connect, running, until

OWN, SOURCE = Eid("dtn://own/"), Eid("dtn://a/x")
NOW = Monotonic(100.0)
NEIGHBOUR = NodeId(bytes(20))


def held(
    sequence: int = 1,
    flags: int = SINGLETON | CUSTODY,
    custodian: Eid = OWN,
    size_bytes: int = 10,
    place: tuple[int, int] | None = None,
) -> Held:
    offset, length = place or (None, None)
    return Held(
        bundle_id=BundleId(SOURCE, 1, sequence, offset, length),
        destination=Eid("dtn://b/y"),
        priority=1,
        lifetime_s=60,
        age_us=0,
        received=NOW,
        previous=None,
        signer=None,
        size_bytes=size_bytes,
        flags=flags,
        custodian=custodian,
        total=100,
    )


def custody(quota_bytes: int = 1000) -> Custody:
    return Custody((OWN,), quota_bytes=quota_bytes, is_held=lambda one: True)


def signal(subject: BundleId, succeeded: bool = True, reason: int = 0) -> CustodySignal:
    return CustodySignal(subject, succeeded, reason, Moment(1))


def test_a_timer_sends_again_and_doubles() -> None:
    mine, one = custody(), held()
    mine.take(one)
    now, waits = NOW, []
    for _ in range(9):
        assert mine.handed_on(one, NEIGHBOUR, now)
        assert mine.due(now) == []
        waits.append(mine.deadline - now)
        now = Monotonic(mine.deadline)
        assert mine.due(now) == [one]
    assert waits[:3] == [TIMER_FIRST_S, 2 * TIMER_FIRST_S, 4 * TIMER_FIRST_S]
    assert waits[-1] == TIMER_MAX_S


@pytest.mark.parametrize(
    ("answer", "released"),
    [
        (signal(held().bundle_id), True),
        (signal(held().bundle_id, False, Reason.REDUNDANT), True),
        (signal(held().bundle_id, False, Reason.DEPLETED_STORAGE), False),
        (signal(held(2).bundle_id), False),
    ],
)
def test_what_releases(answer: CustodySignal, released: bool) -> None:
    mine, one = custody(), held()
    mine.take(one)
    mine.handed_on(one, NEIGHBOUR, NOW)
    assert (mine.signalled(answer, None, NOW) == [one]) == released
    assert (one in mine) != released
    assert mine.signalled(answer, None, NOW) == []


def test_a_failure_shortens_the_wait() -> None:
    mine, one = custody(), held()
    mine.take(one)
    for _ in range(5):
        mine.handed_on(one, NEIGHBOUR, NOW)
    mine.signalled(signal(one.bundle_id, False, Reason.NO_ROUTE), None, NOW)
    assert mine.due(Monotonic(NOW + TIMER_FAILED_S)) == [one]


def test_a_foreign_peer_answers_only_for_what_it_got() -> None:
    mine, one = custody(), held()
    peer = Foreign(Eid("dtn://ibr/dtn"), None, "192.0.2.1")
    mine.take(one)
    answer = signal(one.bundle_id)
    mine.handed_on(one, NEIGHBOUR, NOW)
    assert mine.signalled(answer, Eid("dtn://ibr/"), NOW) == []
    mine.handed_on(one, peer, NOW)
    assert mine.signalled(answer, Eid("dtn://other/"), NOW) == []
    assert mine.signalled(answer, Eid("dtn://ibr/"), NOW) == [one]


def test_signals_about_fragments_release_once_they_cover_it() -> None:
    mine, whole = custody(), held()
    mine.take(whole)
    for offset, length in ((0, 40), (60, 40)):
        assert mine.signalled(signal(held(place=(offset, length)).bundle_id), None, NOW) == []
    assert mine.signalled(signal(held(place=(35, 30)).bundle_id), None, NOW) == [whole]


def test_a_signal_about_the_whole_releases_its_pieces() -> None:
    mine = custody()
    pieces = [held(place=(offset, 50)) for offset in (0, 50)]
    for piece in pieces:
        mine.take(piece)
    assert mine.signalled(signal(pieces[0].bundle_id), None, NOW) == [pieces[0]]
    assert mine.signalled(signal(held().bundle_id), None, NOW) == [pieces[1]]
    assert len(mine) == 0


def test_custody_leaves_room_for_others() -> None:
    mine = custody(quota_bytes=100)
    big = held(size_bytes=70)
    assert mine.wants(big)
    mine.take(big)
    assert not mine.wants(held(2))
    mine.let_go(big)
    assert mine.wants(held(2))


@pytest.mark.parametrize(
    "unfit",
    [
        held(flags=SINGLETON),
        held(flags=CUSTODY),
        held(flags=SINGLETON | CUSTODY | ADMINISTRATIVE),
    ],
)
def test_custody_that_is_not_taken(unfit: Held) -> None:
    assert not custody().wants(unfit)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30), st.data())
def test_coverage_is_the_union_of_its_spans(
    spans: list[tuple[int, int]], data: st.DataObject
) -> None:
    coverage, there = Coverage(), set[int]()
    for offset, length in spans:
        coverage.add(offset, length)
        there.update(range(offset, offset + length))
    offset, length = data.draw(st.integers(0, 80)), data.draw(st.integers(0, 30))
    assert coverage.covers(offset, length) == (set(range(offset, offset + length)) <= there)
    gaps = sum(n not in there and n + 1 in there for n in range(-1, 80))
    assert coverage.spans == gaps


# --- agents ---


async def test_custody_goes_from_hop_to_hop(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    async with running(b, tmp_path / "b") as node_b:
        via_b = StaticRoutes({c.node_id: [b.node_id]})
        async with running(a, tmp_path / "a", via_b) as node_a:
            connect(node_a, node_b)
            await node_a.agent.send(inbox, b"x", custody=True)
            await until(lambda: not len(node_a.store))
            assert node_a.agent.counters["custody_released"] == 1
            assert [one.custodian for one in node_b.store] == [b.identity.eid]
    async with running(b, tmp_path / "b") as node_b, running(c, tmp_path / "c") as node_c:
        assert [one.custodian for one in node_b.store] == [b.identity.eid]
        node_c.agent.register(inbox, node_c.collect)
        connect(node_b, node_c)
        await node_c.received(1)
        await until(lambda: not len(node_b.store) and not len(node_c.store))


async def test_a_custodian_keeps_what_was_handed_on(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")

    async def swallow(raw: bytes) -> None:
        """Acknowledged, and lost."""

    async with running(a, tmp_path) as node:
        contact = node.agent.contact_up(b.node_id, swallow)
        sent = await node.agent.send(b.node_id.service("inbox"), b"x", custody=True)
        await until(lambda: contact.forwarded == 1)
        assert [row.state for row in node.agent.bundles()] == ["in custody"]
        await node.agent.send(b.node_id.service("inbox"), b"y")
        await until(lambda: contact.forwarded == 2)
    async with running(a, tmp_path) as node:
        assert [one.bundle_id for one in node.store] == [sent]


async def test_custody_beyond_what_fits_is_an_error(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path, quota_bytes=4000) as node:
        far = members.me("b").node_id.service("inbox")
        with pytest.raises(CapacityError):
            await node.agent.send(far, bytes(3000), custody=True)
        await node.agent.send(far, bytes(3000))


FATES = ("arrives", "unanswered", "breaks", "lost after")


class Lossy:
    """A link whose next transmissions have the fates of a script, and then all arrive."""

    def __init__(self, fates: list[str]) -> None:
        self.fates = fates

    def over(self, arrives: Transmit) -> Transmit:
        async def transmit(raw: bytes) -> None:
            fate = self.fates.pop(0) if self.fates else "arrives"
            if fate == "breaks":
                raise LinkError("broken")
            if fate != "lost after":  # acknowledged by a relay that loses it
                await arrives(raw)
            if fate == "unanswered":
                raise LinkError("broken before the acknowledgement")

        return transmit


async def _line(folder: Path, fates: list[str], bundles: int, clock: MockClock) -> None:
    members = Members(TrioClock())
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    routes = {
        a: StaticRoutes({c.node_id: [b.node_id]}),
        b: StaticRoutes(),
        c: StaticRoutes({a.node_id: [b.node_id]}),
    }
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(running(me, folder / str(n), routes[me]))
            for n, me in enumerate((a, b, c))
        ]
        nodes[2].agent.register(inbox, nodes[2].collect)
        lossy = Lossy(fates)
        for number in range(bundles):
            await nodes[0].agent.send(inbox, b"%d" % number, custody=True)

        def settled() -> bool:
            _reconnect(nodes, lossy)
            if any(len(node.store) for node in nodes):
                clock.jump(5.0)
                return False
            return not fates

        with trio.fail_after(4000):
            while not settled():
                if fates and not any(len(node.store) for node in nodes):
                    fates.clear()
                await trio.testing.wait_all_tasks_blocked(0.001)
        assert sorted(int(d.payload) for d in nodes[2].delivered) == list(range(bundles))


def _reconnect(nodes: list[Node], lossy: Lossy) -> None:
    for one, other in itertools.pairwise(nodes):
        for sender, receiver in ((one, other), (other, one)):
            if receiver.id not in [contact.peer for contact in sender.agent.contacts()]:
                sender.agent.contact_up(receiver.id, lossy.over(carry(receiver, sender.id)))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.sampled_from(FATES), max_size=24), st.integers(1, 4))
def test_nothing_in_custody_is_lost_and_nothing_comes_twice(fates: list[str], bundles: int) -> None:
    """A line of three over links that lose bundles, acknowledgements and what was acknowledged."""
    clock = MockClock(rate=1.0)
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_line, Path(folder), list(fates), bundles, clock, clock=clock)
