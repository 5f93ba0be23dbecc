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
from tests.faults.line import End, Line
from tests.faults.loopback import PORT, Block
from tests.faults.node import Node
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
        self, directory: Path, messages: int, rate: float, **options: object
    ) -> None:
        """The source at O, the VM at S, its reports to O; on return it executes."""
        text = directory / "text"
        text.write_text("".join(f"line-{number}\n" for number in range(1, messages + 1)))
        await self["O"].client.call("publish", name=SOURCE, file=str(text), rate=rate)
        self.vm_eid = await self._run("S", [SOURCE], **options)

    async def start_replica(self, node: Node) -> str:
        """That reports to O what is mailed to it; its endpoint."""
        return await self._run(node.name, [], policy="replicated")

    async def _run(self, node: str, sources: list[str], **options: object) -> str:
        own = (await self["O"].client.call("status"))["node"]["id"]
        answer = await self[node].client.call(
            "run",
            image=str(self.image),
            name=VM,
            sources=sources,
            arguments=[f"dtn://{own}/report", *sources],
            memory_bytes=MEMORY_BYTES,
            **options,
        )
        return VmId.parse(answer["vm"]["id"]).eid

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

    async def mail(self, text: str | None = None, to: str = "") -> None:
        """To the VM, wherever it is, or to somebody else; numbered when no text is given."""
        if text is None:
            self.mails += 1
            text = f"mail-{self.mails}"
        await self["O"].client.call("send", destination=to or self.vm_eid, payload=text.encode())

    def has_answer(self, text: str, host: str = "") -> bool:
        """Whether a VM (on that host) has reported this mail."""
        parts = [report.split(" ") for report in self.reports]
        return any(part[2] == text and host in ("", part[3]) for part in parts)

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
    block = Block()
    nodes = {
        name: Node(name, place / name, block.host(number), PORT, zygote, settings=settings)
        for number, name in enumerate(NAMES, 1)
    }
    lines = _wire(nodes, block)
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
            block.release()
            nursery.cancel_scope.cancel()


def _wire(nodes: dict[str, Node], block: Block) -> dict[str, Line]:
    relay = nodes["R"]
    lines = {}
    for number, name in enumerate(("S", "T")):
        node = nodes[name]
        one = End(node.host, node.port, block.host(5 + 2 * number))
        other = End(relay.host, relay.port, block.host(6 + 2 * number))
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
