"""The channel's bytes, written against guest_lib/include/radics_abi.h alone."""

from __future__ import annotations

import struct
import zlib
from typing import Any

HELLO, OUT_ACK, DATA, PARK, STAGE, ERROR = 1, 2, 3, 4, 5, 7
HELLO_ACK, STREAM, OUT, PARKED, PANIC, CHANGED = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86
ERROR_BACK = 0x87
LOG, SEND, SUBSCRIBE, EXIT, REQUEST, SERVE, CLOSE, CHECKPOINT, HINT = 1, 2, 3, 4, 5, 6, 7, 8, 9
REPLIES, STDIN = 62, 63
STACKS, STACKS_BACK = 6, 0x88


def cobs(data: bytes) -> bytes:
    out = bytearray()
    for part in data.split(b"\0"):
        while len(part) >= 254:
            out += b"\xff" + part[:254]
            part = part[254:]
        out += bytes([len(part) + 1]) + part
    return bytes(out)


def uncobs(data: bytes) -> bytes | None:
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        if at + code > len(data):
            return None
        out += data[at + 1 : at + code]
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(kind: int, body: bytes) -> bytes:
    raw = bytes([kind, 0]) + body
    return cobs(raw + struct.pack("<I", zlib.crc32(raw))) + b"\0"


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<H", len(raw)) + raw


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> Any:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0]

    def raw(self, n: int) -> bytes:
        self.at += n
        assert self.at <= len(self.data)
        return self.data[self.at - n : self.at]

    def text(self) -> str:
        return self.raw(self.take("H")).decode()

    def blob(self) -> bytes:
        return self.raw(self.take("I"))
