"""Datagrams of rpcudp and the node lists inside them, taken apart without trust.

Wire form, that of rpcudp 5: type (1 byte: 0 call, 1 answer), message id (20 bytes), msgpack.
A call holds [name, [argument, ...]], an answer any one value. Node lists are arrays of
[id (20 bytes), numeric address (text), port]. A stored value is bytes: here always a packed array
of values, each by another publisher, since one key can hold many.

After the msgpack there may be a trailer, which stock nodes do not look at. A call's is a byte of
flags and zeros: PROVE asks for an answer that is proved (radics_mesh.dht.proofs), HELLO says that
the caller has just come and holds little, and the zeros make room, since an address that has not
proved itself gets no answer longer than its call. An answer's trailer is its proof.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from radics_mesh.codec import Fields, pack, unpack, unpack_first
from radics_mesh.errors import WireError
from radics_mesh.ids import ID_BYTES
from radics_mesh.link import SocketAddress

DATAGRAM_MAX_BYTES = 8192  # rpcudp takes no longer call; an answer should not be longer either
CALL, ANSWER = 0, 1
PROVE, HELLO = 1, 2
_HEAD_BYTES = 1 + ID_BYTES
# A first call to an address, so that k nodes (IPv4), and a proof of a usual length, fit the answer.
ROOM_BYTES, ROOM_PROVED_BYTES = 384, 896
# An answer lists k nodes, and stock nodes use k = 20.
NODES_MAX = 32
# Values under one key in one datagram, and their bytes, which leave room for the rest of it.
VALUES_MAX = 16
VALUES_MAX_BYTES = DATAGRAM_MAX_BYTES - 256


@dataclass(frozen=True)
class Call:
    message_id: bytes
    name: str
    arguments: Sequence[object]
    flags: int = 0


@dataclass(frozen=True)
class Answer:
    """`signed` is all of the datagram before the proof."""

    message_id: bytes
    value: object
    signed: bytes = b""
    proof: bytes = b""


def parse(datagram: bytes) -> Call | Answer:
    """WireError for all that is neither."""
    if not _HEAD_BYTES < len(datagram) <= DATAGRAM_MAX_BYTES:
        raise WireError(f"a datagram of {len(datagram)} bytes")
    message_id = datagram[1:_HEAD_BYTES]
    value, trailer = unpack_first(datagram[_HEAD_BYTES:])
    if datagram[0] == ANSWER:
        return Answer(message_id, value, datagram[: len(datagram) - len(trailer)], trailer)
    if datagram[0] != CALL:
        raise WireError(f"a datagram of type {datagram[0]}")
    if trailer[1:].strip(b"\0"):
        raise WireError("a call with something after its end")
    fields = Fields(value, "call")
    flags = trailer[0] if trailer else 0
    call = Call(message_id, fields.text(limit=32), fields.items(limit=8), flags)
    fields.end()
    return call


def pack_call(
    message_id: bytes, name: str, arguments: Sequence[object], *, flags: int = 0, room: int = 0
) -> bytes:
    """At least `room` bytes long; WireError when it is longer than any node takes."""
    datagram = bytes((CALL,)) + message_id + pack([name, list(arguments)])
    if flags or len(datagram) < room:
        datagram = (datagram + bytes((flags,))).ljust(room, b"\0")
    if len(datagram) > DATAGRAM_MAX_BYTES:
        raise WireError(f"a call of {len(datagram)} bytes")
    return datagram


def pack_answer(message_id: bytes, value: object) -> bytes:
    return bytes((ANSWER,)) + message_id + pack(value)


def parse_nodes(value: object) -> list[tuple[bytes, SocketAddress]]:
    """A node list. Unusable entries are left out, an array of something else is a WireError."""
    if not isinstance(value, list) or len(value) > NODES_MAX:
        raise WireError("not a list of nodes")
    found: dict[bytes, SocketAddress] = {}
    for item in value:
        fields = Fields(item, "node")
        node_id, host = fields.blob(ID_BYTES), fields.text(limit=64)
        port = fields.integer()
        fields.end()
        if is_usable((host, port)):
            found.setdefault(node_id, (host, port))
    return list(found.items())


def pack_nodes(nodes: Iterable[tuple[bytes, SocketAddress]]) -> list[list[object]]:
    return [[bytes(node_id), host, port] for node_id, (host, port) in nodes]


def is_usable(address: SocketAddress) -> bool:
    """Whether a datagram can be meant for this address: numeric, of one host, with a port."""
    return 0 < address[1] < 65536 and _is_host(address[0])


@lru_cache(maxsize=4096)
def _is_host(text: str) -> bool:
    try:
        host = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (host.is_multicast or host.is_unspecified or text == "255.255.255.255")


def pack_values(values: Sequence[bytes]) -> bytes:
    """As many of the values, in order, as fit one answer."""
    chosen: list[bytes] = []
    room = VALUES_MAX_BYTES
    for value in values[:VALUES_MAX]:
        room -= len(value) + 5
        if room < 0:
            break
        chosen.append(value)
    return pack(chosen)


def parse_values(value: object) -> list[bytes]:
    """WireError for all that `pack_values` does not make."""
    if not isinstance(value, bytes):
        raise WireError("a stored value that is not bytes")
    items = Fields([unpack(value, limit_bytes=DATAGRAM_MAX_BYTES)], "values")
    return [
        item if isinstance(item, bytes) else _refuse_item()
        for item in items.items(limit=VALUES_MAX)
    ]


def _refuse_item() -> bytes:
    raise WireError("a value that is not bytes")
