"""What a node says of its neighbours and a bundle, with real agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from radics_mesh.dtn.wire.content import Content
from radics_mesh.errors import CapacityError, PeerError
from radics_mesh.node.verdicts import FLYING, FULL, NEXT, NOWHERE, REFUSED, verdict
from tests.dtn.world import Members, TrioClock, running, until


async def never(raw: Content) -> None:
    await trio.sleep_forever()


async def full(raw: Content) -> None:
    raise CapacityError("full")


async def unwilling(raw: Content) -> None:
    raise PeerError("not that one")


@pytest.mark.parametrize(
    ("transmit", "expected"),
    [
        (never, FLYING),
        (full, f"{FULL}; asked again in "),
        (unwilling, REFUSED),
    ],
)
async def test_a_neighbour_and_a_bundle(
    tmp_path: Path, transmit: Callable[[Content], Awaitable[None]], expected: str
) -> None:
    members = Members(TrioClock())
    me, there, other = (members.me(name) for name in "abc")
    async with running(me, tmp_path) as node:
        await node.agent.send(there.node_id.service("x"), b"payload")
        [held] = list(node.store)

        def said(of: int) -> str:
            contacts = {contact.peer: contact for contact in node.agent.contacts()}
            contact = contacts[(there, other)[of].node_id]
            return verdict(node.agent, contact, held, members.clock.monotonic())

        node.agent.contact_up(other.node_id, never)
        assert said(1) == NOWHERE
        node.agent.contact_up(there.node_id, transmit)
        assert said(0) == NEXT
        await until(lambda: said(0).startswith(expected))
