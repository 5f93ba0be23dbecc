"""Finding, judging and burying a QEMU: what is left of a VM after a node's restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trio

from radics_mesh.errors import GuestError, LinkError
from radics_mesh.vmm import lock, qemu
from radics_mesh.vmm.process import Process

# In the middle of a start or an end things are unclear for a moment.
# And a host whose node comes back to a hundred VMs is busy: a QEMU that would have answered a bit
# later is killed, and its VM's latest state with it.
_MOMENT_S = 20.0
_KILL_DEADLINE_S = 10.0


async def find(lock_path: Path) -> Process | None:
    """The VM's QEMU by its lock, None when there is none.

    GuestError: the lock is held by a process that cannot be found, so nothing may be started.
    """
    with trio.move_on_after(_MOMENT_S):
        for pause_s in _pauses():
            if lock.is_free(lock_path):
                return None
            if (found := lock.holder(lock_path)) is not None:
                return Process(*found)
            await trio.sleep(pause_s)
    raise GuestError(f"{lock_path} is held by a process that cannot be found")


async def is_running(directory: Path) -> bool:
    """Whether the VM's QEMU answers and lets its guest run (not: still waits for `cont`)."""
    with trio.move_on_after(_MOMENT_S):
        try:
            qmp = await qemu.control(directory)
        except LinkError:
            return False
        try:
            status = await qmp.execute("query-status")
        except (LinkError, GuestError):
            return False
        finally:
            await trio.aclose_forcefully(qmp)
        return isinstance(status, dict) and status.get("status") == "running"
    return False


async def end(process: Process, lock_path: Path) -> None:
    """SIGKILL; on return it is reaped and its lock free. GuestError: it does not end."""
    process.signal()
    with trio.move_on_after(_KILL_DEADLINE_S):
        await process.wait()
        for pause_s in _pauses():
            # Another thread's fork may hold a copy of the lock's descriptor until its exec.
            if lock.is_free(lock_path):
                return
            await trio.sleep(pause_s)
    raise GuestError(f"QEMU {process.pid} does not end")


def _pauses() -> Iterator[float]:
    pause_s = 0.001
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, 0.1)
