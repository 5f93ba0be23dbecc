"""Whole nodes' sessions over real sockets: agents, stores, sealed and plain TCPCL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from pyd3tn.bundle6 import serialize_bundle6
from pyd3tn.tcpcl import TCPCLConnection

from radics_mesh.admission.join import join_with_token
from radics_mesh.admission.service import Admission
from radics_mesh.clock import DtnTime, to_dtn
from radics_mesh.config import Address, Config, Foreign
from radics_mesh.dtn.layers.contacts import UNNAMED_MAX, UNPROVED_MAX, Change, Contacts, Listening
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello, segment_head
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.errors import UsageError
from radics_mesh.ids import Eid
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.sealed import ADMISSION_MAGIC, AdmissionRequest, connect
from tests.dtn.world import Members, Node, TrioClock, identity, running, until
from tests.patience import PATIENCE_S

ANYWHERE = Address("127.0.0.1", 0)


@dataclass
class Station:
    """A node with contacts."""

    node: Node
    contacts: Contacts
    listening: Listening
    scope: trio.CancelScope

    @property
    def address(self) -> Address:
        return self.listening.members

    async def sees(self, *peers: object) -> None:
        await until(lambda: set(self.contacts.peers()) == set(peers))


Admit = Callable[[AdmissionRequest], Awaitable[None]]


@asynccontextmanager
async def station(
    me: Me,
    state: Path,
    *bootstrap: Address,
    routes: StaticRoutes | None = None,
    admit: Admit | None = None,
    listen: Address = ANYWHERE,
    **settings: object,
) -> AsyncIterator[Station]:
    config = Config(state=state, name="n", listen=listen, bootstrap=bootstrap)
    config = replace(config, redial_first_s=0.05, redial_max_s=0.2, **settings)  # type: ignore[arg-type]  # any field
    async with running(me, state, routes) as node, trio.open_nursery() as nursery:
        contacts = Contacts(me=me, agent=node.agent, config=config, random=lambda: 0.5, admit=admit)
        listening = await nursery.start(contacts.run)
        yield Station(node, contacts, listening, nursery.cancel_scope)
        nursery.cancel_scope.cancel()


async def test_bundles_over_sealed_sessions_through_b(tmp_path: Path, members: Members) -> None:
    """A → B → C over three real agents; the reply comes back the same way."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    async with (
        station(b, tmp_path / "b") as at_b,
        station(
            a, tmp_path / "a", at_b.address, routes=StaticRoutes({c.node_id: [b.node_id]})
        ) as at_a,
        station(c, tmp_path / "c", at_b.address) as at_c,
    ):
        at_c.node.agent.register(inbox, at_c.node.collect)
        sent = [await at_a.node.agent.send(inbox, b"%d" % n) for n in range(50)]
        got = await at_c.node.received(50)
        assert sorted(d.bundle_id.sequence for d in got) == [s.sequence for s in sent]
        assert {d.signer for d in got} == {a.node_id}
        # b has seen a's chain in the handshake; c has not.
        assert at_b.node.agent.counters["refused_chain"] == 0
        assert at_c.node.agent.counters["refused_chain"] == 0
        assert set(at_b.contacts.peers()) == {a.node_id, c.node_id}
        await until(lambda: not len(at_a.node.store) and not len(at_b.node.store))


