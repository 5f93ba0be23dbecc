"""A node with a number: what it exchanges with peers that only know `ipn:` names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radics_mesh.config import Foreign
from radics_mesh.dtn.wire import admin_records
from radics_mesh.dtn.wire.admin_records import (
    AdminRecord,
    CustodySignal,
    Moment,
    Status,
    StatusReport,
)
from radics_mesh.dtn.wire.bundle import (
    ADMINISTRATIVE,
    CUSTODY,
    REPORT_DELIVERY,
    REPORT_RECEPTION,
    SINGLETON,
    Bundle,
)
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import NONE_EID, Eid
from radics_mesh.me import Me
from tests.dtn.bundles import plain
from tests.dtn.world import Members, TrioClock, running, until

ION = Foreign(Eid("ipn:5.0"), None, "192.0.2.1", ("7",))
OURS, THEIRS = Eid("ipn:20.7"), Eid("ipn:5.1")


@pytest.fixture
def me() -> Me:
    return replace(Members(TrioClock()).me("a"), ipn_node=20)


def keeping(sent: list[bytes]) -> Callable[[bytes], Awaitable[None]]:
    async def transmit(raw: bytes) -> None:
        sent.append(raw)

    return transmit


def is_compressed(raw: bytes) -> bool:
    """Whether only numbers stand for its endpoints: a dictionary would end its strings with NUL."""
    bundle = Bundle.parse(raw)
    names = (bundle.destination, bundle.source, bundle.report_to, bundle.custodian)
    only_ipn = all(eid == NONE_EID or eid.scheme == "ipn" for eid in names)
    return only_ipn and b"ipn\0" not in raw


async def test_a_bundle_to_ion_in_custody(tmp_path: Path, me: Me) -> None:
    async with running(me, tmp_path) as node:
        sent: list[bytes] = []
        heard: list[StatusReport] = []
        node.agent.watch_reports(lambda report, source: heard.append(report))
        contact = node.agent.contact_up(ION, keeping(sent))
        name = await node.agent.send(THEIRS, b"to ion", custody=True, reports=Status.DELIVERED)
        await until(lambda: contact.forwarded == 1)
        bundle = Bundle.parse(sent[0])
        assert bundle.id == name
        assert (bundle.source, bundle.custodian, bundle.report_to) == ("ipn:20.0",) * 3
        assert is_compressed(sent[0])
        assert len(node.store) == 1
        at = Moment(9)
        records: list[AdminRecord] = [
            CustodySignal(name, True, 0, at),
            StatusReport(name, Status.DELIVERED, 0, (at,)),
        ]
        for sequence, record in enumerate(records):
            answer = plain(Eid("ipn:5.0"), Eid("ipn:20.0"), record.encode(), sequence=sequence)
            raw = replace(answer, flags=SINGLETON | ADMINISTRATIVE).encode()
            await node.agent.receive(raw, ION)
        await until(lambda: not len(node.store) and bool(heard))
        assert (node.agent.counters["custody_released"], heard[0].subject) == (1, name)


async def test_a_bundle_from_ion_in_custody(tmp_path: Path, me: Me) -> None:
    async with running(me, tmp_path) as node:
        sent: list[bytes] = []
        node.agent.contact_up(ION, keeping(sent))
        node.agent.register(me.node_id.service("7"), node.collect)
        asking = replace(
            plain(THEIRS, OURS, b"from ion"),
            flags=SINGLETON | CUSTODY | REPORT_RECEPTION | REPORT_DELIVERY,
            custodian=Eid("ipn:5.0"),
            report_to=THEIRS,
        )
        await node.agent.receive(asking.encode(), ION)
        assert (await node.received(1))[0].payload == b"from ion"
        await until(lambda: len(sent) == 3)
        records = [admin_records.parse(Bundle.parse(raw).payload) for raw in sent]
        assert sum(isinstance(r, CustodySignal) and r.succeeded for r in records) == 1
        assert {r.subject for r in records} == {asking.id}
        for raw in sent:
            assert Bundle.parse(raw).source == "ipn:20.0"
            assert is_compressed(raw)
        with pytest.raises(PeerError):
            await node.agent.receive(plain(THEIRS, Eid("ipn:20.8")).encode(), ION)


async def test_without_a_number_nothing_goes_to_ipn(tmp_path: Path, me: Me) -> None:
    async with running(replace(me, ipn_node=None), tmp_path) as node:
        with pytest.raises(UsageError):
            await node.agent.send(THEIRS, b"")
    async with running(me, tmp_path) as node:
        with pytest.raises(UsageError):
            await node.agent.send(THEIRS, b"", source=me.node_id.service("inbox"))
        name = await node.agent.send(THEIRS, b"", source=me.node_id.service("7"))
        assert name.source == OURS


async def test_any_uri_is_an_endpoint(tmp_path: Path, me: Me) -> None:
    async with running(me, tmp_path) as node:
        for uri in ("urn:uuid:f81d4fae", "http://example.org/a?b=c", "x:y", "ipn:20.9"):
            node.agent.register(Eid(uri), node.collect)
            await node.agent.send(Eid(uri), uri.encode())
        assert {d.destination for d in await node.received(4)} == {
            Eid(d.payload.decode()) for d in node.delivered
        }
