"""Sealed streams between members: the handshake and libsodium's secretstream over TCP.

On the wire, after the handshake (radics_mesh.handshake; its second and third message with a u16
length before them): in each direction a secretstream header (24 bytes), then records of a u32
length and so many bytes (at most RECORD_MAX_BYTES of content and 17 of tag and MAC). Records
cannot be altered, dropped, repeated or reordered; an end without a record tagged FINAL was cut
off and is an error, not an end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio
from nacl import bindings
from nacl.exceptions import CryptoError

from radics_mesh.config import Address
from radics_mesh.errors import LinkError, WireError
from radics_mesh.handshake import (
    HELLO_BYTES,
    MESSAGE_MAX_BYTES,
    SESSION_MAGIC,
    Established,
    Initiator,
    Responder,
)
from radics_mesh.ids import NodeId
from radics_mesh.link import SocketAddress, plain, tcp_rtt_s
from radics_mesh.me import Me

# The first bytes of a stranger's stream (radics_mesh.admission).
ADMISSION_MAGIC = b"RDa\x01"
MAGIC_BYTES = 4
# A member answers within a round trip; strangers get no longer to hold a socket.
HANDSHAKE_TIMEOUT_S = 10.0
DIAL_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0
RECORD_MAX_BYTES = 1 << 16
_OVERHEAD_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_HEADER_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_MESSAGE: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_READ_BYTES = 1 << 18
_T = TypeVar("_T")


class ByteStream(Protocol):
    """What a session needs of a stream: trio.SocketStream, SealedStream and test streams."""

    async def send_all(self, data: bytes) -> None: ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class AdmissionRequest:
    """A stranger's stream, ADMISSION_MAGIC already read."""

    stream: ByteStream
    remote: SocketAddress


class SealedStream(trio.abc.Stream):
    """A stream whose other end is proved to be `peer`.

    Follows trio.abc.Stream: BrokenResourceError when the link broke, was cut or was tampered
    with, b"" at an orderly end. A cancelled `send_all` leaves the stream unusable for sending.
    """

    def __init__(self, stream: ByteStream, established: Established, remote: SocketAddress) -> None:
        self.peer = established.peer
        self.peer_chain = established.chain
        self.remote = remote
        # Where the peer says that it listens.
        self.listens = (
            Address(remote[0], established.listen_port) if established.listen_port else None
        )
        self._stream = stream
        self._out = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._in = bindings.crypto_secretstream_xchacha20poly1305_state()
        self._header = bindings.crypto_secretstream_xchacha20poly1305_init_push(
            self._out, established.send_key
        )
        self._receive_key = established.receive_key
        self._buffer = bytearray()
        self._sending = False
        self._broken = False
        self._ended = False

    @property
    def rtt_s(self) -> float | None:
        return tcp_rtt_s(self._stream)

    async def exchange_headers(self) -> None:
        """The last step of the handshake: its arrival says that the peer accepted us."""
        await self._stream.send_all(self._header)
        header = await read_exactly(self._stream, _HEADER_BYTES)
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(
            self._in, header, self._receive_key
        )

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        if self._broken:
            raise trio.BrokenResourceError("an earlier send was cut short")
        records = b"".join(
            self._seal(bytes(data[at : at + RECORD_MAX_BYTES]), _MESSAGE)
            for at in range(0, len(data), RECORD_MAX_BYTES)
        )
        await self._send_records(records)

    async def _send_records(self, records: bytes) -> None:
        self._sending = self._broken = True
        try:
            await self._stream.send_all(records)
            self._broken = False
        finally:
            self._sending = False

    def _seal(self, content: bytes, tag: int) -> bytes:
        record = bindings.crypto_secretstream_xchacha20poly1305_push(self._out, content, None, tag)
        return len(record).to_bytes(4, "big") + record

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next record's content; b"" at the orderly end. `max_bytes` is not heeded."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._ended:
            record = self._next_record()
            if record is None:
                await self._read_more()
                continue
            content = self._open(record)
            if content:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return content
        return b""

    def _next_record(self) -> bytes | None:
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if not _OVERHEAD_BYTES <= length <= RECORD_MAX_BYTES + _OVERHEAD_BYTES:
            raise trio.BrokenResourceError(f"a sealed record of {length} bytes")
        if len(self._buffer) < 4 + length:
            return None
        record = bytes(memoryview(self._buffer)[4 : 4 + length])
        del self._buffer[: 4 + length]
        return record

    def _open(self, record: bytes) -> bytes:
        try:
            content, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._in, record, None
            )
        except (CryptoError, RuntimeError) as error:
            raise trio.BrokenResourceError("a sealed record was tampered with") from error
        self._ended = tag == _FINAL
        return bytes(content)

    async def _read_more(self) -> None:
        data = await self._stream.receive_some(_READ_BYTES)
        if not data:
            raise trio.BrokenResourceError("the stream was cut off")
        self._buffer += data

    async def aclose(self) -> None:
        """Say that this is the end, if the link still takes it within a second, and close."""
        try:
            if not self._sending and not self._broken:
                with trio.move_on_after(_CLOSE_TIMEOUT_S):
                    await self._send_records(self._seal(b"", _FINAL))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True
        finally:
            await self._stream.aclose()


