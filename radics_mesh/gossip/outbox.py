"""What the failure detector sends: datagrams, each filled up with news. Sans-IO."""

from __future__ import annotations

from radics_mesh.gossip import messages
from radics_mesh.gossip.beliefs import Beliefs
from radics_mesh.gossip.messages import DATAGRAM_MAX_BYTES, WORDS_MAX
from radics_mesh.link import SocketAddress


class Outbox:
    """Counts in the counters of `beliefs`, whose rumours it spreads."""

    def __init__(self, beliefs: Beliefs) -> None:
        self._beliefs = beliefs
        # Datagrams to send, in order.
        self.datagrams: list[tuple[bytes, SocketAddress]] = []

    def take(self) -> list[tuple[bytes, SocketAddress]]:
        taken, self.datagrams = self.datagrams, []
        return taken

    def send(
        self,
        head: list[object],
        address: SocketAddress,
        also: list[bytes] | None = None,
        limit: int = DATAGRAM_MAX_BYTES,
    ) -> bool:
        """With `also` and news, as far as the limit allows; False when not even the head fits."""
        room = messages.room_after(head, limit)
        if room < 0:
            self._beliefs.counters["unproved"] += 1
            return False
        words = self._beliefs.rumours.choose(room, self._beliefs.size, also or [])
        self.put(messages.datagram(head, words), address)
        return True

    def send_words(self, words: list[bytes], address: SocketAddress, limit: int) -> list[bytes]:
        """As many as fit one datagram; the others."""
        room, count = messages.room_after(messages.news_head(), limit), 0
        while count < min(len(words), WORDS_MAX) and messages.cost(words[count]) <= room:
            room -= messages.cost(words[count])
            count += 1
        if count:
            self.put(messages.datagram(messages.news_head(), words[:count]), address)
        return words[count:]

    def put(self, datagram: bytes, address: SocketAddress) -> None:
        self._beliefs.counters["datagrams_out"] += 1
        self._beliefs.counters["bytes_out"] += len(datagram)
        self.datagrams.append((datagram, address))
