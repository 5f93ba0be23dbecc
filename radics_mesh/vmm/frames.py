"""The channel's frames: bytes to typed values and back. Layouts stand in radics_abi.h.

Host frames are only encoded here, guest frames only decoded. What comes from a guest is untrusted:
`decode` gives a value or WireError, whatever the bytes. A numbered output whose body makes no
sense is still a value (`Unreadable`): its number must be acknowledged, or the guest would repeat
it for ever.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm import abi, cobs
from radics_mesh.vmm.changed import ChangedFrame

_CRC_BYTES = 4


@dataclass(frozen=True)
class Hello:
    """Who the VM is and where it runs now; `out_acked`: its outputs durable on this host.

    argv, environment ("K=V") and sources count only at a program's first start.
    """

    vm_name: str
    vm_eid: str
    host_name: str
    host_eid: str
    epoch: int = 1
    out_acked: int = 0
    argv: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """One message for a stream of the guest. `end`: none follows; its payload is empty.

    UsageError when it is over the guest's limits, so each one that exists can be delivered.
    """

    payload: bytes = field(repr=False)
    sender: str = ""
    to: str = ""
    end: bool = False

    def __post_init__(self) -> None:
        if len(self.payload) > abi.MESSAGE_MAX:
            raise UsageError(f"a guest takes messages up to {abi.MESSAGE_MAX} bytes")
        if any(len(name.encode("utf-8")) > abi.NAME_MAX for name in (self.sender, self.to)):
            raise UsageError(f"a guest takes names up to {abi.NAME_MAX} bytes")

    @property
    def cost(self) -> int:
        """What it takes of its stream's window, in bytes."""
        return len(self.payload) + abi.MESSAGE_OVERHEAD


@dataclass(frozen=True)
class StreamState:
    """Where the guest stands: numbers up to `have` are in its memory, up to `done` taken."""

    stream: int
    have: int
    done: int
    source: str = ""


@dataclass(frozen=True)
class HelloAck:
    major: int
    minor: int
    nonce: int
    state: int
    out_next: int
    streams: tuple[StreamState, ...]


@dataclass(frozen=True)
class Log:
    """`level`: 0 stdout, 1 stderr, 2 debug .. 5 error. `text` is whatever bytes it wrote."""

    level: int
    text: bytes


@dataclass(frozen=True)
class Send:
    """`lifetime_s` 0: the node's default."""

    to: str
    lifetime_s: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Subscribe:
    stream: int
    source: str


@dataclass(frozen=True)
class Exit:
    """`how`: 0 exit, 1 signal, 2 out of memory."""

    how: int
    status: int
    why: str


@dataclass(frozen=True)
class Unreadable:
    """An output of a later minor version, or a broken one: acknowledge it, do nothing."""

    kind: int
    reason: str


OutputBody = Log | Send | Subscribe | Exit | Unreadable


@dataclass(frozen=True)
class Output:
    """One of the guest's numbered outputs."""

    number: int
    body: OutputBody


@dataclass(frozen=True)
class ParkedFrame:
    nonce: int
    memory_bytes: int


@dataclass(frozen=True)
class Panic:
    text: str


GuestFrame = HelloAck | StreamState | Output | ParkedFrame | ChangedFrame | Panic


