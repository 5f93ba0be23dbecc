"""One running guest: its QEMU, its channel, its end.

    machine = await launch(Launch(...))      cold, or warm from a snapshot
    machine = await adopt(directory, hello)  after a node's restart; None: nothing runs
    nursery.start_soon(machine.run)          until the guest has ended
    async for event in machine.events: ...   the last one says how it ended

Four ends, each its own event: `Exited` (the program said so), `Panicked` (the library OS failed),
`Died` (QEMU went away without a word), `Killed` (we did it). `Broken` is a guest that broke the
channel's contract; its QEMU is killed. Cancelling `run` leaves QEMU running: the next node process
adopts it.

A guest that sends garbage is read no faster than _GARBAGE_BYTES_S of it, and a `Garbling` says so.

Whoever takes events must not wait in `deliver` in the same task. Back-pressure on the guest is not
to acknowledge: it stops at RADICS_OUT_WINDOW of unacknowledged output.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, Monotonic, SystemClock, Wall
from radics_mesh.errors import GuestError, LinkError, PeerError, UsageError
from radics_mesh.ids import Digest
from radics_mesh.vmm import adoption, images, qemu, snapshot, survey
from radics_mesh.vmm.allowance import Allowance
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.channel import Channel
from radics_mesh.vmm.ends import Broken, Died, End, Exited, Killed
from radics_mesh.vmm.events import ChannelEvent, Panicked, Parked, Ready
from radics_mesh.vmm.frames import Exit, Hello, Message, Output, StreamState
from radics_mesh.vmm.image import architecture_of, loaded_pages
from radics_mesh.vmm.pipes import Pipes
from radics_mesh.vmm.process import Process
from radics_mesh.vmm.qmp import Qmp
from radics_mesh.vmm.snapshot import PAGE_BYTES, Snapshot
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.threads import ThreadReport, ThreadTold

log = structlog.get_logger(__name__)

# A guest that keeps to its window of unacknowledged output never fills this; for another one it is
# the bound on memory.
_EVENTS_HELD = 65536
# After so many bytes of a guest's others get their turn.
_SLICE_BYTES = 8192
_PARK_DEADLINE_S = 10.0
# A guest tells of its threads at its next interrupt; frames may be lost, then it is asked again.
_THREADS_DEADLINE_S, _THREADS_AGAIN_S = 10.0, 1.5
# Garbage of a guest's that is read a second, and at once: losses on a busy host are far below.
_GARBAGE_BYTES_S, _GARBAGE_BURST_BYTES = 64 << 10, 1 << 20
# It is said again after so long.
_GARBLING_S = 10.0
_STAGE_DEADLINE_S = 5.0


@dataclass(frozen=True)
class Launch:
    """What a VM starts from. `directory` is the VM's own; `ram_directory` is on a tmpfs."""

    directory: Path
    ram_directory: Path
    image: Path
    memory_bytes: int
    accelerator: str
    hello: Hello
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Garbling:
    """The guest has to wait, because so much of what it sends means nothing."""

    bad_frames: int


Event = Ready | Output | StreamState | Garbling | End


