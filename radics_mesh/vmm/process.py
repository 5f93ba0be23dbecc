"""A QEMU process, our child or one adopted after the node's restart, by pidfd alike."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import trio


class Process:
    """One process that cannot be mistaken for another, since a pidfd never names a second one."""

    def __init__(self, pid: int, pidfd: int, *, adopted: bool = True) -> None:
        """Takes over `pidfd`. `adopted`: somebody else started it, so its end has no code."""
        self.pid = pid
        self.adopted = adopted
        self._pidfd = pidfd
        self._ended = trio.Event()
        self.returncode: int | None = None

    @classmethod
    def of_child(cls, child: subprocess.Popen[bytes]) -> Process:
        process = cls(child.pid, os.pidfd_open(child.pid), adopted=False)
        # We wait for it ourselves, and it may outlive us: Popen need not warn of that.
        child.returncode = 0
        return process

    @property
    def has_ended(self) -> bool:
        """As far as somebody has waited for it."""
        return self._ended.is_set()

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
        if not self.adopted:
            ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)  # at once: it is a zombie
            if ended is not None:
                by_signal = ended.si_code != os.CLD_EXITED
                self.returncode = -ended.si_status if by_signal else ended.si_status
        self._ended.set()
        os.close(self._pidfd)
