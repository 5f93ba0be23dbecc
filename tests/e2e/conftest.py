from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scenarios.peers import Peer, stop_all

MakePeer = Callable[[str], Peer]


@pytest.fixture
async def make_peer(tmp_path: Path) -> AsyncIterator[MakePeer]:
    """Makes peers in this test's directory; all that were started are stopped at its end."""
    made: list[Peer] = []

    def make(name: str) -> Peer:
        peer = Peer(name, tmp_path)
        made.append(peer)
        return peer

    yield make
    await stop_all(made)
