"""Which piece is asked of whom: with any fates of requests, the image becomes whole."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import PeerError, WireError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.images.fetch import IN_FLIGHT, PATIENCE_MAX_S, Fetch
from radics_mesh.images.messages import (
    Describe,
    Described,
    Lack,
    Message,
    Piece,
    Push,
    Taken,
    Want,
    encode,
    parse,
)
from radics_mesh.vmm.image_manifest import ImageManifest, Wishes, cut, sign
from radics_mesh.vmm.images import inspect
from tests.images.world import PIECES, image
from tests.members import member

IMAGE = image()
IDENTITY, CHAIN = member(1)
SIGNED = sign(IMAGE, inspect(IMAGE), Wishes("app", 8 << 20, ("a",), ("s",)), 7, IDENTITY, CHAIN)
MANIFEST = SIGNED.manifest
PARTS = cut(IMAGE)
NODES = [NodeId(bytes([n]) * 20) for n in range(5)]


@given(st.integers(0, 1 << 32), st.integers(1, 5), st.floats(0, 0.9))
def test_it_becomes_whole_whatever_is_lost(seed: int, holders: int, loss: float) -> None:
    random, fetch, now = Random(seed), Fetch(MANIFEST), 0.0
    for node in NODES[:holders]:
        fetch.found(node, now)
    while not fetch.is_whole:
        asked = list(fetch.ask(now))
        assert len({p for _, pieces in asked for p in pieces}) == sum(len(p) for _, p in asked)
        for node, pieces in asked:
            assert len(pieces) <= IN_FLIGHT
            for index in pieces:
                if random.random() >= loss and fetch.came(node, index, PARTS[index], now):
                    fetch.kept(index)
        if not fetch.is_whole:
            assert now < 200 * PATIENCE_MAX_S
            now = max(now, fetch.next_deadline())


def test_holders_share_the_work() -> None:
    fetch = Fetch(MANIFEST)
    for node in NODES[:3]:
        fetch.found(node, 0.0)
    assert sorted(len(pieces) for _, pieces in fetch.ask(0.0)) == [3, 3, 3]
    assert list(fetch.ask(0.0)) == []


def test_what_a_silent_holder_owes_goes_to_another() -> None:
    fetch = Fetch(MANIFEST)
    fetch.found(NODES[0], 0.0)
    [(_, owed)] = fetch.ask(0.0)
    assert len(owed) == PIECES
    fetch.found(NODES[1], 1.0)
    assert list(fetch.ask(1.0)) == []
    later = dict(fetch.ask(fetch.next_deadline()))
    assert later[NODES[1]]


def test_an_altered_piece_ends_its_holder() -> None:
    fetch = Fetch(MANIFEST, held=[0, 1])
    fetch.found(NODES[0], 0.0)
    for index, data in ((2, PARTS[3]), (PIECES, b""), (2, b"")):
        with pytest.raises(PeerError, match="altered"):
            fetch.came(NODES[0], index, data, 0.0)
    fetch.found(NODES[0], 0.0)
    assert fetch.holders == ()
    assert len(fetch.lacks) == PIECES - 2


MESSAGES: list[Message] = [
    Describe(MANIFEST.image),
    Described(MANIFEST.image, SIGNED.pack()),
    Lack(MANIFEST.image),
    Want(MANIFEST.image, (0, 8)),
    Piece(MANIFEST.image, 2, b"piece"),
    Push(MANIFEST.image, SIGNED.pack(), pin=True),
    Taken(MANIFEST.image, "no room"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_survive_the_wire(message: Message) -> None:
    assert parse(encode(message)) == message


@given(st.sampled_from(MESSAGES), st.integers(0, 5000), st.integers(1, 255), st.booleans())
def test_damaged_messages_are_refused_or_other_valid_ones(
    message: Message, place: int, change: int, cut_there: bool
) -> None:
    data = bytearray(encode(message))
    if cut_there:
        del data[place % len(data) :]
    else:
        data[place % len(data)] ^= change
    try:
        assert parse(bytes(data)) != message or not cut_there
    except WireError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        ImageManifest.parse(data)


def test_a_manifest_with_a_hash_too_few_is_refused() -> None:
    packed = MANIFEST.pack()
    with pytest.raises(WireError):
        ImageManifest.parse(packed.replace(MANIFEST.hashes, MANIFEST.hashes[:-1] + b""))
    assert MANIFEST.image == Digest.of(IMAGE)
