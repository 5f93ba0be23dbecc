"""Which status reports are made, and that they start no storm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import depart, originate
from radics_mesh.dtn.rules.reports import BURST, PER_SECOND, Reports
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.admin_records import Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, CUSTODY, REPORTS, SINGLETON, BundleId
from radics_mesh.errors import PeerError
from radics_mesh.ids import NONE_EID, Eid
from radics_mesh.me import Me
from tests.dtn.bundles import plain
from tests.dtn.world import START, Members, Node, connect, running, until

EVERYTHING = Status(0x1F)
NOW = Monotonic(5.0)
WATCHER, SOURCE = Eid("dtn://watcher/"), Eid("dtn://a/x")


def held(flags: int = SINGLETON | REPORTS, report_to: Eid = WATCHER, source: Eid = SOURCE) -> Held:
    return Held(
        bundle_id=BundleId(source, 1, 1),
        destination=Eid("dtn://b/y"),
        priority=1,
        lifetime_s=60,
        age_us=0,
        received=NOW,
        previous=None,
        signer=None,
        flags=flags,
        report_to=report_to,
    )


def about(
    one: Held, status: Status = Status.RECEIVED, reports: Reports | None = None
) -> StatusReport | None:
    return (reports or Reports()).about(one, status, now=NOW, wall=START)


@pytest.mark.parametrize("bit", list(Status))
def test_what_was_asked_for_is_reported(bit: Status) -> None:
    report = about(held(), bit)
    assert report is not None
    assert (report.status, report.times) == (bit, (Moment.of(START),))
    assert about(held(SINGLETON), bit) is None


def test_several_things_at_once_are_one_report() -> None:
    report = about(held(), Status.RECEIVED | Status.CUSTODY_ACCEPTED)
    assert report is not None
    assert len(report.times) == 2


@pytest.mark.parametrize(
    "silent",
    [
        held(SINGLETON | REPORTS | ADMINISTRATIVE),
        held(report_to=NONE_EID),
        held(source=NONE_EID),
    ],
)
def test_about_some_bundles_there_is_never_a_report(silent: Held) -> None:
    assert about(silent) is None
    assert (
        Reports().about(silent, Status.DELETED, now=NOW, wall=START, unasked=Status.DELETED) is None
    )


def test_the_rate_to_one_node_is_bounded() -> None:
    reports = Reports()
    made = [about(held(report_to=Eid(f"dtn://watcher/{n}")), reports=reports) for n in range(1000)]
    assert sum(report is not None for report in made) == BURST
    assert reports.suppressed == 1000 - BURST
    assert about(held(report_to=Eid("dtn://other/")), reports=reports) is not None
    later = Monotonic(NOW + 1.0)
    again = [reports.about(held(), Status.RECEIVED, now=later, wall=START) for _ in range(100)]
    assert sum(report is not None for report in again) == PER_SECOND


# --- agents ---


class Watcher:
    """Keeps what a node hears about its bundles."""

    def __init__(self, node: Node) -> None:
        self.heard: list[tuple[Status, int, Eid]] = []
        node.agent.watch_reports(self._hear)

    def _hear(self, report: StatusReport, source: Eid) -> None:
        self.heard.append((report.status, report.reason, source))


async def test_a_path_out_of_reports(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    to_c = StaticRoutes({c.node_id: [b.node_id]})
    to_a = StaticRoutes({a.node_id: [b.node_id]})
    async with (
        running(a, tmp_path / "a", to_c) as node_a,
        running(b, tmp_path / "b") as node_b,
        running(c, tmp_path / "c", to_a) as node_c,
    ):
        connect(node_a, node_b)
        connect(node_b, node_c)
        node_c.agent.register(c.node_id.service("inbox"), node_c.collect)
        watcher = Watcher(node_a)
        await node_a.agent.send(c.node_id.service("inbox"), b"x", reports=EVERYTHING)
        await until(lambda: len(watcher.heard) == 5)
        eid_a, eid_b, eid_c = (me.identity.eid for me in (a, b, c))
        assert sorted(watcher.heard) == sorted(
            [
                (Status.FORWARDED, 0, eid_a),
                (Status.RECEIVED, 0, eid_b),
                (Status.FORWARDED, 0, eid_b),
                (Status.RECEIVED, 0, eid_c),
                (Status.DELIVERED, 0, eid_c),
            ]
        )
        await until(lambda: all(not len(node.store) for node in (node_a, node_b, node_c)))
        sent = sum(node.agent.counters["admin_records_sent"] for node in (node_a, node_b, node_c))
        assert sent == 5


async def test_two_nodes_that_ask_for_everything_start_no_storm(
    tmp_path: Path, members: Members
) -> None:
    """Custody and all reports, both ways, each reporting to the other: a bounded number each."""
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        pairs = ((node_a, node_b), (node_b, node_a))
        for node, _ in pairs:
            node.agent.register(node.id.service("inbox"), node.collect)
        connect(node_a, node_b)
        for node, other in pairs:
            for _ in range(10):
                await node.agent.send(
                    other.id.service("inbox"),
                    b"x",
                    custody=True,
                    reports=EVERYTHING,
                    report_to=other.id.eid,
                )
        for node, _ in pairs:
            await node.received(10)
        # The last records are still being made when the stores are empty for a moment.
        await until(
            lambda: all(n.agent.counters["admin_records_sent"] >= 50 for n in (node_a, node_b))
        )
        await until(lambda: not len(node_a.store) and not len(node_b.store))
        for node, _ in pairs:
            # For each: custody accepted and forwarded here, received with custody and delivered
            # there, and one custody signal.
            assert node.agent.counters["admin_records_sent"] == 50
            assert node.agent.counters["custody_released"] == 10


async def test_a_forged_report_flag_on_a_record_is_not_heard(
    tmp_path: Path, members: Members
) -> None:
    a, b = members.me("a"), members.me("b")
    record = StatusReport(BundleId(b.identity.eid, 1, 1), Status.RECEIVED, 0, (Moment(1),))
    bundle = originate(
        a,
        b.identity.eid,
        record.encode(),
        source=a.identity.eid,
        stamp=(1, 1),
        lifetime_s=60,
        ownership=b"",
        priority=1,
        asks=ADMINISTRATIVE | REPORTS | CUSTODY,
        report_to=a.identity.eid,
    )
    async with running(b, tmp_path / "b") as node:
        watcher = Watcher(node)
        await node.agent.receive(depart(bundle, a.identity.eid, 0).encode(), a.node_id)
        await until(lambda: len(watcher.heard) == 1 and not len(node.store))
        assert node.agent.counters["admin_records_sent"] == 0


async def test_what_expires_is_reported(
    tmp_path: Path, members: Members, mock_clock: MockClock
) -> None:
    mock_clock.rate = 1.0
    async with running(members.me("a"), tmp_path) as node:
        watcher = Watcher(node)
        far = members.me("b").node_id.service("inbox")
        await node.agent.send(far, b"x", lifetime_s=10, reports=Status.DELETED)
        await node.agent.send(far, b"y", lifetime_s=10, custody=True, report_to=node.id.eid)
        mock_clock.jump(11)
        await until(lambda: len(watcher.heard) == 2)
        assert watcher.heard == [(Status.DELETED, Reason.EXPIRED, node.id.eid)] * 2


def asking(sender: Me, to: Eid, flags: int, kind: int = 200) -> bytes:
    """A bundle with a block that nobody understands."""
    bundle = plain(sender.identity.eid, to, extra=(blocks.age(0), Block(kind, flags, b"?")))
    bundle = replace(bundle, flags=SINGLETON, report_to=sender.identity.eid)
    return sign(bundle, sender.identity, sender.chain).encode()


async def test_a_block_that_asks_for_it_is_reported(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        watcher = Watcher(node_a)
        connect(node_a, node_b)
        node_b.agent.register(inbox, node_b.collect)
        flags = blocks.REPORT_IF_UNPROCESSABLE
        await node_b.agent.receive(asking(a, inbox, flags), a.node_id)
        await node_b.received(1)
        await until(lambda: len(watcher.heard) == 1)
        fatal = flags | blocks.DELETE_BUNDLE_IF_UNPROCESSABLE
        deleted = asking(a, b.node_id.service("other"), fatal)
        assert not await node_b.agent.receive(deleted, a.node_id)
        await until(lambda: len(watcher.heard) == 2)
        assert watcher.heard == [(Status.RECEIVED, Reason.UNINTELLIGIBLE_BLOCK, b.identity.eid)] * 2
        assert not len(node_b.store)


async def test_a_foreign_peers_records_are_its_own(tmp_path: Path, members: Members) -> None:
    b = members.me("b")
    ibr = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ())
    record = StatusReport(BundleId(b.identity.eid, 1, 1), Status.RECEIVED, 0, (Moment(1),)).encode()
    async with running(b, tmp_path) as node:
        watcher = Watcher(node)
        for sequence, source in enumerate(("dtn://ibr/", "dtn://other/")):
            bundle = plain(Eid(source), b.identity.eid, record, sequence=sequence)
            raw = replace(bundle, flags=SINGLETON | ADMINISTRATIVE).encode()
            if source == "dtn://ibr/":
                await node.agent.receive(raw, ibr)
            else:
                with pytest.raises(PeerError):
                    await node.agent.receive(raw, ibr)
        await until(lambda: len(watcher.heard) == 1 and not len(node.store))
        assert watcher.heard[0][2] == "dtn://ibr/"