class Machine:
    """Made by `launch`, `prepare` and `adopt` only."""

    def __init__(
        self, files: qemu.Files, process: Process, hello: Hello, clock: Clock, *, paused: bool
    ) -> None:
        self.files = files
        self.process = process
        self.ended: End | None = None
        self._listening = trio.CancelScope()
        self._clock = clock
        self._channel = Channel(hello, os.urandom)
        self._send_events, self.events = trio.open_memory_channel[Event](_EVENTS_HELD)
        self._started = trio.Event()
        if not paused:
            self._started.set()
        self._kick = trio.Event()
        self._changed = trio.Event()
        self._gone = trio.Event()
        self._exit: Exit | None = None
        self._panic: Panicked | None = None
        self._broken: Broken | None = None
        self._killing = False
        self._parked: Parked | None = None
        self._staging = trio.Lock()
        self._staged: Changed | None = None
        self._told: dict[int, dict[int, ThreadTold]] = {}
        self._tidied = False
        self._garbage = Allowance(_GARBAGE_BYTES_S, _GARBAGE_BURST_BYTES)
        self._garbage_seen = 0
        self._garbling_at = -math.inf

    # --- what the host wants of the guest ---

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def counters(self) -> dict[str, int]:
        """Frames dropped by reason, and duplicates."""
        return dict(self._channel.faults.counters)

    @property
    def ready(self) -> bool:
        """Whether the guest has answered on the channel."""
        return self._channel.ready

    @property
    def silent_s(self) -> float:
        """For how long the guest has owed an answer; 0 when it owes none."""
        return self._channel.silent_s(self._now())

    def streams(self) -> tuple[StreamState, ...]:
        return self._channel.streams()

    async def wait_ready(self) -> None:
        """Until the guest answers on the channel; GuestError when it ends before."""
        while not self._channel.ready:
            await self._change()

    async def threads(self, *, deadline_s: float = _THREADS_DEADLINE_S) -> list[ThreadReport]:
        """What every thread does at this moment; the program goes on.

        UsageError: the guest does not know how to say. GuestError: it did not, or has ended.
        """
        with trio.move_on_after(deadline_s):
            while True:
                nonce = self._channel.ask_threads()
                self._kick.set()
                with trio.move_on_after(_THREADS_AGAIN_S):
                    return await self._threads_told(nonce)
        raise GuestError("the guest did not say what its threads do")

    async def _threads_told(self, nonce: int) -> list[ThreadReport]:
        told = self._told[nonce] = {}
        try:
            while not told or len(told) < next(iter(told.values())).threads:
                await self._change()
        finally:
            del self._told[nonce]
        return [told[index].report for index in sorted(told)]

    async def acknowledge(self, number: int) -> None:
        """Outputs up to `number` are durable here; the guest forgets them."""
        self._channel.acknowledge(number)
        self._kick.set()
        await trio.lowlevel.checkpoint()

    def say_hello(self, hello: Hello) -> None:
        """Tell the guest what has changed."""
        self._channel.tell(hello, self._now(), self._wall())
        self._kick.set()

    def window(self, stream: int) -> int:
        """Bytes that `deliver` would take at once: payloads, and MESSAGE_OVERHEAD a message."""
        return self._channel.window(stream)

    async def deliver(self, stream: int, first: int, messages: Sequence[Message]) -> None:
        """Send messages numbered from `first`; waits for the stream's window.

        Returning means sent, not taken: that a StreamState event says. What was sent already is
        skipped; a gap is a UsageError. GuestError when the guest ends meanwhile.
        """
        await trio.lowlevel.checkpoint()
        while True:
            self._check_alive()
            taken = self._channel.deliver(stream, first, messages, self._now())
            self._kick.set()
            first, messages = first + taken, messages[taken:]
            if not messages:
                return
            await self._change()

    async def stage(
        self, known: int = 0, *, deadline_s: float = _STAGE_DEADLINE_S
    ) -> Changed | None:
        """Which pages may have changed since stage `known` or one before it; the guest runs on.

        The report's `since` says which: one that the caller does not know, and None, mean that
        every page has to be looked at. None: the guest is too old to say, or does not answer in
        time. GuestError when it ends meanwhile.
        """
        async with self._staging:
            await self.wait_ready()
            if not self._channel.can_stage:
                return None
            self._staged = None
            self._channel.stage(known, self._now())
            self._kick.set()
            with trio.move_on_after(deadline_s):
                while self._staged is None:
                    await self._change()
            return self._fitting(self._staged)

    def _fitting(self, changed: Changed | None) -> Changed | None:
        fits = changed is not None and changed.pages * PAGE_BYTES == self.files.memory_bytes
        return changed if fits else None

    async def park(self, *, known: int = 0, deadline_s: float = _PARK_DEADLINE_S) -> None:
        """Stop the program for good: afterwards the guest is nothing but its memory, and
        `changed_at_end` is what changed since stage `known`.

        GuestError when it does not answer in time, or has ended. It was asked all the same: it
        goes on, and may park at any later time (`wait_parked`).
        """
        self._channel.park(known)
        self._kick.set()
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
    def is_parked(self) -> bool:
        return self._parked is not None

    @property
    def changed_at_end(self) -> Changed | None:
        """What a parked guest says has changed since its last stage; None as in `stage`."""
        return None if self._parked is None else self._fitting(self._parked.changed)

    async def look(self, before: Survey | None, changed: Changed | None) -> Survey:
        """A survey of the memory, made from an earlier one and what has changed since."""
        files = self.files
        return await trio.to_thread.run_sync(
            lambda: survey.look(
                files.ram, files.memory_bytes, _template(files), before=before, changed=changed
            )
        )

    async def take(
        self, subject: snapshot.Subject, signer: snapshot.Signer, seen: Survey | None = None
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

    async def warm_start(self, state: Snapshot, hello: Hello | None = None) -> None:
        """Let a QEMU that `prepare` made carry on from a snapshot, which must fit (PeerError).

        `hello`: what was not known yet when it was prepared, as the epoch and `out_acked`.
        """
        files = self.files
        if self._started.is_set():
            raise UsageError("only a QEMU that waits can carry on from a snapshot")
        _check_fits(state, files.image, files.memory_bytes)
        if hello is not None:
            self._channel = Channel(hello, os.urandom)
        await trio.to_thread.run_sync(snapshot.lay_pages, state, files.ram)
        qmp = await self._control()
        self._started.set()  # the hello may wait in the socket for the guest
        try:
            await qmp.execute("cont")
        finally:
            await trio.aclose_forcefully(qmp)

    async def ready_to_start(self) -> None:
        """Wait until QEMU is up, then make its memory exactly what the image is. `prepare`'s."""
        qmp = await self._control()
        await trio.aclose_forcefully(qmp)
        files = self.files
        await trio.to_thread.run_sync(
            lambda: snapshot.lay_template(files.ram, files.memory_bytes, _template(files))
        )

    async def alive_for(self, seconds: float) -> bool:
        """Wait so long, but no longer than QEMU lives; whether it still does."""
        with trio.move_on_after(seconds):
            await self._gone.wait()
        return not self._gone.is_set()

    async def kill(self) -> None:
        """SIGKILL; returns when QEMU is reaped and its lock free, so really gone.

        Its RAM file is removed. GuestError: it would not go.
        """
        self._killing = self._killing or not self._gone.is_set()
        await adoption.end(self.process, self.files.lock)
        self._left()

    # --- its life ---

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the channel until the guest has ended; then the last event, then no more."""
        async with self._send_events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                task_status.started()
                await self._converse()  # ends after the guest's last word has been read
                if self._broken is not None:
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
        self._listening.cancel()

    def _end(self) -> End:
        if self._broken is not None:
            return self._broken
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
        self._note()
        if not self._tidied:
            self._tidied = True
            self.files.discard()

    async def _converse(self) -> None:
        """Serve the channel until QEMU is gone and its last word is taken, or the guest broke."""
        await self._started.wait()
        try:
            pipes = Pipes(self.files.channel)
        except FileNotFoundError:  # killed meanwhile, and tidied up after
            return
        self._channel.connected(self._now(), self._wall())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, pipes)
                await self._read(pipes)
                await self._received(pipes.rest())
                nursery.cancel_scope.cancel()
        except* GuestError as errors:
            reason = str(errors.exceptions[0])
            log.warning("guest broke the channel", vm=self.files.directory.name, reason=reason)
            self._broken = Broken(reason)
        finally:
            self._channel.disconnected()
            pipes.close()

    async def _write(self, pipes: Pipes) -> None:
        """Write what the channel has to say, now and when its time comes."""
        while True:
            self._kick = trio.Event()
            if data := self._channel.outgoing():
                await pipes.send(data)
                continue
            deadline = self._channel.deadline
            with trio.move_on_at(math.inf if deadline is None else deadline):
                await self._kick.wait()
            self._channel.poll(self._now(), self._wall())

    async def _read(self, pipes: Pipes) -> None:
        while data := await self._next(pipes):
            for start in range(0, len(data), _SLICE_BYTES):
                await self._received(data[start : start + _SLICE_BYTES])

    async def _next(self, pipes: Pipes) -> bytes:
        """What the guest says next; empty when nothing more can come."""
        with trio.CancelScope() as self._listening:
            if self._gone.is_set():
                self._listening.cancel()
            return await pipes.receive()
        return b""

    async def _received(self, data: bytes) -> None:
        for event in self._channel.received(data, self._now(), self._wall()):
            await self._happened(event)
        if b"\0" in data:  # else a frame goes on, and there was nothing to do yet
            self._kick.set()
            await trio.lowlevel.checkpoint()
        await self._brake()

    async def _brake(self) -> None:
        """Let a guest wait that has sent too much garbage."""
        seen = self._channel.faults.garbage_bytes
        wait_s = self._garbage.spend(seen - self._garbage_seen, self._now())
        self._garbage_seen = seen
        if wait_s > 0 and self._now() - self._garbling_at > _GARBLING_S:
            self._garbling_at = self._now()
            await self._tell(Garbling(self._channel.faults.bad_frames))
        if wait_s > 0:
            await self.alive_for(min(wait_s, 1.0))

    async def _happened(self, event: ChannelEvent) -> None:
        if isinstance(event, Parked):
            self._parked = event
        elif isinstance(event, Changed):
            self._staged = event
        elif isinstance(event, ThreadTold):
            if event.nonce in self._told:
                self._told[event.nonce][event.index] = event
        elif isinstance(event, Panicked):
            self._panic = event
        elif isinstance(event, Output) and isinstance(event.body, Exit):
            self._exit = event.body
        self._note()
        if not isinstance(event, Changed | Parked | Panicked | ThreadTold):
            await self._tell(event)

    async def _tell(self, event: Event) -> None:
        with suppress(trio.BrokenResourceError):  # nobody takes events any more
            await self._send_events.send(event)

    def _note(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = trio.Event()

    async def _change(self) -> None:
        self._check_alive()
        await self._changed.wait()
        self._check_alive()

    def _check_alive(self) -> None:
        if self._gone.is_set():
            raise GuestError("the guest has ended")

    async def _control(self) -> Qmp:
        try:
            return await qemu.control(self.files.directory)
        except LinkError as error:
            said = self.files.stderr_tail()
            raise GuestError(f"QEMU: {error}{': ' if said else ''}{said}") from error

    def _now(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def _wall(self) -> Wall:
        return self._clock.wall()


def _check_fits(state: Snapshot, image: Path, memory_bytes: int) -> None:
    """PeerError unless this host's guests and this image can carry the state on."""
    content = images.read(image)
    state.check_fits(Digest.of(content), architecture_of(content))
    if state.manifest.memory_bytes != memory_bytes:
        raise PeerError("snapshot of a VM with another size of memory")


def _template(files: qemu.Files) -> dict[int, bytes]:
    return loaded_pages(images.read(files.image), files.memory_bytes)


async def launch(launch: Launch, *, clock: Clock | None = None) -> Machine:
    """Start the VM, cold or from its snapshot. Nothing is left running when this raises.

    UsageError: no QEMU, no image. CapacityError: no room. PeerError: the snapshot does not fit,
    which is found out before anything is started.
    """
    if launch.snapshot is None:
        return await _start(launch, clock, paused=False)
    machine = await prepare(launch, clock=clock)
    try:
        await machine.warm_start(launch.snapshot)
    except BaseException:
        with trio.CancelScope(shield=True):
            await machine.kill()
        raise
    return machine


async def prepare(launch: Launch, *, clock: Clock | None = None) -> Machine:
    """A QEMU that waits for `warm_start`; its own start-up is then no part of the pause."""
    if launch.snapshot is not None:
        _check_fits(launch.snapshot, launch.image, launch.memory_bytes)
    machine = await _start(launch, clock, paused=True)
    try:
        await machine.ready_to_start()
    except BaseException:
        with trio.CancelScope(shield=True):
            await machine.kill()
        raise
    return machine


async def _start(launch: Launch, clock: Clock | None, *, paused: bool) -> Machine:
    files = qemu.Files.name(
        launch.directory, launch.ram_directory, launch.image, launch.memory_bytes
    )
    process = await qemu.start(files, launch.accelerator, paused=paused)
    log.info("guest started", vm=launch.directory.name, pid=process.pid, paused=paused)
    return Machine(files, process, launch.hello, clock or SystemClock(), paused=paused)


async def adopt(directory: Path, hello: Hello, *, clock: Clock | None = None) -> Machine | None:
    """The VM's QEMU that has outlived an earlier node process; None when none runs (any more).

    One that does not answer, or had not been started yet, is killed. GuestError: it is alive and
    cannot be found or killed; then nothing may be started for this VM.
    """
    files = qemu.Files.read(directory)
    process = await adoption.find(directory / "lock")
    if process is not None:
        process.signal(signal.SIGCONT)  # a parked one is stopped
    if process is not None and files is not None and await adoption.is_running(directory):
        log.info("guest adopted", vm=directory.name, pid=process.pid)
        return Machine(files, process, hello, clock or SystemClock(), paused=False)
    if process is not None:
        log.warning("orphan killed", vm=directory.name, pid=process.pid)
        await adoption.end(process, directory / "lock")
    if files is not None:
        files.discard()
    return None
