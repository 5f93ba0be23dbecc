"""Guests whose moments are noted, for the benches of VMs.

The program fills 8 MB with lines of text, then adds up numbers from a source.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.errors import GuestError
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.me import Me
from radics_mesh.membership import Verifier, found
from radics_mesh.vmm import lock, qemu
from radics_mesh.vmm.architecture import X86_64, Architecture
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.events import Ready
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.launch import Launch
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signer, Subject
from radics_mesh.vmm.outputs import Output, Send, Subscribe
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.qmp import Qmp

PROGRAM = """
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include "radics.h"
int main()
{
    std::vector<char> text(8 << 20);
    for (size_t at = 0, line = 0; at + 64 < text.size(); line++)
        at += static_cast<size_t>(std::sprintf(&text[at], "%zu INFO sensor %zu reads %zu\\n", line,
                                               line * 7919 % 97, line * 2654435761u % 100000));
    static char buf[RADICS_MESSAGE_MAX];
    unsigned long sum = 0;
    const int numbers = radics_subscribe("numbers");
    for (long n; (n = radics_receive(numbers, buf, sizeof buf, -1, nullptr)) >= 0;) {
        sum += std::stoul(std::string(buf, static_cast<size_t>(n)));
        const std::string said = std::to_string(sum);
        radics_send("dtn://here/sums", said.data(), said.size(), 0);
    }
}
"""
MEMORY_BYTES = 32 << 20
NOW = Wall(1_800_000_000.0)
HELLO = Hello("bench", "dtn://vm.bench/", "here", "dtn://here/")
ONE = Message(b"1")
SHM = Path("/dev/shm")


class Clocked:
    """A machine with one task that takes its events, and the moments at which they came."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.outputs = 0
        self._moments: dict[str, float] = {}
        self._news = trio.Event()

    async def attend(self) -> None:
        async for event in self.machine.events:
            if isinstance(event, Ready):
                self._note("ready")
            if isinstance(event, Output):
                self.outputs = event.number
                await self.machine.acknowledge(event.number)
                self._note({Subscribe: "subscribed", Send: "sum"}.get(type(event.body), "other"))

    def _note(self, what: str) -> None:
        self._moments[what] = time.perf_counter()
        self._news.set()
        self._news = trio.Event()

    async def moment(self, what: str) -> float:
        """When it happened; waits for it, and forgets it."""
        while what not in self._moments:
            await self._news.wait()
        return self._moments.pop(what)


@asynccontextmanager
async def clocked(machine: Machine) -> AsyncIterator[Clocked]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            watched = Clocked(machine)
            nursery.start_soon(watched.attend)
            await nursery.start(machine.run)
            yield watched
            await machine.kill()
            nursery.cancel_scope.cancel()


class Bench:
    """One image, where its guests run, and what a node keeps of them."""

    def __init__(
        self,
        folder: Path,
        program: str = PROGRAM,
        memory_bytes: int = MEMORY_BYTES,
        suffix: str = "cpp",
    ) -> None:
        self.memory_bytes = memory_bytes
        source = folder / f"bench.{suffix}"
        source.write_text(program)
        self.image = folder / "bench.img"
        build_image([source], self.image)
        self.image.chmod(0o444)
        self.folder = folder
        identity = Identity.generate()
        _, mesh, chain = found(identity, "bench", NOW)
        self.signer, self.verifier = Signer(identity, chain.pack()), Verifier(mesh)
        self.me = Me(identity, self.verifier, chain.pack(), SystemClock())
        self.pages = PageStore(folder / "pages", 1 << 40)
        self._digest = Digest.of(self.image.read_bytes())

    def vm(self, name: str) -> Launch:
        """Where `name` runs."""
        directory = self.folder / name
        directory.mkdir(exist_ok=True)
        return Launch(directory, SHM, self.image, self.memory_bytes, "tcg", HELLO)

    def kept(self, name: str) -> Snapshots:
        """The states of `name` on disk."""
        return Snapshots(self.vm(name).directory, self.me, self.pages)

    def subject(self, name: str) -> Subject:
        vm_id = VmId(Digest.of(name.encode())[:20])
        return Subject(vm_id, 1, self._digest, X86_64.name, X86_64.baseline, b"", int(NOW))


async def migratable(machine: Machine, hello: Hello) -> tuple[Machine, Qmp]:
    """A QEMU that waits for QEMU's own migration, and its control."""
    made = Machine(machine.files, machine.process, hello, SystemClock(), paused=False)
    return made, await machine.control()


async def completed(control: Qmp, patience_s: float = 10) -> None:
    """QEMU tells only who asks."""
    for _ in range(int(patience_s * 1000)):
        status = (await control.execute("query-migrate")).get("status")
        if status == "completed":
            return
        if status == "failed":
            break
        await trio.sleep(0.001)
    raise GuestError("QEMU did not migrate the guest")


@contextmanager
def peers_command_line() -> Iterator[None]:
    """QEMU's `exec:` starts a shell, which our sandbox forbids; and the target waits for it."""
    ours = qemu.arguments

    def arguments(
        guests: Architecture,
        fds: qemu.Inheritance,
        memory_bytes: int,
        accelerator: str,
        *,
        paused: bool,
    ) -> list[str]:
        words = ours(guests, fds, memory_bytes, accelerator, paused=False)
        at = words.index("-sandbox")
        del words[at : at + 2]
        return [*words, "-incoming", "defer"] if paused else words

    qemu.arguments = arguments
    try:
        yield
    finally:
        qemu.arguments = ours


@contextmanager
def buried(folder: Path) -> Iterator[None]:
    """After a failure too, no QEMU is left."""
    try:
        yield
    finally:
        for name in ("waiting", "one", "two"):
            bury(folder / name)


def bury(directory: Path) -> None:
    files = qemu.Files.read(directory)
    if (holder := lock.holder(directory / "lock")) is not None:
        signal.pidfd_send_signal(holder[1], signal.SIGKILL)
        os.close(holder[1])
    if files is not None:
        files.discard()
