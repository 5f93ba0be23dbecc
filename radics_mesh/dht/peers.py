"""Addresses that outlive the routing table.

In a partition every contact fails and the table empties; after a restart it is empty to begin with.
The peer book remembers who answered where, on disk, and says whom to try again and when. Hearsay
(node lists of others) does not get in: only who was met does.

File form: msgpack [version, [[node id, numeric address, port], ...]], least recently met first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog

from radics_mesh.codec import Fields, pack
from radics_mesh.dht.rpc import is_usable
from radics_mesh.durable import write_durably
from radics_mesh.errors import WireError
from radics_mesh.ids import ID_BYTES
from radics_mesh.link import SocketAddress

log = structlog.get_logger(__name__)

VERSION = 1
PEERS_MAX = 256
# Waits between two tries of one address: from the first, doubling to the last.
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 8.0
# Addresses tried at once.
ROUND_MAX = 8


@dataclass
class _Try:
    due: float = 0.0
    wait_s: float = RETRY_FIRST_S


class PeerBook:
    """Sans-IO but for `load` and `save`; `now` is any clock that does not step."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._met: OrderedDict[bytes, SocketAddress] = OrderedDict()
        self._tries: dict[SocketAddress, _Try] = {}
        self._saved: frozenset[tuple[bytes, SocketAddress]] = frozenset()

    def __len__(self) -> int:
        return len(self._met)

    def met_at(self) -> list[tuple[bytes, SocketAddress]]:
        return list(self._met.items())

    def met(self, node_id: bytes, address: SocketAddress) -> None:
        """The node was there just now."""
        self._met[node_id] = address
        self._met.move_to_end(node_id)
        self._tries.pop(address, None)
        if len(self._met) > PEERS_MAX:
            self._met.popitem(last=False)

    def due(
        self,
        now: float,
        fixed: Collection[SocketAddress],
        connected: Collection[SocketAddress],
    ) -> list[SocketAddress]:
        """Whom to try now, never who is connected. Counts as tried. `fixed`: always candidates."""
        candidates = dict.fromkeys((*fixed, *reversed(self._met.values())))
        waiting = [address for address in candidates if address not in connected]
        self._tries = {a: t for a, t in self._tries.items() if a in candidates}
        tries = [(self._tries.setdefault(address, _Try()), address) for address in waiting]
        ready = sorted((t.due, n, a) for n, (t, a) in enumerate(tries) if t.due <= now)
        chosen = [address for _, _, address in ready[:ROUND_MAX]]
        for address in chosen:
            tried = self._tries[address]
            tried.due = now + tried.wait_s
            tried.wait_s = min(2 * tried.wait_s, RETRY_MAX_S)
        return chosen

    def load(self) -> None:
        """What the last run met. A missing or damaged file is an empty book."""
        if self._path is None or not self._path.exists():
            return
        try:
            self._parse(self._path.read_bytes())
        except WireError as error:
            log.warning("peer book ignored", path=str(self._path), reason=str(error))

    def _parse(self, data: bytes) -> None:
        fields = Fields.parse(data, "peer book")
        fields.integer(VERSION, VERSION)
        for item in fields.items(limit=PEERS_MAX):
            peer = Fields(item, "peer")
            node_id = peer.blob(ID_BYTES)
            address = (peer.text(limit=64), peer.integer(1, 65535))
            if is_usable(address):
                self._met[node_id] = address
        self._saved = frozenset(self._met.items())

    def save(self) -> None:
        """Write it durably if anybody was added or moved; blocks while the disk syncs."""
        current = frozenset(self._met.items())
        if self._path is None or current == self._saved:
            return
        peers = [[node_id, host, port] for node_id, (host, port) in self._met.items()]
        write_durably(self._path, pack([VERSION, peers]), mode=0o600)
        self._saved = current
