from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.ids import Digest, Eid
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.node.advertising import SERVICES_MAX, Advertising
from radics_mesh.ownership import born
from radics_mesh.records import Kind
from tests.members import Members, member


@pytest.fixture
async def members(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Members]:
    yield Members(nursery, MemoryNetwork(Random(7), delay_s=(0.01, 0.08)), tmp_path)
    nursery.cancel_scope.cancel()


async def test_services_are_advertised_while_somebody_answers(
    members: Members, autojump_clock: MockClock
) -> None:
    a, b = await members.start(0), await members.start(1, bootstrap=[0])
    vm = born(member(0)[0], "count", Digest(bytes(32)), bytes(16)).vm_id.eid
    desk, inner = a.me.service("desk/inbox"), a.me.service("handoff")
    served = [desk, inner, Eid(f"{vm}words"), Eid(f"{vm}~0001"), vm]
    advertising = Advertising(a, lambda: served)
    advertising.open(desk)
    await advertising.look()
    await trio.sleep(2)

    def told() -> dict[str, object]:
        known = b.known(Kind.SERVICE)
        return {entry.record.subject: entry.record.body["endpoints"] for entry in known}

    assert told() == {"desk/inbox": [str(desk)], "words": [f"{vm}words"]}
    sequences = [entry.record.sequence for entry in b.known(Kind.SERVICE)]
    await advertising.look()  # nothing is new
    assert [entry.record.sequence for entry in b.known(Kind.SERVICE)] == sequences
    advertising.close(desk)
    served.append(Eid(f"{a.me.eid}words"))
    await advertising.look()
    await trio.sleep(2)
    assert told() == {"words": [f"{vm}words"]}
    served.clear()
    await advertising.look()
    await trio.sleep(2)
    assert told() == {}


async def test_how_many_are_advertised_is_bounded(
    members: Members, autojump_clock: MockClock
) -> None:
    a = await members.start(0)
    vm = born(member(0)[0], "count", Digest(bytes(32)), bytes(16)).vm_id.eid
    many = [Eid(f"{vm}s{number}") for number in range(2 * SERVICES_MAX)]
    await Advertising(a, lambda: many).look()
    assert len(a.known(Kind.SERVICE)) == SERVICES_MAX
