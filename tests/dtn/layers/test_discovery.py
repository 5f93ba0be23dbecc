"""Beacons over real sockets, on the loopback interface and on a cable between two namespaces."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from radics_mesh.config import Address, Foreign
from radics_mesh.dtn.layers.discovery import Discovery
from radics_mesh.dtn.layers.heard import FOREIGN_SERVICE, MEMBER_SERVICE, Heard
from radics_mesh.dtn.layers.ipnd import Beacon, Service
from tests.dtn.layers.test_contacts import ANYWHERE, Station, station
from tests.dtn.world import Members, TrioClock, until


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("", 0))
        found: int = udp.getsockname()[1]
    return found


@asynccontextmanager
async def beaconing(at: Station, port: int) -> AsyncIterator[Discovery]:
    """A station that speaks and listens on the loopback interface."""
    contacts = at.contacts
    services = [Service(MEMBER_SERVICE, f"port={at.address.port};")]
    if at.listening.foreign is not None:
        services.append(Service(FOREIGN_SERVICE, f"port={at.listening.foreign.port};"))
    discovery = Discovery(
        own=at.node.me.identity.eid,
        services=services,
        heard=Heard(at.node.id, contacts.foreign_hosts, contacts.hear_no_more),
        on_found=lambda found: contacts.hear(found.peer, found.address),
        names=["lo"],
        every_s=0.1,
        random=lambda: 0.5,
        port=port,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(discovery.run)
        yield discovery
        nursery.cancel_scope.cancel()


async def test_two_members_find_each_other(tmp_path: Path, members: Members, port: int) -> None:
    async with (
        station(members.me("a"), tmp_path / "a") as at_a,
        station(members.me("b"), tmp_path / "b") as at_b,
        beaconing(at_a, port) as of_a,
        beaconing(at_b, port),
    ):
        await at_a.sees(at_b.node.id)
        await at_b.sees(at_a.node.id)
        await until(lambda: of_a.counters["own"] > 0)  # heard, and not dialled
        assert at_a.contacts.counters["sessions"] == 1


async def test_a_listed_foreign_peer_that_was_to_dial_us_is_dialled(
    tmp_path: Path, members: Members, port: int
) -> None:
    a, b = members.me("a"), Members(TrioClock()).me("b")
    from_a = Foreign(a.identity.eid, None, "127.0.0.1")
    from_b = Foreign(b.identity.eid, None, "127.0.0.1")
    async with (
        station(a, tmp_path / "a", foreign=(from_b,), foreign_listen=ANYWHERE) as at_a,
        station(b, tmp_path / "b", foreign=(from_a,), foreign_listen=ANYWHERE) as at_b,
        beaconing(at_a, port),
        beaconing(at_b, port),
    ):
        await at_a.sees(from_b)
        await at_b.sees(from_a)


async def shout(port: int, beacon: Beacon) -> None:
    """Anybody's beacon."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(beacon.encode(), ("127.0.0.1", port))
    await trio.lowlevel.checkpoint()


async def test_an_eid_that_is_not_the_keys_gets_nothing(
    tmp_path: Path, members: Members, port: int
) -> None:
    """M claims to be B. A dials it and finds M's key; its bundle for B stays."""
    b, m = members.me("b"), members.me("m")
    async with (
        station(members.me("a"), tmp_path / "a") as at_a,
        station(m, tmp_path / "m") as at_m,
        beaconing(at_a, port),
    ):
        await at_a.node.agent.send(b.node_id.service("inbox"), b"for b only")
        services = (Service(MEMBER_SERVICE, f"port={at_m.address.port};"),)
        await shout(port, Beacon(b.identity.eid, 1, services))
        await until(lambda: at_a.contacts.counters["refused_PeerError"] > 0)
        assert at_a.contacts.peers() == []
        assert len(at_a.node.store) == 1


async def test_a_false_address_does_not_cost_a_true_one(
    tmp_path: Path, members: Members, port: int
) -> None:
    b = members.me("b")
    async with station(b, tmp_path / "b") as at_b:
        address = at_b.address
        async with station(members.me("a"), tmp_path / "a", address) as at_a:
            await at_a.sees(b.node_id)
            at_a.contacts.learn(b.node_id, [address])
            async with beaconing(at_a, port) as of_a:
                services = (Service(MEMBER_SERVICE, "port=9;"),)
                await shout(port, Beacon(b.identity.eid, 1, services))
                await until(lambda: of_a.counters["beacons"] > 0)
                assert at_a.contacts.peers() == [b.node_id]
                at_b.scope.cancel()
                await at_a.sees()
                async with station(b, tmp_path / "again", listen=address):
                    await at_a.sees(b.node_id)


async def test_who_falls_silent_is_dialled_no_more(
    tmp_path: Path, members: Members, port: int
) -> None:
    async with station(members.me("a"), tmp_path / "a") as at_a:
        gone = members.me("gone").node_id
        at_a.contacts.hear(gone, Address("127.0.0.1", 9))
        await until(lambda: at_a.contacts.counters["dialled"] > 0)
        at_a.contacts.hear_no_more(gone)
        dialled = -1
        while dialled != at_a.contacts.counters["dialled"]:
            dialled = at_a.contacts.counters["dialled"]
            await trio.sleep(0.5)  # more than any of its waits
