from __future__ import annotations

from contextlib import AsyncExitStack

import trio
from trio.testing import wait_all_tasks_blocked

from radics_mesh.config import Address
from radics_mesh.dtn.layers.doors import Unproved, listen
from tests.patience import PATIENCE_S


async def test_silent_callers_lose_their_places_to_later_ones() -> None:
    """The oldest of the host with the most goes; others' callers stay."""
    unproved = Unproved(4)
    ended: list[str] = []

    async def call(host: str, name: str) -> None:
        with unproved.caller(host) as scope:
            await trio.Event().wait()
        assert scope.cancelled_caught
        ended.append(name)

    async with trio.open_nursery() as nursery:
        for host, name in (("m", "m0"), ("a", "a0"), ("b", "b0"), ("a", "a1")):
            nursery.start_soon(call, host, name)
            await wait_all_tasks_blocked()
        for expected in ("a0", "a1", "a2"):
            nursery.start_soon(call, "a", f"a{len(ended) + 2}")
            await wait_all_tasks_blocked()
            assert ended[-1] == expected
        assert len(ended) == 3
        nursery.cancel_scope.cancel()


async def test_a_caller_that_is_through_gives_its_place_back() -> None:
    unproved = Unproved(1)
    with unproved.caller("a") as first:
        pass
    with unproved.caller("a") as second:
        pass
    assert not first.cancel_called
    assert not second.cancel_called


async def test_every_address_is_of_both_families() -> None:
    """As the UDP socket at the same port is."""
    async with AsyncExitStack() as stack:
        door = await listen(stack, Address("::", 0))
        with trio.fail_after(PATIENCE_S):
            for host in ("127.0.0.1", "::1"):
                stream = await trio.open_tcp_stream(host, door.address.port)
                await stream.aclose()
