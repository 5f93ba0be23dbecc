"""The filter never forgets, and rarely cries wolf."""

from __future__ import annotations

import hashlib

from radics_mesh.dtn.storage.filter import Filter


def hashed(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()[:16]


def test_what_was_added_is_in_it_and_little_else() -> None:
    filled = Filter(hashed(n) for n in range(20_000))
    assert all(hashed(n) in filled for n in range(20_000))
    assert sum(hashed(n) in filled for n in range(20_000, 40_000)) < 20
    assert hashed(1) not in Filter()
