from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.dtn.layers.memory_layer import End, MemoryWire, Quality
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.errors import CapacityError, LinkError, MeshError, UsageError
from radics_mesh.ids import NodeId

ONE, OTHER = NodeId(bytes(20)), NodeId(bytes([1]) * 20)
Transmit = Callable[[bytes], Awaitable[None]]


class Receiver:
    """The agent's side of the interface; what it was given, and when."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Peer, float]] = []
        self.contacts: list[Transmit] = []
        self.refusal: MeshError | None = None

    async def receive(self, raw: bytes, peer: Peer) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((raw, peer, trio.current_time()))

    def contact_up(self, peer: Peer, transmit: Transmit, /) -> Receiver:
        self.contacts.append(transmit)
        return self

    def close(self) -> None:
        del self.contacts[0]


def wired(quality: Quality, random: Random | None = None) -> tuple[MemoryWire, Receiver, Receiver]:
    one, other = Receiver(), Receiver()
    return MemoryWire(End(ONE, one), End(OTHER, other), quality, random), one, other


async def test_delay_and_rate_are_what_they_say(autojump_clock: MockClock) -> None:
    wire, one, other = wired(Quality(delay_s=2.0, bytes_per_s=10.0))
    wire.up()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(one.contacts[0], bytes(30))
    assert [when for _, _, when in other.taken] == [5.0, 8.0]  # one after the other
    assert trio.current_time() == 10.0  # and the answer's way back
    assert other.taken[0][:2] == (bytes(30), ONE)
    assert one.taken == []


async def test_a_schedule_opens_and_closes_contacts(autojump_clock: MockClock) -> None:
    wire, one, other = wired(Quality())
    seen = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.run, [(1.0, 2.0), (5.0, 7.0)])
        for _ in range(8):
            await trio.sleep(0.5)
            seen.append((len(one.contacts), len(other.contacts)))
            await trio.sleep(0.5)
    assert seen == [(up, up) for up in (0, 1, 0, 0, 0, 1, 1, 0)]


async def test_what_was_not_answered_breaks_off(autojump_clock: MockClock) -> None:
    wire, one, other = wired(Quality(delay_s=1.0))
    wire.up()
    outcomes = []

    async def send(transmit: Transmit, after_s: float) -> None:
        await trio.sleep(after_s)
        try:
            await transmit(b"x")
            outcomes.append("taken")
        except LinkError:
            outcomes.append("broken")

    async with trio.open_nursery() as nursery:
        for after_s in (0.0, 1.0, 1.9):
            nursery.start_soon(send, one.contacts[0], after_s)
        late = one.contacts[0]
        await trio.sleep(2.5)
        wire.down()
    assert outcomes == ["taken", "broken", "broken"]
    assert len(other.taken) == 2  # the second arrived, only its answer did not
    with pytest.raises(LinkError):
        await late(b"x")
    assert one.contacts == other.contacts == []


async def test_losses_cost_time_and_no_bundle(autojump_clock: MockClock) -> None:
    wire, one, other = wired(Quality(delay_s=1.0, loss=0.5), Random(3))
    wire.up()
    for number in range(20):
        await one.contacts[0](bytes([number]))
    assert [raw for raw, _, _ in other.taken] == [bytes([n]) for n in range(20)]
    assert trio.current_time() > 40.0  # what it takes without losses
    with pytest.raises(UsageError):
        wired(Quality(loss=0.5))
    with pytest.raises(UsageError):
        Quality(loss=1.0)


async def test_a_refusal_comes_back(autojump_clock: MockClock) -> None:
    wire, one, other = wired(Quality(delay_s=1.0))
    wire.up()
    other.refusal = CapacityError("full")
    with pytest.raises(CapacityError):
        await one.contacts[0](b"x")
    assert trio.current_time() == 2.0
