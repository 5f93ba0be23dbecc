"""A C++ program as a unikernel in a real QEMU: run, feed, park, snapshot, warm start, adopt."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from radics_mesh.clock import Wall
from radics_mesh.errors import GuestError, PeerError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.membership import Verifier, found
from radics_mesh.vmm import abi, lock, qemu
from radics_mesh.vmm.architecture import X86_64
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.ends import Exited, Killed
from radics_mesh.vmm.events import RUNNING, WARM, Ready
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.launch import Launch, adopt, launch, prepare
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signer, Subject
from radics_mesh.vmm.outputs import Exit, Log, Output, Send, Subscribe
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.talk import Event
from tests.patience import PATIENCE_S

NOW = Wall(1_800_000_000.0)
MEMORY_BYTES = 16 << 20
HELLO = Hello("sums", "dtn://vm.sums/", "one", "dtn://one/", argv=("sums", "1000000"))
NUMBERS = [Message(b"%d" % number) for number in range(1, 2001)]
END = Message(b"", end=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "sums.img"
    build_image([Path(__file__).parent / "guests" / "sums.cpp"], path)
    path.chmod(0o444)
    return path


@pytest.fixture
def vm(tmp_path: Path, image: Path) -> Iterator[Launch]:
    directory = tmp_path / "vm"
    directory.mkdir()
    yield Launch(directory, Path("/dev/shm"), image, MEMORY_BYTES, "tcg", HELLO)
    for name in ("vm", "moved"):
        bury(tmp_path / name)


def bury(directory: Path) -> None:
    """A failed test's QEMU would outlive us, as it should outlive a node."""
    files = qemu.Files.read(directory)
    holder = lock.holder(directory / "lock")
    if holder is not None:
        signal.pidfd_send_signal(holder[1], signal.SIGKILL)
        os.close(holder[1])
    if files is not None:
        files.discard()


