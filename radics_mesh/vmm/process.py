"""A QEMU process, our child or one adopted after the node's restart, by pidfd alike."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import trio


class Process:
    """One process that cannot be mistaken for another, since a pidfd never names a second one."""

    def __init__(self, pid: int, pidfd: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Takes over `pidfd`. `child` is None for a process that somebody else started."""
        self.pid = pid
        self._pidfd = pidfd
        self._child = child
        self._ended = trio.Event()
        self.returncode: int | None = None

    @classmethod
    def of_child(cls, child: subprocess.Popen[bytes]) -> Process:
        return cls(child.pid, os.pidfd_open(child.pid), child)

    @property
    def adopted(self) -> bool:
        return self._child is None

    async def wait(self) -> int | None:
        """Wait until it is gone, reap it; its return code as subprocess has it (None: adopted)."""
        if not self._ended.is_set():
            # Trio lets one task wait on a descriptor; a copy each lets any number.
            copy = os.dup(self._pidfd)
            try:
                await trio.lowlevel.wait_readable(copy)
            finally:
                trio.lowlevel.notify_closing(copy)
                os.close(copy)
            self._reap()
        await trio.lowlevel.checkpoint()
        return self.returncode

    def signal(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Harmless after its end."""
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _reap(self) -> None:
        if self._ended.is_set():
            return
        if self._child is not None:
            self.returncode = self._child.wait()  # at once: it is a zombie
        self._ended.set()
        os.close(self._pidfd)
