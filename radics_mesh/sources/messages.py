"""What two nodes' `sources` services say to each other, one message a bundle.

Wire forms (msgpack arrays). All begin [type, source, subscriber EID, epoch, attachment, ...]:
  1 SUBSCRIBE    serial, acknowledged, have, ownership (packed chain, empty for a node's service)
  2 DATA         first, [message, ...], end
  3 ACK          number
  4 UNSUBSCRIBE  serial, acknowledged
  5 REFUSED      reason
(epoch, attachment) is the fence: the epoch is the VM's, the attachment counts a host's attempts
within it. `serial` orders the requests of one attachment, since bundles overtake each other.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid
from radics_mesh.membership import cut
from radics_mesh.ownership import CHAIN_MAX_BYTES
from radics_mesh.paths import NAME_MAX_BYTES

MESSAGE_MAX_BYTES = 65536  # RADICS_MESSAGE_MAX of guest_lib's radics_abi.h
# Payload bytes of one DATA, so that a bundle stays small enough for any link to send whole. A
# single longer message travels alone.
BATCH_MAX_BYTES = 48 * 1024
_BATCH_MAX_MESSAGES = 16384
_WIRE_MAX_BYTES = BATCH_MAX_BYTES + MESSAGE_MAX_BYTES + 8 * _BATCH_MAX_MESSAGES
_HIGHEST = 1 << 62
WHY_MAX_BYTES = 255


class Refusal(enum.IntEnum):
    UNKNOWN_SOURCE = 1  # not published here (any more): look in the directory again
    SUPERSEDED = 2  # the VM has subscribed from elsewhere at a higher fence: stop
    BEHIND = 3  # a message of this epoch with a higher attachment was seen: attach again
    DENIED = 4  # not for this VM: `why` names the rule


@dataclass(frozen=True, order=True)
class Fence:
    """Who may speak for a subscriber: the highest that ever spoke."""

    epoch: int
    attachment: int


@dataclass(frozen=True)
class Key:
    """One subscription as both sides name it."""

    source: str
    subscriber: Eid
    fence: Fence


@dataclass(frozen=True)
class Subscribe:
    """A request, or the reminder of one: what came so far, what of it is durable."""

    key: Key
    serial: int
    acknowledged: int
    have: int
    ownership: bytes


@dataclass(frozen=True)
class Data:
    """Messages first, first + 1, ... None at all: a sign of life. `end`: no message follows."""

    key: Key
    first: int
    messages: tuple[bytes, ...]
    end: bool


@dataclass(frozen=True)
class Ack:
    key: Key
    number: int


@dataclass(frozen=True)
class Unsubscribe:
    key: Key
    serial: int
    acknowledged: int


@dataclass(frozen=True)
class Refused:
    """`key.fence` is the one refused; `held` the one that the publisher holds instead."""

    key: Key
    reason: Refusal
    held: Fence
    # Of what is denied only; for people.
    why: str = ""


Message = Subscribe | Data | Ack | Unsubscribe | Refused


def encode(message: Message) -> bytes:
    key = message.key
    head = [key.source, str(key.subscriber), key.fence.epoch, key.fence.attachment]
    match message:
        case Subscribe():
            return pack(
                [
                    1,
                    *head,
                    message.serial,
                    message.acknowledged,
                    message.have,
                    message.ownership,
                ]
            )
        case Data():
            return pack([2, *head, message.first, list(message.messages), message.end])
        case Ack():
            return pack([3, *head, message.number])
        case Unsubscribe():
            return pack([4, *head, message.serial, message.acknowledged])
        case Refused():
            held = [message.held.epoch, message.held.attachment]
            why = [cut(message.why, WHY_MAX_BYTES)] if message.reason is Refusal.DENIED else []
            return pack([5, *head, int(message.reason), *held, *why])


def parse(payload: bytes) -> Message:
    """The message in a bundle's payload; WireError for anything else."""
    fields = Fields.parse(payload, "sources message", limit_bytes=_WIRE_MAX_BYTES)
    kind = fields.integer(1, 5)
    key = Key(
        fields.text(limit=NAME_MAX_BYTES),
        Eid(fields.text()),
        _parse_fence(fields),
    )
    message = _parse_rest(kind, key, fields)
    fields.end()
    return message


def _parse_rest(kind: int, key: Key, fields: Fields) -> Message:
    if kind == 1:
        return _parse_subscribe(key, fields)
    if kind == 2:
        return _parse_data(key, fields)
    if kind == 3:
        return Ack(key, fields.integer(0, _HIGHEST))
    if kind == 4:
        return Unsubscribe(key, fields.integer(), fields.integer(0, _HIGHEST))
    try:
        reason = Refusal(fields.integer())
    except ValueError as error:
        raise WireError(f"sources message: {error}") from error
    held = _parse_fence(fields)
    return Refused(
        key, reason, held, fields.text(limit=WHY_MAX_BYTES) if reason is Refusal.DENIED else ""
    )


def _parse_fence(fields: Fields) -> Fence:
    return Fence(fields.integer(0, 1 << 32), fields.integer(0, _HIGHEST))


def _parse_subscribe(key: Key, fields: Fields) -> Subscribe:
    message = Subscribe(
        key,
        fields.integer(),
        fields.integer(0, _HIGHEST),
        fields.integer(0, _HIGHEST),
        fields.blob(limit=CHAIN_MAX_BYTES),
    )
    if message.have < message.acknowledged:
        raise WireError("sources message: acknowledged more than came")
    return message


def _parse_data(key: Key, fields: Fields) -> Data:
    first = fields.integer(1, _HIGHEST)
    messages: list[bytes] = []
    for item in fields.items(limit=_BATCH_MAX_MESSAGES):
        if not isinstance(item, bytes) or len(item) > MESSAGE_MAX_BYTES:
            raise WireError("sources message: a message is no bytes or too long")
        messages.append(item)
    return Data(key, first, tuple(messages), fields.boolean())
