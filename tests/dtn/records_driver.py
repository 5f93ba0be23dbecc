"""A process with a node that takes two bundles in custody, one to pass on and one for an endpoint
here, deletes the one and delivers the other, in the directory that it is given."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import trio

from radics_mesh.dtn.rules.processing import originate
from radics_mesh.dtn.wire.bundle import (
    CUSTODY,
    REPORT_CUSTODY,
    REPORT_DELETION,
    REPORT_DELIVERY,
    Bundle,
    BundleId,
)
from radics_mesh.ids import Eid
from radics_mesh.me import Me
from tests.dtn.world import Members, TrioClock, running, until

PASSING, STAYING = 1, 2
_ASKS = CUSTODY | REPORT_CUSTODY | REPORT_DELIVERY | REPORT_DELETION


def bundle(sender: Me, to: Eid, sequence: int) -> Bundle:
    own = sender.identity.eid
    return originate(
        sender,
        to,
        b"payload",
        source=own,
        stamp=(1, sequence),
        lifetime_s=3600,
        ownership=b"",
        priority=1,
        asks=_ASKS,
        report_to=own,
    )


async def main(directory: Path) -> None:
    members = Members(TrioClock())
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    async with running(b, directory) as node:
        there, here = c.node_id.service("inbox"), b.node_id.service("inbox")
        for number, to in ((PASSING, there), (STAYING, here)):
            raw = replace(bundle(a, to, number), custodian=a.identity.eid).encode()
            await node.agent.receive(raw, a.node_id)
        held = node.store.find(BundleId(a.identity.eid, 1, PASSING))
        assert held is not None
        node.agent.delete(held)
        node.agent.register(here, node.collect)
        await node.received(1)
        await until(lambda: all(h.is_administrative for h in node.store))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
