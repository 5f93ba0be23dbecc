"""Strangers at a real door: the member's Admission behind a TCP listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from radics_mesh.admission.exchange import Admitted
from radics_mesh.admission.join import join_with_token, knock
from radics_mesh.admission.service import Admission
from radics_mesh.config import Address
from radics_mesh.errors import LinkError, MeshError, PeerError, UsageError
from radics_mesh.keyring import Given
from radics_mesh.link import plain
from radics_mesh.me import Me
from radics_mesh.membership import Verifier, invite
from radics_mesh.sealed import ADMISSION_MAGIC, AdmissionRequest, accept
from tests.meshes import NEXT_YEAR, World, identity
from tests.patience import PATIENCE_S

ELSEWHERE = Address("10.0.0.1", 5050)


class Door:
    """A member that listens."""

    def __init__(self, me: Me, state: Path) -> None:
        self.me = me
        self.state = state
        self.mesh_keys: list[Given] = []
        self.admission = self._open()
        self.refused: list[MeshError] = []
        self.refusal = trio.Event()
        self.address = Address("127.0.0.1", 0)
        self.streams: list[trio.SocketStream] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        self.streams.append(stream)
        async with stream:
            try:
                remote = plain(stream.socket.getpeername())
                request = await accept(stream, self.me, remote)
                assert isinstance(request, AdmissionRequest)
                await self.admission.serve(request)
            except MeshError as error:
                self.refused.append(error)
                self.refusal.set()

    def restart(self) -> None:
        """As after a crash: only what is on disk is left."""
        self.admission.close()
        self.admission = self._open()

    def _open(self) -> Admission:
        return Admission(
            self.me, state=self.state, own=lambda: [ELSEWHERE], mesh_keys=lambda: self.mesh_keys
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def door(world: World, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Door]:
    door = Door(world.first, tmp_path)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    door.address = Address("127.0.0.1", listener.socket.getsockname()[1])
    nursery.start_soon(partial(trio.serve_listeners, door.serve, [listener]))
    with trio.fail_after(PATIENCE_S):
        yield door
    nursery.cancel_scope.cancel()
    door.admission.close()


def check(admitted: Admitted, world: World, seed: int, name: str, door: Door) -> None:
    member = Verifier(world.mesh).member(admitted.chain, world.clock.wall())
    assert admitted.mesh == world.mesh
    assert (member.public, member.name) == (identity(seed).public, name)
    assert admitted.peers == [door.address, ELSEWHERE]


async def test_a_token_admits_its_bearer_at_once(world: World, door: Door) -> None:
    token = door.admission.make_token(door.address.host, door.address.port)
    admitted = await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    check(admitted, world, 20, "pi-1", door)
    again = await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    assert again == admitted
    with pytest.raises(UsageError, match="used up"):
        await join_with_token(token, identity(21), "pi-2", clock=world.clock)


async def test_a_token_from_before_a_rotation_brings_the_keys_of_now(
    world: World, door: Door
) -> None:
    token = door.admission.make_token(door.address.host, door.address.port)
    door.mesh_keys = [(1, b"n" * 32), (0, world.mesh.key)]
    admitted = await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    assert admitted.mesh_keys == door.mesh_keys


async def test_a_token_leads_to_whichever_interface_can_be_dialled(
    world: World, door: Door, nursery: trio.Nursery
) -> None:
    """The first address may lead nowhere, or to somebody else who has the same private one."""

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    elsewhere = await nursery.start(
        partial(trio.serve_tcp, hang_up, door.address.port, host="127.0.0.2")
    )
    assert elsewhere
    token = door.admission.make_token("127.0.0.3", ELSEWHERE.port)
    assert token.others == (ELSEWHERE.host,)
    token = replace(token, port=door.address.port, others=("127.0.0.2", "127.0.0.1"))
    admitted = await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    check(admitted, world, 20, "pi-1", door)


async def test_a_token_outlives_a_crash_and_so_do_its_uses(world: World, door: Door) -> None:
    token = door.admission.make_token(door.address.host, door.address.port, uses=2)
    first = await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    door.restart()
    assert await join_with_token(token, identity(20), "pi-1", clock=world.clock) == first
    await join_with_token(token, identity(21), "pi-2", clock=world.clock)
    with pytest.raises(UsageError, match="used up"):
        await join_with_token(token, identity(22), "pi-3", clock=world.clock)


async def test_an_expired_token(world: World, door: Door) -> None:
    token = door.admission.make_token(*as_pair(door.address), lifetime_s=10)
    world.clock.now = type(world.clock.now)(world.clock.now + 11)
    with pytest.raises(UsageError, match="expired"):
        await join_with_token(token, identity(20), "pi-1", clock=world.clock)


async def test_a_wrong_secret(world: World, door: Door) -> None:
    token = replace(door.admission.make_token(*as_pair(door.address)), secret=bytes(16))
    with pytest.raises(UsageError, match="does not know"):
        await join_with_token(token, identity(20), "pi-1", clock=world.clock)
    await door.refusal.wait()
    assert isinstance(door.refused[0], PeerError)


async def test_a_token_of_another_mesh(world: World, door: Door) -> None:
    token = replace(
        door.admission.make_token(*as_pair(door.address)), mesh_id=World(9).mesh.mesh_id
    )
    with pytest.raises(PeerError):
        await join_with_token(token, identity(20), "pi-1", clock=world.clock)


async def test_a_token_at_a_dead_address(world: World, door: Door) -> None:
    token = replace(door.admission.make_token(*as_pair(door.address)), port=1)
    with pytest.raises(LinkError, match="nobody answers"):
        await join_with_token(token, identity(20), "pi-1", clock=world.clock)


def as_pair(address: Address) -> tuple[str, int]:
    return address.host, address.port


class Knocking:
    """A stranger that knocks in the background."""

    def __init__(self, world: World, door: Door, seed: int, name: str) -> None:
        self._world, self._door, self._seed, self._name = world, door, seed, name
        self.codes: list[str] = []
        self.code_shown = trio.Event()
        self.admitted: Admitted | None = None

    @property
    def is_in(self) -> bool:
        return self.admitted is not None

    async def run(self) -> None:
        self.admitted = await knock(
            self._door.address,
            identity(self._seed),
            self._name,
            self._show,
            clock=self._world.clock,
        )

    def _show(self, code: str) -> None:
        self.codes.append(code)
        self.code_shown.set()
        self.code_shown = trio.Event()

    async def next_code(self) -> str:
        await self.code_shown.wait()
        return self.codes[-1]


async def pending_code(door: Door, code: str) -> None:
    """Until the member has seen the stranger's last message."""
    while code not in [knock.code for knock in door.admission.pending()]:
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_a_knock_waits_for_approval(world: World, door: Door) -> None:
    stranger = Knocking(world, door, 20, "pi-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger.run)
        code = await stranger.next_code()
        await pending_code(door, code)
        (shown,) = door.admission.pending()
        assert (shown.code, shown.name, shown.address.host) == (code, "pi-1", "127.0.0.1")
        with pytest.raises(UsageError, match="nobody knocks"):
            door.admission.approve("0000-0000")
        assert not stranger.is_in
        assert door.admission.approve(code).node_id == identity(20).node_id
    assert stranger.admitted is not None
    check(stranger.admitted, world, 20, "pi-1", door)
    assert door.admission.pending() == []


async def test_a_knock_from_before_a_rotation_brings_the_keys_of_now(
    world: World, door: Door
) -> None:
    stranger = Knocking(world, door, 20, "pi-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger.run)
        code = await stranger.next_code()
        await pending_code(door, code)
        door.mesh_keys = [(1, b"n" * 32)]
        door.admission.approve(code)
    assert stranger.admitted is not None
    assert stranger.admitted.mesh_keys == door.mesh_keys


async def test_two_strangers_get_what_is_theirs(world: World, door: Door) -> None:
    one, two = Knocking(world, door, 20, "pi-1"), Knocking(world, door, 21, "pi-2")
    async with trio.open_nursery() as nursery:
        for stranger in (one, two):
            nursery.start_soon(stranger.run)
            await pending_code(door, await stranger.next_code())
        door.admission.approve(two.codes[0])
        while not two.is_in:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert not one.is_in
        door.admission.approve(one.codes[0])
    assert one.admitted is not None
    assert two.admitted is not None
    check(one.admitted, world, 20, "pi-1", door)
    check(two.admitted, world, 21, "pi-2", door)


async def test_a_broken_connection_keeps_the_code(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radics_mesh.admission.join.RETRY_FIRST_S", 0.01)
    stranger = Knocking(world, door, 20, "pi-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger.run)
        code = await stranger.next_code()
        await pending_code(door, code)
        await trio.aclose_forcefully(door.streams[0])
        # Approved while it is away: the answer waits.
        door.admission.approve(code)
    assert stranger.codes == [code]
    assert stranger.admitted is not None


async def test_a_member_that_has_forgotten_gets_a_new_code(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radics_mesh.admission.join.RETRY_FIRST_S", 0.01)
    stranger = Knocking(world, door, 20, "pi-1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger.run)
        old = await stranger.next_code()
        await pending_code(door, old)
        door.restart()
        new = stranger.code_shown
        await trio.aclose_forcefully(door.streams[0])
        await new.wait()
        assert stranger.codes[-1] != old
        with pytest.raises(UsageError):
            door.admission.approve(old)
        await pending_code(door, stranger.codes[-1])
        door.admission.approve(stranger.codes[-1])
    assert stranger.admitted is not None


async def test_nobody_is_there_to_knock_at(world: World, door: Door) -> None:
    door.address = Address("127.0.0.1", 1)
    with pytest.raises(LinkError):
        await Knocking(world, door, 20, "pi-1").run()


async def test_who_may_not_invite_does_not(world: World, tmp_path: Path) -> None:
    barren = world.first
    chain = world.chain
    for seed in range(30, 35):
        key = identity(seed)
        chain = invite(barren.identity, chain, key.public, "n", NEXT_YEAR)
        barren = Me(key, Verifier(world.mesh), chain.pack(), world.clock)
        if not chain.member.may_invite:
            break
    admission = Admission(barren, state=tmp_path, own=lambda: [])
    with pytest.raises(UsageError, match="invite"):
        admission.make_token("host", 1)
    admission.close()


@pytest.mark.parametrize(
    "sent",
    [bytes(124), b"\x07" + bytes(123), b"\x01" + b"x" * 123, b"\x02" + bytes(32) + b"y" * 91],
)
async def test_garbage_gets_no_answer(door: Door, sent: bytes) -> None:
    stream = await trio.open_tcp_stream(door.address.host, door.address.port)
    async with stream:
        await stream.send_all(ADMISSION_MAGIC + sent)
        assert await stream.receive_some() == b""
    await door.refusal.wait()


async def test_before_its_proof_a_stranger_gets_less_than_it_brought(door: Door) -> None:
    stream = await trio.open_tcp_stream(door.address.host, door.address.port)
    brought = ADMISSION_MAGIC + (b"\x02" + bytes(32)).ljust(124, b"\0")
    async with stream:
        await stream.send_all(brought)
        await stream.send_eof()
        got = b"".join([part async for part in stream])
    assert 0 < len(got) < len(brought)
    assert door.me.chain not in got
    assert door.me.mesh.key not in got


async def test_a_token_asked_for_badly(door: Door) -> None:
    with pytest.raises(UsageError):
        door.admission.make_token("host", 1, uses=0)