class _Reader:
    """A frame's body, taken apart from the front; WireError when it is too short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def raw(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise WireError("frame: too short")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def integer(self, length: int) -> int:
        return int.from_bytes(self.raw(length), "little")

    def text(self) -> str:
        try:
            text = self.raw(self.integer(2)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("frame: a string is not UTF-8") from error
        if "\0" in text:
            raise WireError("frame: NUL in a string")
        return text

    def name(self) -> str:
        text = self.text()
        if len(text.encode("utf-8")) > abi.NAME_MAX:
            raise WireError("frame: a name is too long")
        return text

    def blob(self) -> bytes:
        return self.raw(self.integer(4))


def decode(encoded: bytes) -> GuestFrame:
    """The frame between two zero bytes. Unknown trailing bytes of a body are ignored."""
    frame = cobs.decode(encoded)
    if not 2 + _CRC_BYTES <= len(frame) <= abi.FRAME_MAX:
        raise WireError("frame: impossible length")
    content = frame[:-_CRC_BYTES]
    if zlib.crc32(content) != int.from_bytes(frame[-_CRC_BYTES:], "little"):
        raise WireError("frame: bad CRC")
    parse = _GUEST_FRAMES.get(content[0])
    if parse is None:
        raise WireError("frame: unknown type")
    return parse(_Reader(content[2:]))


def _hello_ack(body: _Reader) -> HelloAck:
    major, minor, nonce = body.integer(2), body.integer(2), body.integer(8)
    if major != abi.ABI_MAJOR:  # the rest of another major version means nothing here
        return HelloAck(major, minor, nonce, 0, 0, ())
    state, out_next, count = body.integer(1), body.integer(8), body.integer(2)
    if count > abi.STREAMS_MAX:
        raise WireError("hello: too many streams")
    streams = []
    for _ in range(count):
        stream, source = _stream_id(body), body.name()
        streams.append(StreamState(stream, body.integer(8), body.integer(8), source))
    return HelloAck(major, minor, nonce, state, out_next, tuple(streams))


def _stream_id(body: _Reader) -> int:
    stream = body.integer(2)
    if stream >= abi.STREAMS_MAX:
        raise WireError("frame: stream out of range")
    return stream


def _stream(body: _Reader) -> StreamState:
    return StreamState(_stream_id(body), body.integer(8), body.integer(8))


def _output(body: _Reader) -> Output:
    number, kind = body.integer(8), body.integer(1)
    parse = _OUTPUTS.get(kind)
    if parse is None:
        return Output(number, Unreadable(kind, "unknown kind"))
    try:
        return Output(number, parse(body))
    except WireError as error:
        return Output(number, Unreadable(kind, str(error)))


def _send(body: _Reader) -> Send:
    sent = Send(body.name(), body.integer(4), body.blob())
    if len(sent.payload) > abi.MESSAGE_MAX:
        raise WireError("send: payload too long")
    return sent


def _subscribe(body: _Reader) -> Subscribe:
    stream, source = _stream_id(body), body.name()
    if stream == 0 or not source:
        raise WireError("subscribe: no stream or no source")
    return Subscribe(stream, source)


def _changed(body: _Reader) -> ChangedFrame:
    nonce, since = body.integer(8), body.integer(8)
    return ChangedFrame(nonce, since, body.integer(4), body.integer(4), body.blob())


_GUEST_FRAMES: dict[int, Callable[[_Reader], GuestFrame]] = {
    abi.F_HELLO_ACK: _hello_ack,
    abi.F_STREAM: _stream,
    abi.F_OUT: _output,
    abi.F_PARKED: lambda body: ParkedFrame(body.integer(8), body.integer(8)),
    abi.F_CHANGED: _changed,
    abi.F_PANIC: lambda body: Panic(body.raw(body.integer(2)).decode("utf-8", "replace")),
}

_OUTPUTS: dict[int, Callable[[_Reader], OutputBody]] = {
    abi.OUT_LOG: lambda body: Log(body.integer(1), body.blob()),
    abi.OUT_SEND: _send,
    abi.OUT_SUBSCRIBE: _subscribe,
    abi.OUT_EXIT: lambda body: Exit(body.integer(1), body.integer(4), body.text()),
}


def _encode(kind: int, body: bytes) -> bytes:
    content = bytes((kind, 0)) + body
    return cobs.encode(content + zlib.crc32(content).to_bytes(_CRC_BYTES, "little")) + b"\0"


def _text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<H", len(raw)) + raw


def _texts(texts: Sequence[str]) -> bytes:
    return struct.pack("<H", len(texts)) + b"".join(map(_text, texts))


def encode_hello(hello: Hello, *, nonce: int, wall_ns: int, out_acked: int, seed: bytes) -> bytes:
    """UsageError when name, argv, environment and sources together exceed one frame."""
    names = (hello.vm_name, hello.vm_eid, hello.host_name, hello.host_eid)
    body = (
        struct.pack("<HHQQQQ", abi.ABI_MAJOR, abi.ABI_MINOR, nonce, hello.epoch, wall_ns, out_acked)
        + seed
        + b"".join(map(_text, names))
        + _texts(hello.argv)
        + _texts(hello.environment)
        + _texts(hello.sources)
    )
    if len(body) > abi.FRAME_MAX - 2 - _CRC_BYTES:
        raise UsageError("the program's arguments and environment are too long")
    return _encode(abi.F_HELLO, body)


def encode_out_ack(number: int) -> bytes:
    return _encode(abi.F_OUT_ACK, struct.pack("<Q", number))


def encode_park(nonce: int, known: int) -> bytes:
    return _encode(abi.F_PARK, struct.pack("<QQ", nonce, known))


def encode_stage(nonce: int, known: int) -> bytes:
    return _encode(abi.F_STAGE, struct.pack("<QQ", nonce, known))


def encode_message(message: Message) -> bytes:
    """A message as it stands inside a DATA frame."""
    flags = bytes((abi.M_END if message.end else 0,))
    length = struct.pack("<I", len(message.payload))
    return flags + _text(message.sender) + _text(message.to) + length + message.payload


_DATA_ROOM = abi.FRAME_MAX - 2 - _CRC_BYTES - 12


def encode_data(stream: int, first: int, messages: Sequence[bytes]) -> bytes:
    """DATA frames, as few as can be, for consecutive encoded messages."""
    frames = []
    while messages:
        room, count = _DATA_ROOM, 0
        while count < min(len(messages), 0xFFFF) and len(messages[count]) <= room:
            room -= len(messages[count])
            count += 1
        head = struct.pack("<HQH", stream, first, count)
        frames.append(_encode(abi.F_DATA, head + b"".join(messages[:count])))
        first, messages = first + count, messages[count:]
    return b"".join(frames)
