"""Datagrams of rpcudp and the node lists inside them, taken apart without trust.

Wire form, that of rpcudp 5: type (1 byte: 0 call, 1 answer), message id (20 bytes), msgpack.
A call holds [name, [argument, ...]], an answer any one value. Node lists are arrays of
[id (20 bytes), numeric address (text), port]. A stored value is bytes: here always a packed array
of values, each by another publisher, since one key can hold many.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from radics_mesh.codec import Fields, pack, unpack
from radics_mesh.errors import WireError
from radics_mesh.ids import ID_BYTES
from radics_mesh.link import SocketAddress

DATAGRAM_MAX_BYTES = 8192  # rpcudp takes no longer call; an answer should not be longer either
CALL, ANSWER = 0, 1
_HEAD_BYTES = 1 + ID_BYTES
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


@dataclass(frozen=True)
class Answer:
    message_id: bytes
    value: object


def parse(datagram: bytes) -> Call | Answer:
    """WireError for all that is neither."""
    if not _HEAD_BYTES < len(datagram) <= DATAGRAM_MAX_BYTES:
        raise WireError(f"a datagram of {len(datagram)} bytes")
    message_id = datagram[1:_HEAD_BYTES]
    value = unpack(datagram[_HEAD_BYTES:])
    if datagram[0] == ANSWER:
        return Answer(message_id, value)
    if datagram[0] != CALL:
        raise WireError(f"a datagram of type {datagram[0]}")
    fields = Fields(value, "call")
    call = Call(message_id, fields.text(limit=32), fields.items(limit=8))
    fields.end()
    return call


def pack_call(message_id: bytes, name: str, arguments: Sequence[object]) -> bytes:
    """WireError when it is longer than any node takes."""
    datagram = bytes((CALL,)) + message_id + pack([name, list(arguments)])
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


def is_loopback(address: SocketAddress) -> bool:
    """Whether the address means another host to everyone who hears of it."""
    return address[0] == "::1" or address[0].startswith("127.")


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
