"""The guest's side of the channel in Python: the other party of the protocol, for tests.

It keeps the numbers and memory that the library OS keeps, by the rules in radics_abi.h.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from radics_mesh.vmm import abi, cobs


def frame(kind: int, body: bytes) -> bytes:
    content = bytes((kind, 0)) + body
    return cobs.encode(content + zlib.crc32(content).to_bytes(4, "little")) + b"\0"


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<H", len(raw)) + raw


def blob(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def log_body(value: bytes, level: int = 0) -> bytes:
    return bytes((abi.OUT_LOG, level)) + blob(value)


def send_body(to: str, payload: bytes, lifetime_s: int = 0) -> bytes:
    return bytes((abi.OUT_SEND,)) + text(to) + struct.pack("<I", lifetime_s) + blob(payload)


def subscribe_body(stream: int, source: str) -> bytes:
    return struct.pack("<BH", abi.OUT_SUBSCRIBE, stream) + text(source)


def exit_body(status: int, how: int = 0, why: str = "") -> bytes:
    return struct.pack("<BBI", abi.OUT_EXIT, how, status) + text(why)


@dataclass
class TwinStream:
    source: str = ""
    have: int = 0
    done: int = 0
    waiting: list[tuple[int, int, str, str, bytes]] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    peak_bytes: int = 0

    def take(self) -> bytes:
        _, _, _, _, payload = self.waiting.pop(0)
        self.done += 1
        self.taken.append(payload)
        return payload


class Guest:
    """`send` collects bytes for the host; `receive` eats the host's. Never loses its memory."""

    def __init__(self) -> None:
        self.state = 0
        self.out: dict[int, bytes] = {}
        self.out_number = 0
        self.streams: dict[int, TwinStream] = {0: TwinStream()}
        self.hellos: list[bytes] = []
        self.parked = False
        self.minor = 1
        self.checkpoint = 0
        # The second list of the answer to hello: stream to kind, name, have, done.
        self.others: dict[int, tuple[int, str, int, int]] = {}
        self.errors: list[bytes] = []
        self.stages: list[tuple[int, int]] = []  # asked for: nonce, known
        self.deaf_to_stages = False
        self.stacks_lost = 0
        self.dropped = 0
        self._input = b""
        self.send = bytearray()

    def reconnect(self) -> None:
        """What was on the wire is gone."""
        self._input = b""
        self.send.clear()

    def output(self, body: bytes) -> int:
        self.out_number += 1
        self.out[self.out_number] = body
        self._emit(self.out_number)
        return self.out_number

    def subscribe(self, stream: int, source: str) -> None:
        self.streams[stream] = TwinStream(source)
        self.output(subscribe_body(stream, source))

    def report(self, stream: int) -> None:
        told = self.streams[stream]
        self.send += frame(abi.F_STREAM, struct.pack("<HQQ", stream, told.have, told.done))

    def _emit(self, number: int) -> None:
        self.send += frame(abi.F_OUT, struct.pack("<Q", number) + self.out[number])

    def receive(self, data: bytes) -> None:
        *complete, self._input = (self._input + data).split(b"\0")
        for encoded in complete:
            if encoded:
                self._frame(encoded)

    def _frame(self, encoded: bytes) -> None:
        content = cobs.decode(encoded)
        assert len(content) <= abi.FRAME_MAX
        content, crc = content[:-4], content[-4:]
        if zlib.crc32(content).to_bytes(4, "little") != crc:
            self.dropped += 1
            return
        if self.parked:
            return
        kind, body = content[0], content[2:]
        {
            abi.F_HELLO: self._hello,
            abi.F_OUT_ACK: self._out_ack,
            abi.F_DATA: self._data,
            abi.F_PARK: self._park,
            abi.F_STAGE: self._stage,
            abi.F_STACKS: self._stacks,
            abi.F_ERROR: self.errors.append,
        }[kind](body)

    def _hello(self, body: bytes) -> None:
        self.hellos.append(body)
        _, _, nonce, _, _, acked = struct.unpack_from("<HHQQQQ", body)
        self._forget(acked)
        first = min(self.out, default=self.out_number + 1)
        ack = struct.pack("<HHQBQH", 1, self.minor, nonce, self.state, first, len(self.streams))
        for stream, told in self.streams.items():
            ack += struct.pack("<H", stream) + text(told.source)
            ack += struct.pack("<QQ", told.have, told.done)
        if self.minor:
            ack += struct.pack("<QH", self.checkpoint, len(self.others))
            for stream, (kind, name, have, done) in self.others.items():
                ack += struct.pack("<HB", stream, kind) + text(name)
                ack += struct.pack("<QQ", have, done)
        self.send += b"\0" + frame(abi.F_HELLO_ACK, ack)
        self.state = 1
        for number in sorted(self.out):
            self._emit(number)

    def _out_ack(self, body: bytes) -> None:
        self._forget(struct.unpack_from("<Q", body)[0])

    def _forget(self, acked: int) -> None:
        self.out = {number: out for number, out in self.out.items() if number > acked}

    def _data(self, body: bytes) -> None:
        stream, first, count = struct.unpack_from("<HQH", body)
        told, at = self.streams[stream], 12
        for number in range(first, first + count):
            flags = body[at]
            sender, at = _text(body, at + 1)
            to, at = _text(body, at)
            (length,) = struct.unpack_from("<I", body, at)
            payload = body[at + 4 : at + 4 + length]
            at += 4 + length
            if number == told.have + 1:
                told.have = number
                told.waiting.append((number, flags, sender, to, payload))
            else:
                self.dropped += 1
        held = sum(len(item[4]) + abi.MESSAGE_OVERHEAD for item in told.waiting)
        told.peak_bytes = max(told.peak_bytes, held)

    def changed(self, nonce: int, since: int) -> bytes:
        return frame(abi.F_CHANGED, struct.pack("<QQIII8s", nonce, since, 64, 0, 8, b"\1" * 8))

    def _stage(self, body: bytes) -> None:
        self.stages.append(struct.unpack("<QQ", body))
        if not self.deaf_to_stages:
            self.send += self.changed(*self.stages[-1])

    def _stacks(self, body: bytes) -> None:
        """Two threads; `stacks_lost`: so many frames do not get through."""
        for index in (0, 1):
            if self.stacks_lost:
                self.stacks_lost -= 1
                continue
            thread = struct.pack("<QIH4sBI", 0x1000, 5 + index, 4, b"some", index, 202)
            thread += struct.pack("<7QB2QQI", *range(6), 77, 2, 8, 9, 0x7000, 3) + b"abc"
            self.send += frame(abi.F_STACKS_BACK, body[:8] + struct.pack("<HH", 2, index) + thread)

    def _park(self, body: bytes) -> None:
        self.parked = True
        if self.minor:
            self.send += self.changed(*struct.unpack("<QQ", body))
        self.send += frame(abi.F_PARKED, body[:8] + struct.pack("<Q", 8 << 20))


def _text(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<H", body, at)
    return body[at + 2 : at + 2 + length].decode(), at + 2 + length
