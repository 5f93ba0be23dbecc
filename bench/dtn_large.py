"""A bundle of 100 MB from node to node to an application: speed of the hop, growth of memory.

The sending node's application gives it as a file, and it is stored there before the clock starts;
the hop ends when the receiving node, which verifies and stores it, has acknowledged it. `unsigned`
comes from a peer that is no member, over plain TCPCLv3. `node_s` in the JSON is the receiving
node's time of the processor. Memory is the growth of the resident set
while it passes (its highest value), of either process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from bench.dtn_nodes import (
    Counter,
    begin,
    by_name,
    node,
    processor_s,
    serve_one,
    session,
    task_of,
    two_members,
)
from bench.rows import Row
from radics_mesh.config import Foreign
from radics_mesh.dtn.layers.tcpcl_session import Identify
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.ids import Eid

SIZE_BYTES = 100_000_000
AIM_GROWTH_MB, AIM_MB_S = 32, 100
# What SHA-512 does on this class of machine, in DTN.md's figures.
HASH_MB_S = 680
_FOREIGN = Foreign(Eid("dtn://other/"), address=None, host="127.0.0.1", services=("inbox",))
_PIECE_BYTES = 1 << 20


def rows(size_bytes: int = SIZE_BYTES) -> list[Row]:
    found = []
    for kind, signed, sealed in (
        ("unsigned hop", False, False),
        ("signed hop", True, False),
        ("signed hop, sealed", True, True),
    ):
        before_s = processor_s()
        seconds, growths = trio.run(_measure, size_bytes, signed, sealed)
        node_s = processor_s() - before_s
        rate = size_bytes / seconds / 1e6
        aim = HASH_MB_S if signed else AIM_MB_S
        found += [
            _row(f"{size_bytes // 10**6} MB, {kind}", rate, "MB/s", aim, rate > aim)
            | {"node_s": round(node_s, 2)},
            *(
                _row(f"  {who}'s memory", growth, "MB", AIM_GROWTH_MB, growth < AIM_GROWTH_MB)
                for who, growth in growths.items()
            ),
        ]
    return found


def _row(name: str, value: float, unit: str, aim: float, met: bool) -> Row:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "aim": aim,
        "met": met,
        "peer": "",
    }


def _resident_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e6


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _identify(signed: bool) -> Identify:
    return by_name if signed else lambda eid: _FOREIGN


async def _measure(size_bytes: int, signed: bool, sealed: bool) -> tuple[float, dict[str, float]]:
    sender, me = two_members()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task = task_of(sender, me, listener, sealed=sealed, signed=signed, size=size_bytes)
    counter = Counter(1)
    with node(me) as (agent, _):
        agent.register(me.node_id.service("inbox"), counter.take)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            nursery.start_soon(serve_one, listener, me, agent, sealed, _identify(signed))
            _forget_peak()
            before = _resident_mb("VmRSS")
            command = [sys.executable, "-m", "bench.dtn_large"]
            stdin = json.dumps(task).encode()
            done = await trio.run_process(command, stdin=stdin, capture_stdout=True)
            await counter.all.wait()
            growth = _resident_mb("VmHWM") - before
            nursery.cancel_scope.cancel()
    seconds, theirs = json.loads(done.stdout)
    return seconds, {"sender": theirs, "receiver": growth}


# --- the sending process ---


async def _send(task: dict[str, Any]) -> None:
    """Prints seconds and megabytes of growth."""
    me, stream = await begin(task)
    with tempfile.TemporaryDirectory(dir=".") as directory, node(me) as (agent, store):
        path = Path(directory) / "payload"
        with path.open("wb") as file:
            for start in range(0, task["size"], _PIECE_BYTES):
                file.write(bytes(min(_PIECE_BYTES, task["size"] - start)))
        payload = FileBytes.of(path)
        running = session(stream, me, agent, large=agent)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            peer = await nursery.start(running.run)
            _forget_peak()
            before = _resident_mb("VmRSS")
            if task["signed"]:
                await agent.send(Eid(task["to"]), payload)
                began = time.perf_counter()
                agent.contact_up(peer, running.transmit, stream=running.transmit)
                while len(store):  # noqa: ASYNC110 - the store tells nobody
                    await trio.sleep(0.001)
            else:
                began = time.perf_counter()
                await running.transmit(_unsigned(Eid(task["to"]), payload))
            seconds = time.perf_counter() - began
            print(json.dumps([seconds, _resident_mb("VmHWM") - before]), flush=True)
            running.stop()
            nursery.cancel_scope.cancel()


def _unsigned(to: Eid, payload: FileBytes) -> Content:
    return Bundle(
        destination=to,
        source=_FOREIGN.eid,
        created=1,
        sequence=1,
        lifetime_s=3600,
        blocks=(blocks.age(0), blocks.payload(payload)),
    ).encoded()


if __name__ == "__main__":
    trio.run(_send, json.load(sys.stdin))
