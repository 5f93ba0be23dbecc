"""Start, park, snapshot and move of one guest, beside QEMU's own migration to a file.

The guest has 32 MB, of which it fills 8 MB; the move is from park to its next sum, with snapshot,
its verification and a waiting QEMU on the other side, as between two nodes but without a network.
The peer moves the same guest by QMP `migrate`, stopped, to a file on the same tmpfs and into a
waiting QEMU.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from bench.machines import (
    HELLO,
    MEMORY_BYTES,
    NOW,
    ONE,
    SHM,
    Bench,
    buried,
    clocked,
    completed,
    migratable,
    peers_command_line,
)
from bench.rows import Row, Times, rounds, row
from radics_mesh.ids import Digest, VmId
from radics_mesh.vmm import adoption, qemu
from radics_mesh.vmm.architecture import X86_64
from radics_mesh.vmm.launch import launch, prepare
from radics_mesh.vmm.manifest import Subject
from radics_mesh.vmm.snapshot import Snapshot


class Moves(Bench):
    """See the module."""

    async def start(self) -> Times:
        """From nothing to QEMU's first word, and to the guest's."""
        vm = self.vm("waiting")
        files = qemu.Files.name(vm.directory, SHM, vm.image, MEMORY_BYTES)
        began = time.perf_counter()
        process = await qemu.start(files, "tcg", paused=True)
        control = await qemu.control(files.directory)
        up = time.perf_counter()
        await control.aclose()
        await adoption.end(process, files.lock)
        files.discard()
        again = time.perf_counter()
        async with clocked(await launch(self.vm("one"))) as guest:
            ready = await guest.moment("ready")
        return {"qemu": up - began, "ready": ready - again}

    async def move(self) -> Times:
        """Park here, go on there."""
        digest = Digest.of(self.image.read_bytes())
        subject = Subject(VmId(bytes(20)), 1, digest, X86_64.name, X86_64.baseline, b"", int(NOW))
        target = await prepare(self.vm("two"))
        async with clocked(await launch(self.vm("one"))) as source:
            await source.moment("subscribed")
            await source.machine.deliver(1, 1, [ONE])
            await source.moment("sum")
            t = [time.perf_counter()]
            await source.machine.park()
            t.append(time.perf_counter())
            state = await source.machine.take(subject, self.signer)
            packed = state.pack()
            t.append(time.perf_counter())
            await source.machine.kill()
            t.append(time.perf_counter())
            hello = dataclasses.replace(HELLO, epoch=2, out_acked=source.outputs)
        t.append(time.perf_counter())
        async with clocked(target) as guest:
            arrived = Snapshot.unpack(packed, self.verifier, NOW)
            t.append(time.perf_counter())
            await target.warm_start(arrived, hello)
            ready = await guest.moment("ready")
            await target.deliver(1, 2, [ONE])
            said = await guest.moment("sum")
        return {
            "park": t[1] - t[0],
            "take": t[2] - t[1],
            "kill": t[3] - t[2],
            "verify": t[5] - t[4],
            "resume": ready - t[5],
            "downtime": said - t[0] - (t[4] - t[3]),
            "bytes": float(len(packed)),
        }

    async def migrate(self) -> Times:
        """The same by QEMU's own means."""
        file = SHM / f"radics-bench-{self.folder.name}.migration"
        file.touch()
        file.chmod(0o666)  # QEMU's shell is nobody
        with peers_command_line():
            target = await prepare(self.vm("two"))
            source = await launch(self.vm("one"))
        async with clocked(source) as watched:
            await watched.moment("subscribed")
            await source.deliver(1, 1, [ONE])
            await watched.moment("sum")
            control = await qemu.control(source.files.directory)
            await control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            began = time.perf_counter()
            await control.execute("stop")
            await control.execute("migrate", uri=f"exec:cat > {file}")
            await completed(control)
            saved = time.perf_counter()
            out_acked = watched.outputs
        size = file.stat().st_size
        hello = dataclasses.replace(HELLO, epoch=2, out_acked=out_acked)
        target, control = await migratable(target, hello)
        loading = time.perf_counter()
        await control.execute("migrate-incoming", uri=f"exec:cat {file}")
        await completed(control)
        await control.execute("cont")
        async with clocked(target) as watched:
            await watched.moment("ready")
            await target.deliver(1, 2, [ONE])
            said = await watched.moment("sum")
        file.unlink()
        return {
            "downtime": saved - began + said - loading,
            "saved": saved - began,
            "resumed": said - loading,
            "bytes": float(size),
        }


async def measure(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, buried(Path(folder)):
        bench = Moves(Path(folder))
        (start,) = await rounds(bench.start, count=count)
        # By turns: what else the machine does then hits both alike.
        move, peer = await rounds(bench.move, bench.migrate, count=count)
    ms = 1e3
    return [
        row("QEMU start to its answer, image loaded", start["qemu"] * ms, "ms"),
        row(
            "run to the guest's first word, beyond that",
            (start["ready"] - start["qemu"]) * ms,
            "ms",
            30,
        ),
        row("park", move["park"] * ms, "ms"),
        row("snapshot of 8 MB touched", move["take"] * ms, "ms"),
        row("park + snapshot", (move["park"] + move["take"]) * ms, "ms", 100),
        row("QEMU's end", move["kill"] * ms, "ms"),
        row("verification", move["verify"] * ms, "ms"),
        row("resume to the guest's next word", move["resume"] * ms, "ms", 30),
        row(
            "downtime of a move, same host",
            move["downtime"] * ms,
            "ms",
            150,
            f"QEMU: {peer['downtime'] * ms:.0f} ms",
        ),
        row(
            "bytes moved",
            move["bytes"] / 1e6,
            "MB",
            round(peer["bytes"] / 1e6, 2),
            f"QEMU: {peer['bytes'] / 1e6:.1f} MB",
        ),
    ]
