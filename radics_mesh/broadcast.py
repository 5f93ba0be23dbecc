"""News for any number of listeners, of whom a slow one loses the oldest and holds up nobody."""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

T = TypeVar("T")
BUFFERED_MAX = 256


class Broadcast(Generic[T]):
    def __init__(self) -> None:
        self._ends: list[tuple[trio.MemorySendChannel[T], trio.MemoryReceiveChannel[T]]] = []

    def listen(self) -> trio.MemoryReceiveChannel[T]:
        """Everything told from now on; close it to stop listening.

        Once BUFFERED_MAX news wait, each further one pushes the oldest out. So a listener should
        take news as a hint to look at the present state, not add them up.
        """
        sender, receiver = trio.open_memory_channel[T](BUFFERED_MAX)
        # A second receiving end lets us take the oldest out.
        self._ends.append((sender, receiver.clone()))
        return receiver

    def tell(self, news: T) -> None:
        for end in list(self._ends):
            sender, oldest = end
            if sender.statistics().open_receive_channels < 2:
                sender.close()
                oldest.close()
                self._ends.remove(end)
                continue
            try:
                sender.send_nowait(news)
            except trio.WouldBlock:
                oldest.receive_nowait()
                sender.send_nowait(news)
