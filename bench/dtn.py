"""Acknowledged ingest of signed bundles: how many a second are verified, stored and on the medium.

  .venv/bin/python bench/dtn.py [--json] [--seconds S]

One sender keeps IN_FLIGHT bundles under way; each counts when the receiving agent returned, which
it does only after the bundle would survive power loss. The store is on the disk of the current
directory. The aims are IBR-DTN's figures (file storage, TCPCLv3, 2 cores of this class).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.bundle import Bundle
from radics_mesh.dtn.processing import depart, originate
from radics_mesh.dtn.routing import StaticRoutes
from radics_mesh.dtn.store import BundleStore
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Verifier, found, invite

SIZES = {"100 B": (100, 2201), "1 KB": (1024, 1702), "64 KB": (65536, 1106)}
IN_FLIGHT = 16
PEER = "IBR-DTN (file storage)"


def two_members() -> tuple[Me, Me]:
    clock = SystemClock()
    first, second = Identity.generate(), Identity.generate()
    _, mesh, chain = found(first, "first", clock.wall())
    expiry = Wall(clock.wall() + 86_400)
    joined = invite(first, chain, second.public, "second", expiry)
    return (
        Me(first, Verifier(mesh), chain.pack(), clock),
        Me(second, Verifier(mesh), joined.pack(), clock),
    )


def nowhere(eid: Eid) -> NodeId | None:
    return None


def make_bundles(sender: Me, to: Eid, payload_bytes: int, count: int) -> list[bytes]:
    payload = bytes(payload_bytes)
    made = []
    for sequence in range(count):
        bundle: Bundle = originate(
            sender,
            to,
            payload,
            source=sender.identity.eid,
            stamp=(1, sequence),
            lifetime_s=3600,
            ownership=b"",
            priority=1,
        )
        made.append(depart(bundle, sender.identity.eid, 0).encode())
    return made


async def ingest(payload_bytes: int, count: int) -> float:
    """Bundles a second."""
    sender, receiver = two_members()
    raws = make_bundles(sender, receiver.node_id.service("inbox"), payload_bytes, count)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = BundleStore.open(Path(directory), quota_bytes=1 << 34, clock=receiver.clock)
        agent = Agent(
            me=receiver, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=3600
        )
        waiting = iter(raws)

        async def keep_one_in_flight() -> None:
            for raw in waiting:
                await agent.receive(raw, sender.node_id)

        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(IN_FLIGHT):
                nursery.start_soon(keep_one_in_flight)
        taken_s = time.perf_counter() - started
        assert len(store) == count
        store.close()
    return count / taken_s


def measure(scale: float) -> list[dict[str, Any]]:
    rows = []
    for name, (payload_bytes, aim) in SIZES.items():
        count = max(50, int(aim * scale))
        rate = trio.run(ingest, payload_bytes, count)
        rows.append(
            {
                "name": f"acknowledged ingest, {name}",
                "value": round(rate),
                "unit": "bundles/s",
                "aim": aim,
                "met": rate >= aim,
                "peer": PEER,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a size takes")
    options = parser.parse_args()
    rows = measure(options.seconds)
    if options.json:
        json.dump({"rows": rows}, sys.stdout, indent=1)
        print()
        return
    for row in rows:
        verdict = "met" if row["met"] else "missed"
        print(f"{row['name']:30} {row['value']:7} {row['unit']}  aim {row['aim']} {verdict}")


if __name__ == "__main__":
    main()
