"""One running guest: its QEMU, its channel, its end.

    machine = await launch(...)              or adopt, see radics_mesh.vmm.launch
    nursery.start_soon(machine.run)          until the guest has ended
    async for event in machine.events: ...   the last one says how it ended

Four ends, each its own event: `Exited` (the program said so), `Panicked` (the library OS failed),
`Died` (QEMU went away without a word), `Killed` (we did it). `Broken` is a guest that broke the
channel's contract; its QEMU is killed. Cancelling `run` leaves QEMU running: the next node process
adopts it.

Whoever takes events must not wait in `deliver` in the same task. Back-pressure on the guest is not
to acknowledge: it stops at RADICS_OUT_WINDOW of unacknowledged output.
"""

from __future__ import annotations

import signal
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import GuestError, LinkError, PeerError, UsageError
from radics_mesh.vmm import abi, adoption, images, manifest, qemu, ram, snapshot, survey, verified
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.ends import Died, End, Exited, Killed
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.image import loaded_pages, loaded_runs
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.process import Process
from radics_mesh.vmm.qmp import Qmp
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.survey import Put, Survey
from radics_mesh.vmm.talk import Talk
from radics_mesh.vmm.template import template

log = structlog.get_logger(__name__)

_PARK_DEADLINE_S = 10.0