async def connect(
    address: Address,
    me: Me,
    *,
    expect: NodeId | None,
    listen_port: int = 0,
    local_host: str | None = None,
) -> SealedStream:
    """Dial a member. LinkError when nobody is there, PeerError when it is not who it should be.

    `listen_port` tells the peer where we listen; `local_host` is the address to dial from.
    """
    stream = await dial(address, local_host)
    try:
        remote = plain(stream.socket.getpeername())
        return await initiate(stream, me, remote, expect, listen_port)
    except OSError as error:  # it has gone between the two calls
        await trio.aclose_forcefully(stream)
        raise LinkError(f"nobody stays at {address}: {reason_of(error)}") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


async def dial(address: Address, local_host: str | None = None) -> trio.SocketStream:
    """A TCP connection; LinkError with the reason when there is none to be had."""
    try:
        with trio.fail_after(DIAL_TIMEOUT_S):
            stream = await trio.open_tcp_stream(
                address.host, address.port, local_address=local_host
            )
    except (OSError, ExceptionGroup, UnicodeError, trio.TooSlowError) as error:
        raise LinkError(f"nobody answers at {address}: {reason_of(error)}") from error
    return stream


def reason_of(error: BaseException) -> str:
    """One line of an operating system's error."""
    if isinstance(error, trio.TooSlowError):
        return "timed out"
    if isinstance(error, OSError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(getattr(error, "strerror", None) or error)


async def initiate(
    stream: ByteStream,
    me: Me,
    remote: SocketAddress,
    expect: NodeId | None = None,
    listen_port: int = 0,
) -> SealedStream:
    """The dialling side of the handshake over an open stream, in bounded time."""
    initiator = Initiator(me, expect=expect, listen_port=listen_port)

    async def run() -> SealedStream:
        await stream.send_all(initiator.hello())
        await send_message(stream, initiator.answer(await read_message(stream)))
        assert initiator.established is not None
        return await _opened(stream, initiator.established, remote)

    return await _bounded(run)


async def accept(
    stream: ByteStream, me: Me, remote: SocketAddress, *, listen_port: int = 0
) -> SealedStream | AdmissionRequest:
    """Tell a member from a stranger by the stream's first bytes; prove the member.

    LinkError, WireError or PeerError when it is neither; the caller closes the stream.
    """

    async def run() -> SealedStream | AdmissionRequest:
        magic = await read_exactly(stream, MAGIC_BYTES)
        if magic == ADMISSION_MAGIC:
            return AdmissionRequest(stream, remote)
        if magic != SESSION_MAGIC:
            raise WireError("neither a member's session nor an admission request")
        responder = Responder(me, listen_port=listen_port)
        hello = await read_exactly(stream, HELLO_BYTES)
        await send_message(stream, responder.answer(hello))
        established = responder.finish(await read_message(stream))
        return await _opened(stream, established, remote)

    return await _bounded(run)


async def _opened(
    stream: ByteStream, established: Established, remote: SocketAddress
) -> SealedStream:
    sealed = SealedStream(stream, established, remote)
    await sealed.exchange_headers()
    return sealed


async def _bounded(run: Callable[[], Awaitable[_T]]) -> _T:
    """Run a handshake in bounded time; a broken link becomes a LinkError."""
    try:
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            return await run()
    except trio.TooSlowError as error:
        raise LinkError("no handshake in time") from error
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise LinkError(f"the link broke in the handshake: {error}") from error


async def read_exactly(stream: ByteStream, count: int) -> bytes:
    """So many bytes and not one more; LinkError when the stream ends before."""
    data = bytearray()
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise LinkError("the peer hung up")
        data += more
    return bytes(data)


async def send_message(stream: ByteStream, message: bytes) -> None:
    """A u16 length and the message."""
    await stream.send_all(len(message).to_bytes(2, "big") + message)


async def read_message(stream: ByteStream, limit_bytes: int = MESSAGE_MAX_BYTES) -> bytes:
    """What `send_message` sent; WireError when it is longer than it may be."""
    length = int.from_bytes(await read_exactly(stream, 2), "big")
    if length > limit_bytes:
        raise WireError(f"a message of {length} bytes where {limit_bytes} are the most")
    return await read_exactly(stream, length)
