"""The failure detector's datagrams, each with as many words as fit DATAGRAM_MAX_BYTES. Sans-IO.

Forms (msgpack), `words` being an array of packed words:
  ping   [0, nonce, words]                                   acknowledge this
  ack    [1, nonce, key, incarnation, signature, words]      passed on as it is by helpers
  ask    [2, nonce, node id, words]                          ping it for me (SWIM section 3.1)
  nack   [3, nonce]                                          it did not answer me (LHA-Probe)
  news   [4, words]
  sync   [5, tags, answers, words]      the words held, a tag of TAG_BYTES for each: send me others
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.gossip.words import (
    INCARNATION_MAX,
    NONCE_BYTES,
    Acknowledgement,
    Alive,
    Word,
    parse_word,
)
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES
from radics_mesh.ids import ID_BYTES, NodeId

# With the seal (41) and the headers of UDP and IPv6 (48) it passes every link of 1280 bytes.
DATAGRAM_MAX_BYTES = 1150
WORDS_MAX = 16
TAG_BYTES = 4
TAGS_MAX = 192
_PING, _ACK, _ASK, _NACK, _NEWS, _SYNC = range(6)
# An array of at most 16 and the length of a word of at most 255 bytes.
_ARRAY_BYTES, _WORD_HEAD_BYTES = 3, 2


@dataclass(frozen=True)
class Ping:
    nonce: bytes
    words: list[Word]


@dataclass(frozen=True)
class Ack:
    proof: Acknowledgement
    words: list[Word]


@dataclass(frozen=True)
class Ask:
    nonce: bytes
    target: NodeId
    words: list[Word]


@dataclass(frozen=True)
class Nack:
    nonce: bytes


@dataclass(frozen=True)
class News:
    words: list[Word]


@dataclass(frozen=True)
class Sync:
    tags: frozenset[bytes]
    # It answers another one, and wants none.
    answers: bool
    words: list[Word]


Message = Ping | Ack | Ask | Nack | News | Sync


def tag(word: Alive) -> bytes:
    """Short, as many go in one datagram; two words with one tag are told apart by later ones."""
    named = word.key + word.incarnation.to_bytes(8, "big") + bytes((word.left,))
    return hashlib.sha256(named).digest()[:TAG_BYTES]


def parse(datagram: bytes) -> Message:
    """WireError for all that is no message."""
    fields = Fields.parse(datagram, "gossip", limit_bytes=DATAGRAM_MAX_BYTES)
    kind = fields.integer(_PING, _SYNC)
    message = _PARSERS[kind](fields)
    fields.end()
    return message


def _parse_ack(fields: Fields) -> Ack:
    proof = Acknowledgement(
        fields.blob(NONCE_BYTES),
        fields.blob(KEY_BYTES),
        fields.integer(0, INCARNATION_MAX),
        fields.blob(SIGNATURE_BYTES),
    )
    return Ack(proof, _words(fields))


def _parse_ask(fields: Fields) -> Ask:
    return Ask(fields.blob(NONCE_BYTES), NodeId(fields.blob(ID_BYTES)), _words(fields))


def _parse_sync(fields: Fields) -> Sync:
    tags = fields.blob(limit=TAGS_MAX * TAG_BYTES)
    if len(tags) % TAG_BYTES:
        raise WireError("tags of another length")
    cut = frozenset(tags[at : at + TAG_BYTES] for at in range(0, len(tags), TAG_BYTES))
    return Sync(cut, fields.boolean(), _words(fields))


def _words(fields: Fields) -> list[Word]:
    items = fields.items(limit=WORDS_MAX)
    blobs = Fields(items, "words")
    return [parse_word(blobs.blob()) for _ in items]


def _parse_ping(fields: Fields) -> Ping:
    return Ping(fields.blob(NONCE_BYTES), _words(fields))


def _parse_nack(fields: Fields) -> Nack:
    return Nack(fields.blob(NONCE_BYTES))


def _parse_news(fields: Fields) -> News:
    return News(_words(fields))


_PARSERS: list[Callable[[Fields], Message]] = [
    _parse_ping,
    _parse_ack,
    _parse_ask,
    _parse_nack,
    _parse_news,
    _parse_sync,
]


# --- made here: a head, and words in the order of their worth, as many as there is room for -------


def ping_head(nonce: bytes) -> list[object]:
    return [_PING, nonce]


def ack_head(proof: Acknowledgement) -> list[object]:
    return [_ACK, proof.nonce, proof.key, proof.incarnation, proof.signature]


def ask_head(nonce: bytes, target: NodeId) -> list[object]:
    return [_ASK, nonce, bytes(target)]


def nack(nonce: bytes) -> bytes:
    return pack([_NACK, nonce])


def news_head() -> list[object]:
    return [_NEWS]


def sync_head(words: Iterable[Alive], *, answers: bool) -> list[object]:
    tags = [tag(word) for word in words][:TAGS_MAX]
    return [_SYNC, b"".join(tags), answers]


def room_after(head: list[object], limit_bytes: int = DATAGRAM_MAX_BYTES) -> int:
    """How many bytes of words go with it (see `cost`)."""
    return limit_bytes - len(pack(head)) - _ARRAY_BYTES


def cost(packed: bytes) -> int:
    return len(packed) + _WORD_HEAD_BYTES


def datagram(head: list[object], words: list[bytes]) -> bytes:
    return pack([*head, words])