class Machine(Talk):
    """Made by `launch`, `prepare` and `adopt`, and by a QEMU that waited (`waiting`)."""

    def __init__(
        self,
        files: qemu.Files,
        process: Process,
        hello: Hello,
        clock: Clock,
        *,
        paused: bool,
        control: Qmp | None = None,
    ) -> None:
        """`control`: a connection to QEMU, which takes one at a time; the machine closes it."""
        super().__init__(hello, clock, files.memory_bytes)
        self.files = files
        self.process = process
        self.ended: End | None = None
        self._started = trio.Event()
        if not paused:
            self._started.set()
        self._killing = False
        self._tidied = False
        self._held_control = control

    @property
    def pid(self) -> int:
        return self.process.pid

    async def park(self, *, known: int = 0, deadline_s: float = _PARK_DEADLINE_S) -> None:
        """Stop the program for good: afterwards the guest is nothing but its memory, and
        `changed_at_end` is what changed since stage `known`.

        GuestError when it does not answer in time, or has ended. It was asked all the same: it
        goes on, and may park at any later time (`wait_parked`).
        """
        self._channel.park(known)
        self._conversation.kick()
        with trio.move_on_after(deadline_s):
            await self.wait_parked()
            return
        raise GuestError("the guest did not park in time")

    async def wait_parked(self) -> None:
        """Until a guest that was asked to park has parked; GuestError when it ends before."""
        while self._parked is None:
            await self._change()
        self.hold()

    def hold(self) -> None:
        """Stop a parked guest's QEMU: nothing of it is needed any more but its memory. It still
        took so much of two cores that a snapshot beside it took 230 ms instead of 58."""
        self.process.signal(signal.SIGSTOP)

    @property
    def can_go_on(self) -> bool:
        """Whether, once parked, the guest can go on in this QEMU."""
        return self._channel.can_go_on

    def go_on(self) -> None:
        """Let a parked guest go on as if nothing had been. GuestError unless it is parked, and can;
        OSError: it stays parked."""
        parked = self._parked
        if parked is None or not self.can_go_on:
            raise GuestError("only a parked guest, of a version that can, goes on")
        with self.files.ram.open("r+b", buffering=0) as memory:
            memory.seek(abi.GO_ON_AT)
            memory.write(parked.nonce.to_bytes(8, "little"))
        self._parked = None
        self.process.signal(signal.SIGCONT)
        self._conversation.kick()

    async def look(
        self, before: Survey | None, changed: Changed | None, put: Put | None = None
    ) -> Survey:
        """A survey of the memory, made from an earlier one and what has changed since; see
        `survey.look`."""
        ram, memory_bytes, image = self.files.ram, self.files.memory_bytes, self.files.image

        def work() -> Survey:
            lain = template(image, memory_bytes)
            return survey.look(ram, memory_bytes, lain, before=before, changed=changed, put=put)

        return await trio.to_thread.run_sync(work)

    async def take(
        self, subject: manifest.Subject, signer: manifest.Signer, seen: Survey | None = None
    ) -> Snapshot:
        """The parked guest's snapshot; GuestError when it is not parked.

        `seen`: a survey made after it had parked, of which the hashes are taken.
        """
        if self._parked is None:
            raise GuestError("a snapshot needs a parked guest")
        files = self.files
        held = None if seen is None else seen.held(files.ram)
        return await trio.to_thread.run_sync(
            lambda: snapshot.take(
                files.ram, files.memory_bytes, _template(files), subject, signer, held
            )
        )

    async def warm_start(
        self, state: Signed, hello: Hello | None = None, *, laid: bool = False
    ) -> None:
        """Let a QEMU that `prepare` made carry on from a snapshot, which must fit (PeerError).

        `hello`: what was not known yet when it was prepared, as the epoch and `out_acked`. `laid`:
        its pages lie in the memory already (`laying`).
        """
        files = self.files
        if self._started.is_set():
            raise UsageError("only a QEMU that waits can carry on from a snapshot")
        check_fits(state, files.image, files.memory_bytes)
        if hello is not None:
            self._conversation.begin_anew(hello)
        if not laid:
            await trio.to_thread.run_sync(ram.lay_pages, state.runs(), files.ram)
        await self.go()

    async def go(self) -> None:
        """Let a QEMU that waits carry on with what is in its memory."""
        qmp = await self.control()
        self._conversation.begin(self.files.channel)
        self._started.set()
        try:
            await qmp.execute("cont")
        finally:
            await trio.aclose_forcefully(qmp)

    async def ready_to_start(self) -> None:
        """Wait until QEMU is up, then make its memory exactly what the image is. `prepare`'s."""
        self._held_control = await self.control()
        files = self.files
        await trio.to_thread.run_sync(
            lambda: lay_template(files.ram, files.image, files.memory_bytes)
        )

    def end_now(self) -> None:
        """SIGKILL, and nothing else: `kill` waits for the end."""
        self._killing = self._killing or not self._gone.is_set()
        self.process.signal()

    async def kill(self) -> None:
        """SIGKILL; returns when QEMU is reaped and its lock free, so really gone.

        Its RAM file is removed. GuestError: it would not go.
        """
        self._killing = self._killing or not self._gone.is_set()
        await self.let_go()
        await adoption.end(self.process, self.files.lock)
        self._left()

    async def let_go(self) -> None:
        """Nobody will start it from here; QEMU stays."""
        control, self._held_control = self._held_control, None
        if control is not None:
            await trio.aclose_forcefully(control)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the channel until the guest has ended; then the last event, then no more."""
        async with self._send_events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                task_status.started()
                await self._started.wait()
                await self._conversation.serve(self.files.channel)
                if self._conversation.broken is not None:
                    self.process.signal()
            self.ended = self._end()
            self._left()
            how = type(self.ended).__name__
            dropped = {} if not self.counters else {"frames": self.counters}
            log.info("guest ended", vm=self.files.directory.name, how=how, **dropped)
            await self._tell(self.ended)

    async def _watch(self) -> None:
        await self.process.wait()
        self._gone.set()
        self._started.set()
        self._conversation.stop_listening()

    def _end(self) -> End:
        if self._conversation.broken is not None:
            return self._conversation.broken
        if self._panic is not None:
            return self._panic
        if self._exit is not None:
            return Exited(self._exit.how, self._exit.status, self._exit.why)
        if self._killing:
            return Killed()
        return Died(self.process.returncode, self.files.stderr_tail())

    def _left(self) -> None:
        """QEMU is gone: nobody may wait for it any more, and its memory is of no use.

        Tidies once only: a new QEMU may have taken over the directory since.
        """
        self._gone.set()
        self._conversation.close()
        self._note()
        if not self._tidied:
            self._tidied = True
            self.files.discard()

    async def control(self) -> Qmp:
        """A connection to QEMU, the caller's from now on. GuestError: it does not answer."""
        control, self._held_control = self._held_control, None
        if control is not None:
            return control
        try:
            return await qemu.control(self.files.directory)
        except LinkError as error:
            said = self.files.stderr_tail()
            raise GuestError(f"QEMU: {error}{': ' if said else ''}{said}") from error


def check_fits(state: Signed, image: Path, memory_bytes: int) -> None:
    """PeerError unless this host's guests and this image can carry the state on."""
    architecture = qemu.image_architecture(image)
    state.check_fits(verified.digest_of(image), architecture)
    if state.manifest.memory_bytes != memory_bytes:
        raise PeerError("snapshot of a VM with another size of memory")


def lay_template(ram_file: Path, image: Path, memory_bytes: int) -> None:
    """Make a waiting QEMU's memory exactly what an image is. Blocks."""
    ram.lay_template(ram_file, memory_bytes, loaded_runs(images.read(image), memory_bytes))


def _template(files: qemu.Files) -> dict[int, bytes]:
    return loaded_pages(images.read(files.image), files.memory_bytes)
