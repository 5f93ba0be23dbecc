from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from radics_mesh.codec import pack
from radics_mesh.dht.peers import PEERS_MAX, RETRY_MAX_S, ROUND_MAX, PeerBook
from tests.dht.world import at, node_id


def test_it_outlives_a_restart(tmp_path: Path) -> None:
    book = PeerBook(tmp_path / "peers")
    for number in range(3):
        book.met(node_id(number), at(number))
    book.save()
    again = PeerBook(tmp_path / "peers")
    again.load()
    assert again.due(0.0, [], []) == [at(2), at(1), at(0)]


def test_it_writes_only_changes(tmp_path: Path) -> None:
    book = PeerBook(tmp_path / "peers")
    book.met(node_id(1), at(1))
    book.save()
    (tmp_path / "peers").unlink()
    book.met(node_id(1), at(1))
    book.save()
    assert not (tmp_path / "peers").exists()
    book.met(node_id(1), at(2))
    book.save()
    assert (tmp_path / "peers").exists()


@pytest.mark.parametrize(
    "content", [b"", b"junk", pack([1, [[b"short", "10.0.0.1", 1]]]), pack([9, []])]
)
def test_a_damaged_file_is_an_empty_book(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "peers").write_bytes(content)
    book = PeerBook(tmp_path / "peers")
    book.load()
    assert len(book) == 0


def test_tries_grow_rarer_and_never_end() -> None:
    book = PeerBook(None)
    book.met(node_id(1), at(1))
    tried = [now for now in range(100) if book.due(float(now), [], [])]
    gaps = [b - a for a, b in itertools.pairwise(tried)]
    assert gaps[:4] == [1, 2, 4, 8]
    assert max(gaps) == RETRY_MAX_S
    book.met(node_id(1), at(1))
    assert book.due(100.0, [], []) == [at(1)]


def test_who_is_connected_is_not_tried() -> None:
    book = PeerBook(None)
    book.met(node_id(1), at(1))
    assert book.due(0.0, [at(2)], [at(1)]) == [at(2)]


def test_it_is_bounded_and_so_is_a_round() -> None:
    book = PeerBook(None)
    for number in range(PEERS_MAX + 50):
        book.met(node_id(number), at(number))
    assert len(book) == PEERS_MAX
    first, second = book.due(0.0, [], []), book.due(0.0, [], [])
    assert len(first) == ROUND_MAX
    assert not set(first) & set(second)
