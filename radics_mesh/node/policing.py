"""policy.toml of a node: read at its start, and again when it changes or at SIGHUP.

A file that makes no sense ends a node that starts. Later it leaves the rules as they were, and the
journal says why. What runs already goes on until it starts again or moves; who reads a source is
looked at anew each time that it reminds of itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from radics_mesh.errors import UsageError
from radics_mesh.permits import FILE_NAME, NO_RULES, Permits, parse

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 2.0
FILE_MAX_BYTES = 1 << 20
# The same denial is told again after this.
_AGAIN_S = 60.0
_TOLD_MAX = 256

# Of a file, what changes when it is replaced or written; None: there is none.
_Mark = tuple[int, int, int] | None


class Policing:
    """`note`: a line of the node's journal and its level. `permits` are those in force."""

    def __init__(self, state: Path, note: Callable[[str, str], None]) -> None:
        """UsageError when there is a file, and it makes no sense."""
        self._path = state / FILE_NAME
        self._note = note
        self._told: dict[str, float] = {}
        self._mark = self._look()
        self.permits = self._read()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await trio.sleep(LOOK_EVERY_S)
            if self._look() != self._mark:
                self.reload()

    async def at_hangup(self) -> None:
        """Beside `run`, by who has this process to itself."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                self.reload()

    def reload(self) -> None:
        """Errors are told, and leave the rules as they were."""
        self._mark = self._look()
        try:
            self.permits = self._read()
        except UsageError as error:
            self._note(f"the rules stay as they were: {error}", "error")
        else:
            count = len(self.permits.vms) + len(self.permits.sources)
            self._note(f"{FILE_NAME} was read: {count} rules", "info")

    def tell_denied(self, text: str) -> None:
        """To this node's user, once a minute."""
        now = trio.current_time()
        if now - self._told.get(text, float("-inf")) < _AGAIN_S:
            return
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told[text] = now
        self._note(f"denied: {text}", "warning")

    def _look(self) -> _Mark:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Permits:
        try:
            if self._path.stat().st_size > FILE_MAX_BYTES:
                raise UsageError(f"{self._path} is longer than {FILE_MAX_BYTES} bytes")
            return parse(self._path.read_bytes().decode("utf-8"))
        except FileNotFoundError:
            return NO_RULES
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path} cannot be read: {error}") from error
