"""QEMU's control socket (QMP) on Trio: one command at a time, events kept for who asks.

Wire form: one JSON object a line, both ways. The server greets, the client answers with
qmp_capabilities, then commands carry an id that the reply repeats. Replies to commands whose
caller was cancelled are recognised by their id and dropped, so a cancellation breaks nothing.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import trio

from radics_mesh.errors import GuestError, LinkError

# Our commands have short answers; a line longer than this is not QEMU speaking.
_LINE_MAX_BYTES = 1 << 20
_EVENTS_KEPT = 64


class Qmp(trio.abc.AsyncResource):
    """A connection whose capabilities are negotiated. LinkError: it broke off or talks nonsense."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._input = bytearray()
        self._next_id = 0
        self._lock = trio.Lock()
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS_KEPT)
        self.version: tuple[int, int, int] = (0, 0, 0)

    async def negotiate(self) -> None:
        """Read the greeting and leave negotiation mode. No deadline of its own."""
        greeting = await self._line()
        try:
            version = greeting["QMP"]["version"]["qemu"]
            self.version = (int(version["major"]), int(version["minor"]), int(version["micro"]))
        except (KeyError, TypeError, ValueError) as error:
            raise LinkError("QMP: no greeting") from error
        await self.execute("qmp_capabilities")

    async def execute(self, command: str, **arguments: object) -> Any:
        """The command's return value; GuestError with QEMU's words when it refuses."""
        async with self._lock:
            self._next_id += 1
            request: dict[str, object] = {"execute": command, "id": self._next_id}
            if arguments:
                request["arguments"] = arguments
            await self._send(json.dumps(request).encode("ascii") + b"\n")
            while True:
                reply = await self._line()
                if "event" in reply:
                    self.events.append(reply)
                elif reply.get("id") == self._next_id:
                    return _result(command, reply)

    async def event(self, name: str) -> dict[str, Any]:
        """The oldest event of this name that nobody took yet; waits for one."""
        async with self._lock:
            while True:
                for held in self.events:
                    if held.get("event") == name:
                        self.events.remove(held)
                        return held
                line = await self._line()
                if "event" in line:
                    self.events.append(line)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkError("QMP: the connection broke off") from error

    async def _line(self) -> dict[str, Any]:
        while (end := self._input.find(b"\n")) < 0:
            if len(self._input) > _LINE_MAX_BYTES:
                raise LinkError("QMP: an endless line")
            try:
                data = await self._stream.receive_some(65536)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise LinkError("QMP: the connection broke off") from error
            if not data:
                raise LinkError("QMP: the connection was closed")
            self._input += data
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LinkError("QMP: not JSON") from error
        if not isinstance(value, dict):
            raise LinkError("QMP: not an object")
        return value


def _result(command: str, reply: dict[str, Any]) -> Any:
    if "return" in reply:
        return reply["return"]
    error = reply.get("error")
    text = error.get("desc") if isinstance(error, dict) else None
    raise GuestError(f"QEMU refused {command}: {text}")
