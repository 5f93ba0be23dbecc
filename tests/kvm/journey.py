"""One VM that moves between accelerators: started, fed, parked, started warm from its snapshot.

The program (programs/traveller.cpp) checks itself and answers each message with a line that depends
on all before it. Whenever it is parked, some messages are under way.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from radics_mesh.clock import Wall
from radics_mesh.errors import GuestError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.membership import Verifier, found
from radics_mesh.vmm import architecture, qemu
from radics_mesh.vmm.accelerator import KVM
from radics_mesh.vmm.ends import End, Exited
from radics_mesh.vmm.events import WARM, Ready
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.launch import Launch, launch
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signer, Subject
from radics_mesh.vmm.outputs import Log, Output, Send, Subscribe
from radics_mesh.vmm.snapshot import Snapshot
from tests.kvm import findings
from tests.kvm.findings import report
from tests.kvm.programs import SHM

IMAGE = Path("/images/traveller.img")
MEMORY_BYTES = 24 << 20
PARK_DEADLINE_S = 60.0
LEG_DEADLINE_S = 180.0
# Answers to wait for on a leg, and messages sent beyond them, so that some are under way.
ANSWERS, AHEAD = 25, 10


class Traveller:
    """The VM over all its legs, and what came of it."""

    def __init__(self) -> None:
        identity = Identity.generate()
        _, mesh, chain = found(identity, "n", Wall(time.time()))
        self._signer, self._verifier = Signer(identity, chain.pack()), Verifier(mesh)
        self._digest = Digest.of(IMAGE.read_bytes())
        self._snapshot: Snapshot | None = None
        self._legs = 0
        self._acknowledged = 0
        self._sent: list[str] = []
        self._said = ""
        self._subscribed = False
        self._end: End | None = None
        self._ready: Ready | None = None
        self._news = trio.Event()

    async def travel(self, accelerator: str, started_as: str, parked_as: str) -> None:
        """One leg: start, get answers, park; the two findings go under these names."""
        async with self._running(accelerator) as machine:
            await self._go(machine, accelerator, started_as)
            await self._park(machine, parked_as)

    async def arrive(self, accelerator: str, started_as: str) -> None:
        """The last leg, to the program's end; finds also what the program says of itself."""
        async with self._running(accelerator) as machine:
            await self._go(machine, accelerator, started_as, last=True)
            await self._until(lambda: self._end is not None)
        report(findings.CHECKED, self._end == Exited(0, 0, ""), self._said.strip())
        due = _answers(self._legs * ANSWERS)
        report(findings.MESSAGES, self._sent == due, f"{len(self._sent)} of {len(due)} answers")
        if self._end != Exited(0, 0, ""):
            raise GuestError(str(self._end))

    @asynccontextmanager
    async def _running(self, accelerator: str) -> AsyncIterator[Machine]:
        self._legs += 1
        self._ready = None
        host, directory = f"host{self._legs}", Path(f"/tmp/{self._legs}")
        directory.mkdir()
        hello = Hello(
            *("traveller", "dtn://vm.traveller/", host, f"dtn://{host}/", self._legs),
            out_acked=self._acknowledged,
            argv=("traveller",),
        )
        place = Launch(directory, SHM, IMAGE, MEMORY_BYTES, accelerator, hello, self._snapshot)
        with trio.fail_after(LEG_DEADLINE_S):
            machine = await launch(place)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._attend, machine)
                await nursery.start(machine.run)
                yield machine
                nursery.cancel_scope.cancel()

    async def _attend(self, machine: Machine) -> None:
        async for event in machine.events:
            if isinstance(event, Output):
                self._take(event)
                await machine.acknowledge(event.number)
            elif isinstance(event, Ready):
                self._ready = event
            elif isinstance(event, End):
                self._end = event
            self._news.set()
            self._news = trio.Event()

    def _take(self, output: Output) -> None:
        self._acknowledged = output.number
        if isinstance(output.body, Send):
            self._sent.append(output.body.payload.decode())
        elif isinstance(output.body, Log):
            self._said += output.body.text.decode()
        elif isinstance(output.body, Subscribe):
            self._subscribed = True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._end is not None:
                raise GuestError(f"the guest ended too soon: {self._end}; it said: {self._said}")
            await self._news.wait()

    async def _go(
        self, machine: Machine, accelerator: str, what: str, *, last: bool = False
    ) -> None:
        """See that it runs, and where; send what it does not have yet; wait for the answers."""
        started, answers = trio.current_time(), self._legs * ANSWERS
        by_kvm = await _runs_by_kvm(machine)
        await machine.wait_ready()
        await self._until(lambda: self._subscribed and self._ready is not None)
        have = max((stream.have for stream in machine.streams() if stream.stream == 1), default=0)
        until = answers if last else answers + AHEAD
        messages = [Message(b"%d" % (7 * n)) for n in range(have + 1, until + 1)]
        if last:
            messages.append(Message(b"", end=True))
        await machine.deliver(1, have + 1, messages)
        await self._until(lambda: len(self._sent) >= answers)
        took_s = trio.current_time() - started
        is_warm = self._ready is not None and self._ready.state == WARM
        good = by_kvm == (accelerator == KVM) and is_warm == (self._legs > 1)
        said = f"query-kvm: {'enabled' if by_kvm else 'off'}"
        report(what, good, f"{said}, {ANSWERS} answers in {took_s:.1f} s")

    async def _park(self, machine: Machine, what: str) -> None:
        """Park, take the snapshot, and read it again as a host that got it would."""
        started = trio.current_time()
        await machine.park(deadline_s=PARK_DEADLINE_S)
        took_s = trio.current_time() - started
        here = architecture.of_host()
        subject = Subject(
            *(VmId(bytes(20)), self._legs, self._digest, here.name, here.baseline, b""),
            created=int(time.time()),
        )
        state = await machine.take(subject, self._signer)
        await machine.kill()
        await self._until(lambda: machine.ended is not None)
        self._end = None
        self._snapshot = Snapshot.unpack(state.pack(), self._verifier, Wall(time.time()))
        report(what, True, f"{len(state.manifest.pages)} pages, in {took_s:.2f} s")


def _answers(count: int) -> list[str]:
    """What the program has to say to the first `count` messages."""
    total, lines = 0, []
    for n in range(1, count + 1):
        total = (total * 31 + n * 7) % 2**64
        lines.append(f"{n} {total}")
    return lines


async def _runs_by_kvm(machine: Machine) -> bool:
    """Whether QEMU itself says that it runs its guest under KVM."""
    qmp = await qemu.control(machine.files.directory)
    try:
        answer = await qmp.execute("query-kvm")
    finally:
        await trio.aclose_forcefully(qmp)
    return bool(answer["enabled"])
