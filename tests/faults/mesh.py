"""Four nodes in a row, as processes:  S ─ R ─ T, and O at R.

S has the VM and gives it away, T gets it, all that they say to each other R carries. O publishes
the source and gets the VM's reports; nothing ever happens to it.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import Wall
from radics_mesh.identity import Identity
from radics_mesh.ids import VmId
from radics_mesh.membership import YEAR_S, found, invite
from radics_mesh.node.state import Membership, StateDirectory
from radics_mesh.vmm.image_store import ImageStore
from scenarios.peers import free_port
from tests.faults.line import End, Line
from tests.faults.node import HOST, Node
from tests.faults.watch import Watch
from tests.faults.zygote import Zygote

VM = "ticker"
SOURCE = "ticks"
MEMORY_BYTES = 8 << 20
# What a node says of a VM that is not its.
ELSEWHERE = ("moved", "arriving", "diverged")
NAMES = ("O", "R", "S", "T")


async def until(condition: Callable[[], bool]) -> None:
    """Until it holds: what happens in other processes gives us no event."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.01)


@dataclass
class Mesh:
    """`reports`: what the VM said, in the order in which O got it."""

    nodes: dict[str, Node]
    lines: dict[str, Line]
    watch: Watch
    image: Path
    reports: list[str] = field(default_factory=list)
    mails: int = 0
    vm_eid: str = ""

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def hosts(self) -> tuple[Node, Node]:
        return self["S"], self["T"]

    async def start(self) -> None:
        async with trio.open_nursery() as nursery:
            for node in self.nodes.values():
                nursery.start_soon(node.start)

    async def start_vm(
        self, directory: Path, messages: int, rate: float, *, commit: bool = False
    ) -> None:
        """The source at O, the VM at S, its reports to O; on return it executes."""
        text = directory / "text"
        text.write_text("".join(f"line-{number}\n" for number in range(1, messages + 1)))
        await self["O"].client.call("publish", name=SOURCE, file=str(text), rate=rate)
        own = (await self["O"].client.call("status"))["node"]["id"]
        answer = await self["S"].client.call(
            "run",
            image=str(self.image),
            name=VM,
            sources=[SOURCE],
            arguments=[f"dtn://{own}/report", SOURCE],
            memory_bytes=MEMORY_BYTES,
            commit_output=commit,
            checkpoint_every_s=0.3 if commit else 0.0,
        )
        self.vm_eid = VmId.parse(answer["vm"]["id"]).eid

    async def knows(self, node: str, other: str) -> None:
        """Until one can name the other."""
        while True:
            answer = await self[node].ask("nodes")
            if answer and any(row["name"] == other for row in answer["nodes"]):
                return
            await trio.sleep(0.02)

    async def collect(self) -> None:
        async with aclosing(self["O"].client.stream("recv", service="report")) as items:
            async for item in items:
                self.reports.append(item["payload"].decode())

    async def mail(self, text: str | None = None) -> None:
        """To the VM, wherever it is; numbered when no text is given."""
        if text is None:
            self.mails += 1
            text = f"mail-{self.mails}"
        await self["O"].client.call("send", destination=self.vm_eid, payload=text.encode())

    async def said(self, node: str, words: str) -> bool:
        """Whether a node's journal has a line with these words."""
        events = (await self[node].ask("status") or {}).get("events", [])
        return any(words in event["text"] for event in events)

    async def holders(self) -> list[tuple[str, dict[str, Any]]]:
        """Nodes that say the VM is theirs, with its row."""
        found = []
        for node in self.hosts:
            row = await node.row(VM)
            if row is not None and row["state"] not in ELSEWHERE:
                found.append((node.name, row))
        return found

    def count(self, kind: str) -> Counter[str]:
        """Texts of what the VM reported of its source ("s") or its mail ("m"), how often each."""
        parts = [report.split(" ") for report in self.reports]
        return Counter(part[2] for part in parts if part[0] == kind)


@asynccontextmanager
async def open_mesh(
    place: Path,
    zygote: Zygote,
    image: Path,
    images_at: Sequence[str],
    settings: Mapping[str, object],
) -> AsyncIterator[Mesh]:
    """Members with states on disk, not started yet. `images_at`: who has the image beforehand.
    `settings`: of each node's configuration."""
    nodes = {
        name: Node(name, place / name, free_port(), zygote, settings=settings) for name in NAMES
    }
    lines = _wire(nodes)
    _admit(nodes)
    for name in images_at:
        ImageStore(nodes[name].state / "images").put(image.read_bytes())
    watch = Watch({name: nodes[name].ram for name in ("S", "T")})
    mesh = Mesh(nodes, lines, watch, image)
    async with trio.open_nursery() as nursery:
        for line in lines.values():
            await nursery.start(line.run)
        nursery.start_soon(watch.run)
        try:
            yield mesh
        finally:
            with trio.CancelScope(shield=True):
                for node in nodes.values():
                    await node.end()
            nursery.cancel_scope.cancel()


def _wire(nodes: dict[str, Node]) -> dict[str, Line]:
    relay = nodes["R"]
    lines = {}
    for number, name in enumerate(("S", "T")):
        node = nodes[name]
        one = End(HOST, node.port, f"127.0.1.{2 * number + 1}")
        other = End(HOST, relay.port, f"127.0.1.{2 * number + 2}")
        lines[name] = Line(one, other)
        node.neighbours = [other.address]
        relay.neighbours.append(one.address)
    nodes["O"].neighbours = [relay.address]
    relay.neighbours.append(nodes["O"].address)
    return lines


def _admit(nodes: dict[str, Node]) -> None:
    """Everyone a member of one mesh, as if they had joined."""
    now = Wall(time.time())
    founder = Identity(hashlib.sha256(b"founder").digest())
    genesis, mesh, chain = found(founder, "founder", now)
    for name, node in nodes.items():
        state = StateDirectory(node.state)
        identity = state.identity()
        own = invite(founder, chain, identity.public, name, Wall(now + YEAR_S))
        state.enter(Membership(mesh, own), genesis if name == "O" else None)