async def test_a_peer_that_comes_back_is_dialled_again(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with station(b, tmp_path / "b") as at_b:
        address = at_b.address
    async with station(a, tmp_path / "a", address) as at_a:
        changes = at_a.contacts.changes.listen()
        await at_a.node.agent.send(inbox, b"waits")
        for _ in range(2):
            async with station(b, tmp_path / "b", listen=address) as at_b:
                at_b.node.agent.register(inbox, at_b.node.collect)
                await at_a.sees(b.node_id)
            await at_a.sees()
        assert [await changes.receive() for _ in range(4)] == [
            Change(b.node_id, up=True),
            Change(b.node_id, up=False),
        ] * 2
    assert len(at_b.node.delivered) <= 1
    assert at_a.node.agent.counters["forwarded"] == 1


async def test_two_that_dial_each_other_keep_one_session(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with station(a, tmp_path / "a") as at_a, station(b, tmp_path / "b") as at_b:
        at_a.contacts.learn(b.node_id, [at_b.address])
        at_b.contacts.learn(a.node_id, [at_a.address])
        await at_a.sees(b.node_id)
        await at_b.sees(a.node_id)
        inbox = b.node_id.service("inbox")
        at_b.node.agent.register(inbox, at_b.node.collect)
        for n in range(20):
            await at_a.node.agent.send(inbox, b"%d" % n)
        await at_b.node.received(20)
        await until(lambda: len(at_a.node.agent.contacts()) == 1)
        await until(lambda: len(at_b.node.agent.contacts()) == 1)


async def test_one_node_by_two_addresses_has_one_session(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with station(b, tmp_path / "b", listen=Address("0.0.0.0", 0)) as at_b:
        port = at_b.address.port
        both = (Address("127.0.0.1", port), Address("localhost", port))
        async with station(a, tmp_path / "a", *both) as at_a:
            await at_a.sees(b.node_id)
            await until(lambda: at_a.contacts.counters["dialled"] >= 2)
            await at_a.sees(b.node_id)
            assert len(at_a.node.agent.contacts()) == 1
            assert at_a.contacts.counters["superseded"] == 0


async def test_round_trips_are_measured(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with (
        station(b, tmp_path / "b") as at_b,
        station(a, tmp_path / "a", at_b.address) as at_a,
    ):
        await at_a.sees(b.node_id)
        rtt_s = at_a.contacts.rtt_s(b.node_id)
        assert rtt_s is not None
        assert 0 < rtt_s < 0.1
        assert at_a.contacts.rtt_s(a.node_id) is None


async def test_only_neighbours(tmp_path: Path, members: Members) -> None:
    """C is out of A's range both ways, though each knows where the other is."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    async with (
        station(b, tmp_path / "b") as at_b,
        station(a, tmp_path / "a", neighbours=(at_b.address,)) as at_a,
        station(c, tmp_path / "c") as at_c,
    ):
        at_a.contacts.learn(b.node_id, [at_b.address])
        at_a.contacts.learn(c.node_id, [at_c.address])
        at_c.contacts.learn(a.node_id, [at_a.address])
        await at_a.sees(b.node_id)
        await until(lambda: at_a.contacts.counters["refused_PeerError"] >= 1)
        await until(lambda: at_a.contacts.counters["refused_LinkError"] >= 1)
        await at_a.sees(b.node_id)
        await at_c.sees()


async def test_an_impostor_at_a_known_address_gets_no_bundle(
    tmp_path: Path, members: Members
) -> None:
    a, b, mallory = members.me("a"), members.me("b"), members.me("mallory")
    async with (
        station(mallory, tmp_path / "m") as at_m,
        station(a, tmp_path / "a") as at_a,
    ):
        at_a.contacts.learn(b.node_id, [at_m.address])
        await at_a.node.agent.send(b.node_id.service("inbox"), b"for b only")
        await until(lambda: at_a.contacts.counters["refused_PeerError"] >= 2)
        assert at_a.contacts.peers() == at_m.contacts.peers() == []


async def test_strangers_are_passed_on_or_turned_away(tmp_path: Path, members: Members) -> None:
    asked: list[AdmissionRequest] = []

    async def admit(request: AdmissionRequest) -> None:
        asked.append(request)

    async with (
        station(members.me("a"), tmp_path / "a", admit=admit) as open_door,
        station(members.me("b"), tmp_path / "b") as closed_door,
    ):
        for door in (open_door, closed_door):
            stream = await trio.open_tcp_stream("127.0.0.1", door.address.port)
            async with stream:
                await stream.send_all(ADMISSION_MAGIC)
                with trio.fail_after(PATIENCE_S):
                    assert await stream.receive_some() == b""
        assert len(asked) == 1
        assert closed_door.contacts.counters["refused_PeerError"] == 1


async def test_a_stranger_becomes_a_member_at_the_same_port(
    tmp_path: Path, members: Members
) -> None:
    """Token over the members' listener, then a session there, then a bundle."""
    a = members.me("a")
    stranger = identity("stranger")
    (tmp_path / "a").mkdir()
    admission = Admission(a, state=tmp_path / "a", own=lambda: [])
    async with station(a, tmp_path / "a", admit=admission.serve) as at_a:
        token = admission.make_token(at_a.address.host, at_a.address.port)
        admitted = await join_with_token(token, stranger, "new", clock=members.clock)
        new = Me(stranger, Verifier(admitted.mesh), admitted.chain, members.clock)
        async with station(new, tmp_path / "new", *admitted.peers) as at_new:
            inbox = a.node_id.service("inbox")
            at_a.node.agent.register(inbox, at_a.node.collect)
            await at_new.node.agent.send(inbox, b"hello from a new member")
            (delivery,) = await at_a.node.received(1)
            assert delivery.signer == stranger.node_id
    admission.close()


async def test_garbage_ends_its_own_stream_only(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with station(a, tmp_path / "a") as at_a, station(b, tmp_path / "b") as at_b:
        stream = await trio.open_tcp_stream("127.0.0.1", at_a.address.port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await until(lambda: at_a.contacts.counters["refused_WireError"] == 1)
        sealed = await connect(at_a.address, b, expect=a.node_id)
        async with sealed:
            await sealed.send_all(b"dtn?")
        await until(lambda: at_a.contacts.counters["refused_WireError"] == 2)
        at_b.contacts.learn(a.node_id, [at_a.address])
        await at_a.sees(b.node_id)


async def test_a_taken_port_is_one_line(tmp_path: Path, members: Members) -> None:
    async with station(members.me("a"), tmp_path / "a") as at_a:
        config = Config(state=tmp_path, name="b", listen=at_a.address)
        taken = Contacts(
            me=members.me("b"), agent=at_a.node.agent, config=config, random=lambda: 0.5
        )
        with pytest.raises(UsageError, match="cannot listen on TCP"):
            await taken.run()


FOREIGN = Foreign(Eid("dtn://d3tn/"), None, "127.0.0.1", ("echo",))


@pytest.fixture
async def with_foreign(tmp_path: Path, members: Members) -> AsyncIterator[Station]:
    async with station(
        members.me("a"), tmp_path / "a", foreign=(FOREIGN,), foreign_listen=ANYWHERE
    ) as at_a:
        yield at_a


def d3tn_sends(port: int, own: str, to: str, payload: bytes, created: DtnTime) -> None:
    with TCPCLConnection(own, "127.0.0.1", port) as connection:
        connection.send_bundle(serialize_bundle6(own, to, payload, creation_timestamp=int(created)))


async def d3tn(port: int, own: str, to: str, payload: bytes) -> None:
    """It blocks, so in a thread."""
    created = to_dtn(TrioClock().wall())
    await trio.to_thread.run_sync(d3tn_sends, port, own, to, payload, created)


async def test_pyd3tn_sends_to_an_open_service(with_foreign: Station) -> None:
    listening, node = with_foreign.listening.foreign, with_foreign.node
    assert listening is not None
    echo = node.id.service("echo")
    node.agent.register(echo, node.collect)
    await d3tn(listening.port, "dtn://d3tn/", echo, b"hi there")
    (delivery,) = await node.received(1)
    assert delivery.payload == b"hi there"
    assert delivery.source == "dtn://d3tn/"
    assert delivery.signer is None


async def test_a_listed_address_under_another_name_is_refused(with_foreign: Station) -> None:
    listening, node = with_foreign.listening.foreign, with_foreign.node
    assert listening is not None
    echo = node.id.service("echo")
    stream = await trio.open_tcp_stream("127.0.0.1", listening.port)
    async with stream:
        await stream.send_all(Hello(Eid("dtn://other/"), Features.NONE, 0).encode())
        bundle = serialize_bundle6("dtn://other/", echo, b"hi", creation_timestamp=0)
        await stream.send_all(segment_head(True, True, len(bundle)) + bundle)
        await until(lambda: with_foreign.contacts.counters["refused_PeerError"] == 1)
    assert node.agent.bundles() == []


async def test_a_foreign_bundle_to_a_closed_service_is_refused(with_foreign: Station) -> None:
    listening, node = with_foreign.listening.foreign, with_foreign.node
    assert listening is not None
    closed = node.id.service("control")
    await d3tn(listening.port, "dtn://d3tn/", closed, b"hi")
    await until(lambda: any(key.startswith("refused") for key in node.agent.counters))
    assert node.agent.bundles() == []


async def test_a_member_may_claim_no_other_eid(tmp_path: Path, members: Members) -> None:
    """B's proved session, in which B greets as C."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    async with station(a, tmp_path / "a") as at_a:
        sealed = await connect(at_a.address, b, expect=a.node_id)
        async with sealed:
            await sealed.send_all(Hello(c.identity.eid, Features.NONE, 0).encode())
            await until(lambda: at_a.contacts.counters["refused_PeerError"] == 1)
        assert at_a.contacts.counters["sessions"] == 0


async def test_a_foreign_peer_from_elsewhere_is_shown_nothing(
    tmp_path: Path, members: Members
) -> None:
    elsewhere = Foreign(FOREIGN.eid, None, "192.0.2.1", ("echo",))
    async with station(
        members.me("a"), tmp_path / "a", foreign=(elsewhere,), foreign_listen=ANYWHERE
    ) as at_a:
        assert at_a.listening.foreign is not None
        stream = await trio.open_tcp_stream("127.0.0.1", at_a.listening.foreign.port)
        async with stream:
            with trio.fail_after(PATIENCE_S):
                assert await stream.receive_some() == b""


async def test_members_do_not_speak_plainly(with_foreign: Station) -> None:
    """Plain TCPCL on the members' port gets nothing, not even our name."""
    stream = await trio.open_tcp_stream("127.0.0.1", with_foreign.address.port)
    async with stream:
        await stream.send_all(b"dtn!\x03\x00\x00\x00\x0bdtn://d3tn/")
        shown = b""
        # What the node left unread makes its kernel reset the connection.
        with trio.fail_after(PATIENCE_S), suppress(trio.BrokenResourceError):
            shown = bytes(await stream.receive_some())
        assert shown == b""


async def test_two_foreign_speakers_over_plain_sessions(tmp_path: Path, members: Members) -> None:
    """Ours against ours, as foreign peers, dialled: acknowledged plain TCPCL."""
    a = members.me("a")
    b = Members(TrioClock()).me("b")
    from_a = Foreign(a.identity.eid, None, "127.0.0.1", ())
    async with station(b, tmp_path / "b", foreign=(from_a,), foreign_listen=ANYWHERE) as at_b:
        assert at_b.listening.foreign is not None
        to_b = Foreign(b.identity.eid, at_b.listening.foreign, "127.0.0.1", ())
        async with station(a, tmp_path / "a", foreign=(to_b,)) as at_a:
            await at_a.sees(to_b)
            await at_b.sees(from_a)
            assert isinstance(at_a.contacts.rtt_s(to_b), float)


async def test_silent_callers_do_not_keep_members_out(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with station(b, tmp_path / "b") as at_b, AsyncExitStack() as silent:
        for _ in range(UNPROVED_MAX + 10):
            stream = await trio.open_tcp_stream(at_b.address.host, at_b.address.port)
            await silent.enter_async_context(stream)
        await until(lambda: at_b.contacts.counters["crowded"] == 10)
        async with station(a, tmp_path / "a", at_b.address) as at_a:
            await at_a.sees(b.node_id)
        assert at_b.contacts.counters["crowded"] == 11


async def test_a_thousand_half_open_connections(
    with_foreign: Station, tmp_path: Path, members: Members
) -> None:
    """Some say nothing, some half a greeting; places are few, and others come through."""
    contacts, listening = with_foreign.contacts, with_foreign.listening.foreign
    assert listening is not None
    greeting = Hello(FOREIGN.eid, Features.NONE, 0).encode()
    async with AsyncExitStack() as half_open:
        for number in range(1000):
            stream = await trio.open_tcp_stream("127.0.0.1", listening.port)
            half_open.push_async_callback(trio.aclose_forcefully, stream)
            await stream.send_all(greeting[: number % len(greeting)])
        await until(lambda: contacts.counters["crowded"] == 1000 - UNNAMED_MAX)
        node = with_foreign.node
        node.agent.register(node.id.service("echo"), node.collect)
        await d3tn(listening.port, "dtn://d3tn/", node.id.service("echo"), b"through")
        (delivery,) = await node.received(1)
        assert delivery.payload == b"through"
        b = members.me("b")
        async with station(b, tmp_path / "b", with_foreign.address):
            await with_foreign.sees(b.node_id)


async def test_a_peer_that_has_moved_is_dialled_at_its_new_address(
    tmp_path: Path, members: Members
) -> None:
    """When an address is taken away, TCP does not know for as long as silence is borne."""
    a, b = members.me("a"), members.me("b")
    async with (
        station(b, tmp_path / "b", listen=Address("0.0.0.0", 0)) as at_b,
        station(a, tmp_path / "a", listen=Address("0.0.0.0", 0)) as at_a,
    ):
        home, work = (Address(host, at_b.address.port) for host in ("127.0.0.1", "127.0.0.2"))
        changes = at_a.contacts.changes.listen()
        at_a.contacts.learn(b.node_id, [home])
        assert (await changes.receive()).up
        for stated in ([home, work], [work], [work]):
            at_a.contacts.learn(b.node_id, stated)
        with trio.fail_after(PATIENCE_S):
            assert [(await changes.receive()).up for _ in range(2)] == [False, True]
        await at_b.sees(a.node_id)
        assert at_a.contacts.counters["moved"] == 1
