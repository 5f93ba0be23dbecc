"""The channel's frames: bytes to typed values and back. Layouts stand in radics_abi.h.

Host frames are only encoded here, guest frames only decoded. What comes from a guest is untrusted:
`decode` gives a value or WireError, whatever the bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm import abi, cobs
from radics_mesh.vmm.body import Body
from radics_mesh.vmm.changed import ChangedFrame
from radics_mesh.vmm.outputs import Output, read_output
from radics_mesh.vmm.threads import ThreadTold, read_told

_CRC_BYTES = 4


@dataclass(frozen=True)
class Hello:
    """Who the VM is and where it runs now; `out_acked`: its outputs durable on this host.

    argv, environment ("K=V"), sources and `has_stdin` count only at a program's first start.
    `branch`: how often the VM was set back to an earlier state. `checkpoint`: the output that asked
    for one which has ended, with this errno (0: it is durable); number 0: there is none to tell of.
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
    branch: int = 0
    checkpoint: int = 0
    checkpoint_error: int = 0
    has_stdin: bool = False


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
    """Where the guest stands: numbers up to `have` are in its memory, up to `done` taken.

    `source`: the service's name when `kind` is abi.KIND_SERVICE. Kind 0: mailbox or subscription.
    """

    stream: int
    have: int
    done: int
    source: str = ""
    kind: int = 0


@dataclass(frozen=True)
class HelloAck:
    """`checkpoint`: the output whose end the program waits for, 0: none."""

    major: int
    minor: int
    nonce: int
    state: int
    out_next: int
    streams: tuple[StreamState, ...]
    checkpoint: int = 0


@dataclass(frozen=True)
class ParkedFrame:
    nonce: int
    memory_bytes: int


@dataclass(frozen=True)
class Panic:
    text: str


@dataclass(frozen=True)
class Complaint:
    """The guest dropped a frame of ours: abi.E_*, its type (0: unknown), see radics_abi.h."""

    code: int
    frame_type: int
    detail: int
    text: str


GuestFrame = (
    HelloAck | StreamState | Output | ParkedFrame | ChangedFrame | ThreadTold | Panic | Complaint
)


class BadFrame(WireError):
    """A frame that means nothing, as the ERROR that answers it says: abi.E_*, type, detail."""

    def __init__(self, text: str, code: int, frame_type: int, detail: int) -> None:
        super().__init__(text)
        self.code = code
        self.frame_type = frame_type
        self.detail = detail


def decode(encoded: bytes) -> GuestFrame:
    """The frame between two zero bytes; BadFrame. Unknown trailing bytes of a body are ignored."""
    content = _content(encoded)
    kind, body = content[0], content[2:]
    parse = _GUEST_FRAMES.get(kind)
    if parse is None:
        raise BadFrame("frame: unknown type", abi.E_TYPE, kind, len(body))
    try:
        return parse(Body(body))
    except WireError as error:
        raise BadFrame(str(error), abi.E_BODY, kind, len(body)) from error


def _content(encoded: bytes) -> bytes:
    """Type, flags and body of a frame whose CRC is right."""
    try:
        frame = cobs.decode(encoded)
    except WireError as error:
        raise BadFrame(str(error), abi.E_FRAME, 0, len(encoded)) from error
    if not 2 + _CRC_BYTES <= len(frame) <= abi.FRAME_MAX:
        raise BadFrame("frame: impossible length", abi.E_FRAME, 0, len(frame))
    content = frame[:-_CRC_BYTES]
    if zlib.crc32(content) != int.from_bytes(frame[-_CRC_BYTES:], "little"):
        raise BadFrame("frame: bad CRC", abi.E_FRAME, 0, len(frame))
    return content


def _hello_ack(body: Body) -> HelloAck:
    major, minor, nonce = body.integer(2), body.integer(2), body.integer(8)
    if major != abi.ABI_MAJOR:  # the rest of another major version means nothing here
        return HelloAck(major, minor, nonce, 0, 0, ())
    state, out_next, count = body.integer(1), body.integer(8), body.integer(2)
    if count > abi.STREAMS_MAX:
        raise WireError("hello: too many streams")
    streams = []
    for _ in range(count):
        stream, source = body.stream(), body.name()
        streams.append(StreamState(stream, body.integer(8), body.integer(8), source))
    checkpoint = body.integer(8) if minor else 0
    streams += _others(body) if minor else []
    return HelloAck(major, minor, nonce, state, out_next, tuple(streams), checkpoint)


def _others(body: Body) -> list[StreamState]:
    """The second list of a hello's answer: services and reserved streams."""
    count = body.integer(2)
    if count > abi.STREAMS_MAX:
        raise WireError("hello: too many streams")
    streams = []
    for _ in range(count):
        stream, kind, name = body.stream(), body.integer(1), body.name()
        have, done = body.integer(8), body.integer(8)
        if stream and kind:  # else of a later version
            streams.append(StreamState(stream, have, done, name, kind))
    return streams


def _stream(body: Body) -> StreamState:
    return StreamState(body.stream(), body.integer(8), body.integer(8))


def parse_told(body: bytes) -> ThreadTold:
    """The body of a STACKS_BACK frame."""
    return read_told(Body(body))


def _changed(body: Body) -> ChangedFrame:
    nonce, since = body.integer(8), body.integer(8)
    return ChangedFrame(nonce, since, body.integer(4), body.integer(4), body.blob())


_GUEST_FRAMES: dict[int, Callable[[Body], GuestFrame]] = {
    abi.F_HELLO_ACK: _hello_ack,
    abi.F_STREAM: _stream,
    abi.F_OUT: read_output,
    abi.F_PARKED: lambda body: ParkedFrame(body.integer(8), body.integer(8)),
    abi.F_CHANGED: _changed,
    abi.F_STACKS_BACK: read_told,
    abi.F_PANIC: lambda body: Panic(body.raw(body.integer(2)).decode("utf-8", "replace")),
    abi.F_ERROR_BACK: lambda body: Complaint(
        body.integer(1), body.integer(1), body.integer(8), body.text()
    ),
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
        + struct.pack(
            "<IQIB",
            *(hello.branch, hello.checkpoint, hello.checkpoint_error, hello.has_stdin),
        )
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


def encode_stacks(nonce: int) -> bytes:
    return _encode(abi.F_STACKS, struct.pack("<Q", nonce))


def encode_error(code: int, frame_type: int, detail: int, text: str) -> bytes:
    return _encode(abi.F_ERROR, struct.pack("<BBQ", code, frame_type, detail) + _text(text))


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