class Peer:
    """What a host does with one machine: takes its events, acknowledges outputs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.events: list[Event] = []
        self._news = trio.Event()

    @property
    def outputs(self) -> list[Output]:
        return [event for event in self.events if isinstance(event, Output)]

    @property
    def sums(self) -> list[str]:
        """What it sent, in order."""
        bodies = [output.body for output in self.outputs]
        return [body.payload.decode() for body in bodies if isinstance(body, Send)]

    @property
    def acknowledged(self) -> int:
        return max((output.number for output in self.outputs), default=0)

    async def attend(self) -> None:
        async for event in self.machine.events:
            self.events.append(event)
            if isinstance(event, Output):
                await self.machine.acknowledge(event.number)
            self._news.set()
            self._news = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._news.wait()

    async def until_sums(self, count: int) -> None:
        await self.until(lambda: len(self.sums) >= count)

    async def until_subscribed(self) -> None:
        await self.until(
            lambda: any(output.body == Subscribe(1, "numbers") for output in self.outputs)
        )

    async def until_ready(self) -> Ready:
        await self.until(lambda: bool(self.events))
        first = self.events[0]
        assert isinstance(first, Ready)
        return first

    async def until_end(self) -> Event:
        """The last event, which comes after all that the guest said."""
        await self.until(lambda: bool(self.events) and self.events[-1] is self.machine.ended)
        return self.events[-1]


@asynccontextmanager
async def attended(machine: Machine) -> AsyncIterator[Peer]:
    peer = Peer(machine)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.attend)
            await nursery.start(machine.run)
            yield peer
            nursery.cancel_scope.cancel()


def expected_sums(first: int, last: int, host: str) -> list[str]:
    return [f"{n} {n * (n + 1) // 2} {host}" for n in range(first, last + 1)]


def signer() -> tuple[Signer, Verifier]:
    identity = Identity.generate()
    _, mesh, chain = found(identity, "n", NOW)
    return Signer(identity, chain.pack()), Verifier(mesh)


def subject(image: Path) -> Subject:
    digest = Digest.of(image.read_bytes())
    return Subject(VmId(bytes(20)), 1, digest, X86_64.name, X86_64.baseline, b"mail", int(NOW))


async def stopped(pid: int) -> None:
    """Until the process does not run any more."""
    flags = os.WSTOPPED | os.WNOWAIT
    await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, flags, abandon_on_cancel=True)


async def parked(vm: Launch, count: int) -> tuple[Snapshot, Verifier, int]:
    """A VM that has taken so many numbers, as a snapshot; what of its output is durable."""
    who, verifier = signer()
    async with attended(await launch(vm)) as peer:
        await peer.until_subscribed()
        await peer.machine.deliver(1, 1, NUMBERS[:count])
        await peer.until_sums(count)
        await peer.machine.park()
        await stopped(peer.machine.pid)
        state = await peer.machine.take(subject(vm.image), who)
        await peer.machine.kill()
        assert await peer.until_end() == Killed()
        assert peer.sums == expected_sums(1, count, "one")
        return state, verifier, peer.acknowledged


def moved(vm: Launch, state: Snapshot, out_acked: int) -> Launch:
    directory = vm.directory.with_name("moved")
    directory.mkdir(exist_ok=True)
    hello = dataclasses.replace(HELLO, host_name="two", epoch=2, out_acked=out_acked)
    return dataclasses.replace(vm, directory=directory, hello=hello, snapshot=state)


async def test_a_program_runs_to_its_end(vm: Launch) -> None:
    async with attended(await launch(vm)) as peer:
        await peer.until_subscribed()
        await peer.machine.deliver(1, 1, [*NUMBERS, END])
        assert await peer.until_end() == Exited(0, 7, "")
        assert peer.sums == expected_sums(1, 2000, "one")
        assert [output.number for output in peer.outputs] == list(range(1, 2004))
        assert peer.outputs[-2].body == Log(0, b"sum 2001000, memory held\n")
        assert peer.outputs[-1].body == Exit(0, 7, "")
        assert peer.machine.counters == {}
        with pytest.raises(GuestError, match="ended"):
            await peer.machine.deliver(1, 2002, [END])
    assert lock.is_free(vm.directory / "lock")


async def test_a_slow_program_holds_the_sender_back(vm: Launch) -> None:
    """The guest takes nothing while nobody acknowledges, so that the window fills."""
    machine = await launch(vm)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.run)
            async for event in machine.events:
                if isinstance(event, Output) and isinstance(event.body, Subscribe):
                    break
            big = Message(b"1".rjust(60_000, b"0"))
            with trio.move_on_after(1.0) as patience:
                await machine.deliver(1, 1, [big] * 2 + NUMBERS * 20)
            assert patience.cancelled_caught
            await machine.kill()
            nursery.cancel_scope.cancel()  # nobody takes its last event


async def test_a_parked_vm_goes_on_in_another_qemu(vm: Launch) -> None:
    state, verifier, out_acked = await parked(vm, 100)
    assert state.manifest.mailbox == b"mail"
    state = Snapshot.unpack(state.pack(), verifier, NOW)
    async with attended(await launch(moved(vm, state, out_acked))) as peer:
        ready = await peer.until_ready()
        assert ready.state == WARM
        sources = [s for s in ready.streams if s.stream < abi.STREAM_TIMERS]
        assert [(s.stream, s.have, s.source) for s in sources] == [
            (0, 0, ""),
            (1, 100, "numbers"),
        ]
        await peer.machine.deliver(1, 101, [*NUMBERS[100:], END])
        assert await peer.until_end() == Exited(0, 7, "")
        assert peer.sums == expected_sums(101, 2000, "two")
        assert peer.outputs[-2].body == Log(0, b"sum 2001000, memory held\n")


async def test_a_waiting_qemu_takes_the_state_over(vm: Launch) -> None:
    state, _, out_acked = await parked(vm, 3)
    where = moved(vm, state, out_acked)
    machine = await prepare(dataclasses.replace(where, hello=HELLO, snapshot=None))
    async with attended(machine) as peer:
        await machine.warm_start(state, where.hello)
        await machine.wait_ready()
        with pytest.raises(UsageError, match="waits"):
            await machine.warm_start(state)
        await machine.deliver(1, 4, NUMBERS[3:5])
        await peer.until_sums(2)
        assert peer.sums == expected_sums(4, 5, "two")
        await machine.kill()


async def test_outputs_that_were_not_durable_come_again_on_the_new_host(vm: Launch) -> None:
    state, _, out_acked = await parked(vm, 10)
    async with attended(await launch(moved(vm, state, out_acked))) as peer:
        await peer.machine.wait_ready()
        await peer.machine.deliver(1, 11, NUMBERS[10:12])
        await peer.until_sums(2)
        assert [output.number for output in peer.outputs] == [out_acked + 1, out_acked + 2]
        await peer.machine.kill()


async def test_messages_not_yet_taken_travel_in_memory(vm: Launch) -> None:
    who, _ = signer()
    async with attended(await launch(vm)) as peer:
        await peer.until_subscribed()
        await peer.machine.deliver(1, 1, NUMBERS[:1500])
        await peer.until_sums(1)
        await peer.machine.park()
        state = await peer.machine.take(subject(vm.image), who)
        await peer.machine.kill()
        await peer.until_end()
        first = peer.sums
        acknowledged = peer.acknowledged
    async with attended(await launch(moved(vm, state, acknowledged))) as peer:
        await peer.machine.wait_ready()
        (numbers,) = (s for s in peer.machine.streams() if s.stream == 1)
        assert numbers.have <= 1500
        await peer.machine.deliver(1, numbers.have + 1, [*NUMBERS[numbers.have :], END])
        assert await peer.until_end() == Exited(0, 7, "")
        both = [line.rsplit(" ", 1)[0] for line in first + peer.sums]
        assert both == [line.rsplit(" ", 1)[0] for line in expected_sums(1, 2000, "")]


async def test_a_state_that_does_not_fit_starts_nothing(vm: Launch, tmp_path: Path) -> None:
    state, _, _ = await parked(vm, 1)
    where = moved(vm, state, 0)
    other = tmp_path / "other.img"
    other.write_bytes(vm.image.read_bytes() + b"\0")
    with pytest.raises(PeerError, match="wrong image"):
        await launch(dataclasses.replace(where, image=other))
    with pytest.raises(PeerError, match="another size of memory"):
        await launch(dataclasses.replace(where, memory_bytes=32 << 20))
    manifest = dataclasses.replace(state.manifest, cpu="max")
    with pytest.raises(PeerError, match="max"):
        await launch(
            dataclasses.replace(where, snapshot=dataclasses.replace(state, manifest=manifest))
        )
    assert not (where.directory / "vm.json").exists()


async def test_a_snapshot_needs_a_parked_guest(vm: Launch) -> None:
    who, _ = signer()
    async with attended(await launch(vm)) as peer:
        await peer.until_subscribed()
        with pytest.raises(GuestError, match="parked"):
            await peer.machine.take(subject(vm.image), who)
        await peer.machine.kill()


async def test_a_survey_of_what_changed_is_one_of_everything(vm: Launch) -> None:
    """Over two lives: staged while it runs, parked, and started warm from that very snapshot.

    The memory is large, so that the guest's maps of it are many pages.
    """
    vm = dataclasses.replace(vm, memory_bytes=256 << 20)
    state, who, acknowledged = None, signer()[0], 0
    for life in range(2):
        where = vm if state is None else moved(vm, state, acknowledged)
        async with attended(await launch(where)) as peer:
            machine, seen = peer.machine, Survey.at_start(state.manifest if state else None)
            await machine.wait_ready()
            if life == 0:
                await peer.until_subscribed()
            for stage in range(4):
                first = 400 * life + 100 * stage
                await machine.deliver(1, first + 1, NUMBERS[first : first + 100])
                await peer.until_sums(100 * stage + 50)
                changed = await machine.stage(seen.stage)
                assert changed is not None
                assert changed.since == seen.stage
                seen = await machine.look(seen, changed)
            await peer.until_sums(400)
            await machine.park(known=seen.stage)
            changed = machine.changed_at_end
            assert changed is not None
            assert changed.since == seen.stage
            # A megabyte of ballast and most of the rest stay as they were.
            assert len(list(changed.numbers(256))) < len(seen.pages) // 2
            seen = await machine.look(seen, changed)
            what = subject(vm.image)
            state = await machine.take(what, who, seen)
            assert state == await machine.take(what, who)
            await machine.kill()
            await peer.until_end()
            acknowledged = peer.acknowledged


async def test_a_host_that_is_slow_loses_nothing(vm: Launch) -> None:
    """The guest fills its window while the host is busy elsewhere; all of it must fit the line."""
    machine = await launch(vm)
    async with attended(machine) as peer:
        await peer.until_subscribed()
        await machine.deliver(1, 1, NUMBERS[:1500])
        for _ in range(20):
            await trio.lowlevel.checkpoint()
            time.sleep(0.05)  # noqa: ASYNC251 - the event loop itself is what is slow
        await machine.deliver(1, 1501, [*NUMBERS[1500:], END])
        assert await peer.until_end() == Exited(0, 7, "")
        assert peer.sums == expected_sums(1, 2000, "one")
        assert machine.counters == {}


ABANDON = """
import os, signal, sys, trio
from pathlib import Path
from radics_mesh.vmm.launch import Launch, launch
from tests.vmm.test_guest import HELLO, MEMORY_BYTES, NUMBERS, attended
async def main():
    directory, image = map(Path, sys.argv[1:])
    vm = Launch(directory, Path("/dev/shm"), image, MEMORY_BYTES, "tcg", HELLO)
    async with attended(await launch(vm)) as peer:
        await peer.until_subscribed()
        await peer.machine.deliver(1, 1, NUMBERS[:500])
        await peer.until_sums(100)
        print(*peer.sums, peer.acknowledged, sep="\\n", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""


async def test_a_killed_nodes_guest_goes_on_with_the_next(vm: Launch) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABANDON, str(vm.directory), str(vm.image)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    *first, acknowledged = done.stderr.splitlines()
    hello = dataclasses.replace(HELLO, out_acked=int(acknowledged))
    machine = await adopt(vm.directory, hello)
    assert machine is not None
    async with attended(machine) as peer:
        assert (await peer.until_ready()).state == RUNNING
        (numbers,) = (s for s in machine.streams() if s.stream == 1)
        await machine.deliver(1, numbers.have + 1, [*NUMBERS[numbers.have :], END])
        end = await peer.until_end()
        assert isinstance(end, Exited)
        assert end.status == 7
        assert first + peer.sums == expected_sums(1, 2000, "one")


async def test_the_store_and_the_builder_agree(image: Path, tmp_path: Path) -> None:
    info = ImageStore(tmp_path / "images").put(image.read_bytes())
    assert info.architecture == "x86_64"
