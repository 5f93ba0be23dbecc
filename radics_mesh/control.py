"""The local control socket: command line and status screen ask, the node on this machine answers.

A Unix socket in the state directory, mode 0600, so that only the node's own user reaches it, and a
lock beside it, so that one node runs a state directory. One request a connection. Every message is
a big-endian u32 length and one msgpack array:

  client  [1, request, parameters]      first
          [2]                           "the last item is dealt with, give me the next"
  node    ["ok", answer]                ends a plain request
          ["item", answer] ["end"]      a stream: each item waits to be dealt with
          ["error", class, text]        the same error is raised at the client

A plain request runs to its end even when its client goes away: half a migration helps nobody. A
stream's handler is an async generator; it is resumed only when the client has dealt with the item,
and cancelled when the client leaves, so what stands after its `yield` is an acknowledgement.
Such a generator must not `yield` inside a nursery or cancel scope of its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import socket
import struct
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import structlog
import trio

from radics_mesh import control_api, errors
from radics_mesh.codec import pack, unpack
from radics_mesh.errors import LinkError, MeshError, UsageError, WireError

log = structlog.get_logger(__name__)

Answer = Mapping[str, Any]
Handler = Callable[..., Awaitable[Answer]]
StreamHandler = Callable[..., AsyncGenerator[Answer, None]]

SOCKET_NAME = "control.sock"
LOCK_NAME = "lock"
# How this program is called on this machine, for hints that can be pasted: no `python` need be in
# the PATH, and that of the system does not have our packages.
COMMAND = shlex.join([sys.executable, "-m", "radics_mesh"])
VERSION = 1
NEXT = 2
# Bounds a bundle payload given to `send`, plus its frame. Longer ones belong into a source.
MESSAGE_MAX_BYTES = (64 << 20) + 4096
_LENGTH = struct.Struct("!I")


@contextlib.contextmanager
def state_lock(state: Path) -> Iterator[None]:
    """Hold the state directory for this process; UsageError when another node has it.

    The kernel drops the lock when the process ends, however it ends.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot use state directory {state}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise UsageError(
                f"a node already runs with state {state} (pid {holder}); stop it, or give --state"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


class _Connection:
    """Messages over one stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send(self, message: list[object]) -> None:
        """LinkError when the other side is gone, UsageError when the message cannot be sent."""
        try:
            data = pack(message)
        except UnicodeEncodeError as error:
            # A command line of other bytes than UTF-8 holds them as lone surrogates.
            raise UsageError(f"{error.object!a} is not UTF-8 text") from error
        except OverflowError as error:
            raise UsageError("a number is too large: 64 bits are taken") from error
        if len(data) > MESSAGE_MAX_BYTES:
            raise UsageError(f"{len(data)} bytes are too many for one request")
        try:
            await self._stream.send_all(_LENGTH.pack(len(data)) + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkError("the control connection broke off") from error

    async def receive(self) -> list[Any] | None:
        """The next message, None at the end; WireError, LinkError."""
        header = await self._exactly(_LENGTH.size)
        if not header:
            return None
        (length,) = _LENGTH.unpack(header)
        if length > MESSAGE_MAX_BYTES:
            raise WireError(f"a control message of {length} bytes")
        body = await self._exactly(length)
        message = unpack(body, limit_bytes=MESSAGE_MAX_BYTES)
        if not isinstance(message, list) or not message:
            raise WireError("a control message is a non-empty array")
        return message

    async def _exactly(self, count: int) -> bytes:
        """`count` bytes, or b"" if the stream ended before the first one."""
        data = bytearray()
        while len(data) < count:
            try:
                chunk = await self._stream.receive_some(min(count - len(data), 1 << 16))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise LinkError("the control connection broke off") from error
            if not chunk and data:
                raise WireError("a control message was cut short")
            if not chunk:
                return b""
            data += chunk
        return bytes(data)


class ControlServer:
    """Answers requests at a Unix socket.

    Register every handler first, then `await nursery.start(server.run)`. A handler is called with
    the request's parameters as keywords, checked against `control_api.REQUESTS`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handlers: dict[str, Handler] = {}
        self._streams: dict[str, StreamHandler] = {}

    def handle(self, name: str, handler: Handler) -> None:
        """Answer `name` by one mapping."""
        if control_api.REQUESTS[name].stream:
            raise ValueError(f"{name} is a stream")
        self._handlers[name] = handler

    def handle_stream(self, name: str, handler: StreamHandler) -> None:
        """Answer `name` by what an async generator yields."""
        if not control_api.REQUESTS[name].stream:
            raise ValueError(f"{name} is no stream")
        self._streams[name] = handler

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. The caller holds `state_lock`, so an old socket is a dead one."""
        with _listening(self.path) as listener:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(trio.serve_listeners, self._serve, [listener])
                    task_status.started()
            finally:
                self.path.unlink(missing_ok=True)

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection. Its failures end with it."""
        async with stream:
            connection = _Connection(stream)
            try:
                await self._answer(connection)
            except MeshError as error:
                log.debug("control connection ended", reason=str(error))

    async def _answer(self, connection: _Connection) -> None:
        try:
            message = await connection.receive()
            if message is None:
                return
            name, params = _request(message)
            if name in self._streams:
                await self._stream(connection, self._streams[name](**params))
            elif name in self._handlers:
                await connection.send(["ok", dict(await self._handlers[name](**params))])
            else:
                raise UsageError(f"this node does not answer {name!r}")
        except MeshError as error:
            await connection.send(_error_message(error))

    async def _stream(self, connection: _Connection, answers: AsyncGenerator[Answer, None]) -> None:
        """Send items as the client deals with them, until either side ends."""
        go_on, asked = trio.open_memory_channel[None](0)
        failure: MeshError | None = None
        async with trio.open_nursery() as nursery, aclosing(answers):
            nursery.start_soon(_watch_client, connection, go_on, nursery.cancel_scope)
            try:
                async for answer in answers:
                    await connection.send(["item", dict(answer)])
                    await asked.receive()
                await connection.send(["end"])
            except MeshError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


async def _watch_client(
    connection: _Connection, go_on: trio.MemorySendChannel[None], scope: trio.CancelScope
) -> None:
    """Pass on each "next"; end the stream when the client goes away or talks nonsense."""
    with contextlib.suppress(LinkError, WireError):
        while await connection.receive() == [NEXT]:
            await go_on.send(None)
    scope.cancel()


def _request(message: list[Any]) -> tuple[str, dict[str, Any]]:
    if len(message) != 3 or message[0] != VERSION or not isinstance(message[1], str):
        raise WireError("not a control request of this version")
    return message[1], control_api.checked(message[1], message[2])


def _error_message(error: MeshError) -> list[object]:
    """The nearest class that the errors module names: more specific ones stay inside a node."""
    for kind in type(error).__mro__:
        if kind.__module__ == errors.__name__:
            return ["error", kind.__name__, str(error)]
    return ["error", MeshError.__name__, str(error)]


def _raised(message: list[Any]) -> MeshError:
    """The inverse; a class that we don't know is still a MeshError."""
    kind = getattr(errors, str(message[1]), None) if len(message) == 3 else None
    if not isinstance(kind, type) or not issubclass(kind, MeshError):
        kind = MeshError
    return kind(str(message[-1]))


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket path that always fits sockaddr_un's 108 bytes, however deep it lies."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[trio.SocketListener]:
    """A listening Unix socket that only this user may connect to."""
    path.unlink(missing_ok=True)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with plain, _short(path) as name:
        plain.bind(name)
        # Before listen: until then nobody can connect, whatever the umask was.
        path.chmod(0o600)
        plain.listen(64)
        yield trio.SocketListener(trio.socket.from_stdlib_socket(plain))


class ControlClient:
    """Asks the node that runs with `state`. Each request is a connection of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    async def call(self, request: str, /, **params: object) -> dict[str, Any]:
        """The answer to a plain request; the node's MeshError, or UsageError if none runs."""
        stream, connection = await self._request(request, params)
        async with stream:
            kind, value = _answer_parts(await connection.receive())
        if kind != "ok":
            raise WireError(f"{request} was answered by {kind!r}")
        return value

    async def stream(
        self, request: str, /, **params: object
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Items as they come. Asking for the next one tells the node that this one is done.

        Use it under `contextlib.aclosing`, or let it run to its end.
        """
        stream, connection = await self._request(request, params)
        async with stream:
            while True:
                kind, value = _answer_parts(await connection.receive())
                if kind != "item":
                    return
                yield value
                await connection.send([NEXT])

    async def _request(
        self, name: str, params: Mapping[str, object]
    ) -> tuple[trio.SocketStream, _Connection]:
        stream = await self._connect()
        connection = _Connection(stream)
        try:
            await connection.send([VERSION, name, dict(params)])
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream, connection

    async def _connect(self) -> trio.SocketStream:
        path = self.state / SOCKET_NAME
        unix = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short(path) as name:
                await unix.connect(name)
        except OSError as error:
            unix.close()
            raise _unreachable(self.state, error) from error
        except BaseException:
            unix.close()
            raise
        return trio.SocketStream(unix)


def _unreachable(state: Path, error: OSError) -> UsageError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"the node with state {state} belongs to another user")
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
        start = f"{COMMAND} join --state {shlex.quote(str(state))}"
        return UsageError(f"no node runs here (state {state}); start one with: {start}")
    return UsageError(f"cannot reach the node with state {state}: {error.strerror}")


def _answer_parts(message: list[Any] | None) -> tuple[str, dict[str, Any]]:
    """Kind and value of a node's message; raises the error that it carries."""
    if message is None:
        raise LinkError("the node ended before it answered")
    if message[0] == "error":
        raise _raised(message)
    value = message[1] if len(message) > 1 else {}
    if not isinstance(value, dict):
        raise WireError("a control answer must be a mapping")
    return str(message[0]), cast(dict[str, Any], value)
