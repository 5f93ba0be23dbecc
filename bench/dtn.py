"""Signed bundles a second over loopback: acknowledged ingest, and from node to node's application.

  .venv/bin/python -m bench.dtn [--json] [--seconds S] [--rates]

Ingest: a second process sends over TCPCLv3 and keeps IN_FLIGHT bundles under way; a bundle counts
when its acknowledgement is back, which is sent only after the bundle would survive power loss.
`plain` is TCPCLv3 alone, as the aims (IBR-DTN: file storage, 2 cores of this class) were measured;
`sealed` is what members speak.

Delivery: the second process is a whole node, whose application sends (signed, stored); a bundle
counts when the handler at the other node has returned. Sealed.

On the wire: what the second bundle between two nodes takes in one TCPCL segment, unsealed (a record
of the sealed stream, which several bundles share, takes 21 bytes more).

All rates once more with each sync 10 ms longer in both processes, as on an SD card. `node_us` in
the JSON is what a bundle takes of the receiving node's processor: rates share the machine with the
sender. Then the codec alone (`dtn_codec`), 100 MB (`dtn_large`) and 100,000 bundles (`dtn_full`).

Stores are on the disk of the current directory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from bench import dtn_codec, dtn_full, dtn_large
from bench.dtn_nodes import (
    Counter,
    Nobody,
    begin,
    make_bundles,
    node,
    processor_s,
    serve_one,
    session,
    task_of,
    two_members,
)
from bench.rows import Row
from radics_mesh.dtn.layers.tcpcl_wire import segment_head
from radics_mesh.ids import Eid
from radics_mesh.me import Me
from radics_mesh.sealed import ByteStream

# Payload, aims of ingest and of delivery.
SIZES = {"100 B": (100, 2201, 709), "1 KB": (1024, 1702, 592), "64 KB": (65536, 1106, 356)}
WIRE_AIM_BYTES = 320
IN_FLIGHT = 32
SLOW_SYNC_US = 10_000
PEER = "IBR-DTN (file storage)"


# --- the sending process ---


async def send(task: dict[str, Any]) -> None:
    me, stream = await begin(task)
    await (send_as_node if task["node"] else send_raw)(task, me, stream)


async def send_raw(task: dict[str, Any], me: Me, stream: ByteStream) -> None:
    """Prints how many seconds passed from the first byte to the last acknowledgement."""
    raws = iter(make_bundles(me, Eid(task["to"]), task["payload_bytes"], task["count"]))
    running = session(stream, me, Nobody())

    async def keep_one_in_flight() -> None:
        for raw in raws:
            await running.transmit(raw)

    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        started = time.perf_counter()
        async with trio.open_nursery() as senders:
            for _ in range(IN_FLIGHT):
                senders.start_soon(keep_one_in_flight)
        print(time.perf_counter() - started)
        running.stop()


async def send_as_node(task: dict[str, Any], me: Me, stream: ByteStream) -> None:
    """Prints the moment of the first `send` (monotonic seconds, the same clock everywhere)."""
    numbers = iter(range(task["count"]))

    async def application() -> None:
        for _ in numbers:
            await agent.send(Eid(task["to"]), bytes(task["payload_bytes"]))

    acknowledged = Counter(task["count"])

    async def transmit(raw: bytes) -> None:
        await running.transmit(raw)
        acknowledged.count()

    with node(me) as (agent, _):
        running = session(stream, me, agent)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            peer = await nursery.start(running.run)
            agent.contact_up(peer, transmit)
            print(time.monotonic(), flush=True)
            async with trio.open_nursery() as senders:
                for _ in range(IN_FLIGHT):
                    senders.start_soon(application)
            await acknowledged.all.wait()
            running.stop()
            nursery.cancel_scope.cancel()


# --- the receiving process ---


async def measure_one(payload_bytes: int, count: int, sealed: bool, as_node: bool) -> float:
    """Bundles a second."""
    sender, me = two_members()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task = task_of(
        sender,
        me,
        listener,
        payload_bytes=payload_bytes,
        count=count,
        sealed=sealed,
        node=as_node,
    )
    command = [sys.executable, "-m", "bench.dtn", "--send"]
    stdin = json.dumps(task).encode()
    counter = Counter(count)
    with node(me) as (agent, store):
        if as_node:
            agent.register(me.node_id.service("inbox"), counter.take)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            nursery.start_soon(serve_one, listener, me, agent, sealed)
            done = await trio.run_process(command, stdin=stdin, capture_stdout=True)
            if as_node:
                await counter.all.wait()
            nursery.cancel_scope.cancel()
        assert len(store) == (0 if as_node else count)
    printed = float(done.stdout)
    return count / (counter.finished - printed if as_node else printed)


async def wire_bytes(payload_bytes: int) -> int:
    """Of a signed bundle after first contact, with its segment's head."""
    sender, me = two_members()
    inbox = me.node_id.service("inbox")
    sent: list[bytes] = []
    counter = Counter(2)
    with node(sender) as (from_agent, _), node(me) as (to_agent, _):

        async def transmit(raw: bytes) -> None:
            sent.append(raw)
            await to_agent.receive(raw, sender.node_id)

        to_agent.register(inbox, counter.take)
        async with trio.open_nursery() as nursery:
            await nursery.start(from_agent.run)
            await nursery.start(to_agent.run)
            to_agent.contact_up(sender.node_id, transmit, shown=sender.chain)
            from_agent.contact_up(me.node_id, transmit, shown=me.chain)
            for _ in range(2):
                await from_agent.send(inbox, bytes(payload_bytes))
            await counter.all.wait()
            nursery.cancel_scope.cancel()
    return len(segment_head(True, True, len(sent[-1])) + sent[-1])


