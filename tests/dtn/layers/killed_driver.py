"""A process with the node "b" that takes bundles over sealed sessions: `DIR GENESIS KEY CHAIN`, all
but the first in hexadecimal.

Standard output, after "> " and between what is logged: its port, `delivered SHA-256` for each that
its endpoint gets, and `clean` once nothing of any bundle is left: not in the store, not on its
disk, and no whole waits for pieces.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import trio

from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.layers import parts
from radics_mesh.me import Me
from radics_mesh.membership import Mesh, Verifier
from tests.dtn.layers.test_contacts import station
from tests.dtn.layers.test_parts import RealClock
from tests.dtn.world import identity, until


def say(line: object) -> None:
    print(f"> {line}", flush=True)


async def main(directory: Path, genesis: bytes, key: bytes, chain: bytes) -> None:
    me = Me(identity("b"), Verifier(Mesh(genesis, key)), chain, RealClock())
    delivered = trio.Event()

    async def deliver(delivery: Delivery) -> None:
        say(f"delivered {hashlib.sha256(delivery.payload).hexdigest()}")
        delivered.set()

    async with station(me, directory) as at:
        agent = at.node.agent
        agent.register(me.node_id.service("inbox"), deliver)
        say(at.address.port)
        await delivered.wait()
        await until(lambda: not len(at.node.store) and not len(agent._assembler._reassembly))
        await at.node.store.flushed()
        say("clean")
        await trio.sleep_forever()


if __name__ == "__main__":
    parts.KEEP_EVERY_S = 0.05
    genesis, key, chain = map(bytes.fromhex, sys.argv[2:])
    trio.run(main, Path(sys.argv[1]), genesis, key, chain)