def measure_rates(seconds: float) -> list[Row]:
    rows = []
    for kind, sealed, as_node in (
        ("acknowledged ingest, plain", False, False),
        ("acknowledged ingest, sealed", True, False),
        ("node to application, sealed", True, True),
    ):
        for name, (payload_bytes, *aims) in SIZES.items():
            aim = aims[as_node]
            count = max(50, int(aim * seconds))
            before_s = processor_s()
            rate = trio.run(measure_one, payload_bytes, count, sealed, as_node)
            rows.append(
                {
                    "name": f"{kind}, {name}",
                    "value": round(rate),
                    "unit": "bundles/s",
                    "aim": aim,
                    "met": rate >= aim,
                    "peer": PEER,
                    "node_us": round((processor_s() - before_s) / count * 1e6),
                }
            )
    return rows


def measure_wire() -> Row:
    size_bytes = trio.run(wire_bytes, 100)
    return {
        "name": "on the wire after first contact, 100 B",
        "value": size_bytes,
        "unit": "B",
        "aim": WIRE_AIM_BYTES,
        "met": size_bytes < WIRE_AIM_BYTES,
        "peer": "",
    }


def measure_slow(seconds: float) -> list[Row]:
    """The rates once more, in a process each of whose syncs takes 10 ms longer."""
    with tempfile.TemporaryDirectory() as directory:
        shim = Path(directory) / "slow_sync.so"
        source = Path(__file__).parent / "slow_sync.c"
        gcc = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", shim, source, "-ldl"]
        subprocess.run(gcc, check=True)
        done = subprocess.run(
            [sys.executable, "-m", "bench.dtn", "--rates", "--json", "--seconds", str(seconds)],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "LD_PRELOAD": str(shim), "SLOW_SYNC_US": str(SLOW_SYNC_US)},
        )
    rows: list[Row] = json.loads(done.stdout)["rows"]
    return [{**row, "name": f"{row['name']}, sync +10 ms"} for row in rows]


def measure(seconds: float) -> list[Row]:
    return [
        *measure_rates(seconds),
        *measure_slow(seconds),
        measure_wire(),
        *dtn_codec.rows(),
        *dtn_large.rows(),
        *dtn_full.rows(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a row takes")
    parser.add_argument("--rates", action="store_true", help="bundles a second only")
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        trio.run(send, json.load(sys.stdin))
        return
    rows = (measure_rates if options.rates else measure)(options.seconds)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
        return
    for row in rows:
        verdict = "met" if row["met"] else "missed"
        print(f"{row['name']:54} {row['value']:8} {row['unit']:9}  aim {row['aim']}, {verdict}")


if __name__ == "__main__":
    main()
