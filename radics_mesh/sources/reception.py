"""Sans-IO core of the subscribing side: order, asking again, acknowledging.

Theory. All up to `have` came without gap; all up to `taken` went to the guest's channel; all up to
`acknowledged` is durable there (acknowledged <= taken <= have). DATA may come twice, late, out of
order or never:

- what is not beyond `have` is dropped, and acknowledged again, since the publisher seems not to
  know; what leaves a gap waits aside, within the window;
- the subscriber alone repairs. It asks (SUBSCRIBE with what it has) at the start, soon after a
  gap, and when nothing new has come for a while, ever more rarely. The same request tells the
  publisher that the subscriber lives.

Acknowledgements give the publisher credit. Each is a bundle, so they are gathered: a quarter of
the window or ACK_DELAY_S, whichever is first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from radics_mesh.errors import UsageError
from radics_mesh.sources.messages import (
    Ack,
    Data,
    Fence,
    Key,
    Refusal,
    Refused,
    Subscribe,
    Unsubscribe,
)
from radics_mesh.sources.publication import WINDOW_BYTES

ACK_DELAY_S = 0.25
# A gap is given this long to close by itself: bundles overtake each other.
GAP_S = 2.0
# How soon silence is taken for a loss, and the bound to which this doubles.
SILENCE_FIRST_S = 10.0
SILENCE_MAX_S = 120.0
# Of what came too early, more than this is dropped and asked for again.
_EARLY_MAX_BYTES = 2 * WINDOW_BYTES


@dataclass(frozen=True)
class Batch:
    """Messages first, first + 1, ... `end`: no message follows them."""

    first: int
    messages: Sequence[bytes]
    end: bool


class Reception:
    """One subscription as its subscriber sees it. It begins after message `after`."""

    def __init__(self, key: Key, after: int, ownership: bytes, now: float) -> None:
        self.key = key
        self.have = self.taken = self.acknowledged = after
        self.bytes_received = 0
        # The publisher has a higher fence. Of another epoch: this copy of the VM is an old one.
        self.refused: Refused | None = None
        self._ownership = ownership
        self._end_at: int | None = None
        self._ready: deque[bytes] = deque()
        self._early: dict[int, tuple[bytes, ...]] = {}
        self._early_bytes = 0
        self._sizes: deque[int] = deque()  # of all beyond `acknowledged`, up to `have`
        self._serial = 0
        self._ask_at = now
        self._silence_s = SILENCE_FIRST_S
        self._gap_seen = False
        self._unreported_bytes = 0
        self._ack_at = math.inf

    @property
    def complete(self) -> bool:
        """Whether all there ever will be has come."""
        return self._end_at is not None and self.have >= self._end_at

    # --- from the publisher ---------------------------------------------------------------------

    def data(self, data: Data, now: float) -> bool:
        """Take in what came; whether `take` now has more than before."""
        if data.key != self.key:
            return False
        before = (self.have, self.complete)
        if data.end and self._end_at is None:
            self._end_at = data.first + len(data.messages) - 1
        self._accept(data.first, data.messages, now)
        self._absorb_early(now)
        if (self.have, self.complete) == before:
            return False
        self._silence_s = SILENCE_FIRST_S
        self._gap_seen = bool(self._early)
        silence_s = GAP_S if self._early else SILENCE_FIRST_S
        self._ask_at = math.inf if self.complete else now + silence_s
        return True

    def _accept(self, first: int, messages: tuple[bytes, ...], now: float) -> None:
        if first > self.have + 1:
            self._set_aside(first, messages)
            if not self._gap_seen:
                self._gap_seen = True
                self._ask_at = min(self._ask_at, now + GAP_S)
            return
        fresh = messages[self.have + 1 - first :]
        if messages and not fresh:
            self._ack_at = min(self._ack_at, now + ACK_DELAY_S)
        for message in fresh:
            self._ready.append(message)
            self._sizes.append(len(message))
            self.bytes_received += len(message)
        self.have += len(fresh)

    def _set_aside(self, first: int, messages: tuple[bytes, ...]) -> None:
        size_bytes = sum(map(len, messages))
        fits = self._early_bytes + size_bytes <= _EARLY_MAX_BYTES
        if messages and first not in self._early and fits:
            self._early[first] = messages
            self._early_bytes += size_bytes

    def _absorb_early(self, now: float) -> None:
        while self._early and (first := min(self._early)) <= self.have + 1:
            messages = self._early.pop(first)
            self._early_bytes -= sum(map(len, messages))
            self._accept(first, messages, now)

    def refuse(self, refused: Refused) -> None:
        """The publisher will not serve this fence."""
        if refused.key == self.key and refused.reason is not Refusal.UNKNOWN_SOURCE:
            self.refused = refused

    # --- to the guest ---------------------------------------------------------------------------

    def take(self, max_bytes: int) -> Batch | None:
        """The next messages, at least one, else within `max_bytes`; None: nothing there yet."""
        if not self._ready and not self.complete:
            return None
        first, size_bytes = self.taken + 1, 0
        messages: list[bytes] = []
        while self._ready and (not messages or size_bytes + len(self._ready[0]) <= max_bytes):
            message = self._ready.popleft()
            size_bytes += len(message)
            messages.append(message)
        self.taken += len(messages)
        return Batch(first, messages, self.complete and not self._ready)

    def acknowledge(self, number: int, now: float) -> None:
        """Messages up to `number` are durable at the guest; UsageError for what was not taken."""
        if number > self.taken:
            raise UsageError(f"message {number} was never handed out")
        while self.acknowledged < number:
            self._unreported_bytes += self._sizes.popleft()
            self.acknowledged += 1
            self._ack_at = min(self._ack_at, now + ACK_DELAY_S)
        if self._unreported_bytes >= WINDOW_BYTES // 4 or self.acknowledged == self._end_at:
            self._ack_at = min(self._ack_at, now)

    # --- to the publisher -----------------------------------------------------------------------

    def deadline(self) -> float:
        """When `poll` will have something to say."""
        return min(self._ask_at, self._ack_at)

    def poll(self, now: float) -> Subscribe | Ack | None:
        """What is to be said to the publisher by now."""
        if now >= self._ask_at:
            self._ask_at = now + self._silence_s
            self._silence_s = min(2 * self._silence_s, SILENCE_MAX_S)
            return self._subscribe()
        if now >= self._ack_at:
            self._reported()
            return Ack(self.key, self.acknowledged)
        return None

    def _subscribe(self) -> Subscribe:
        self._serial += 1
        self._reported()
        return Subscribe(self.key, self._serial, self.acknowledged, self.have, self._ownership)

    def _reported(self) -> None:
        self._ack_at = math.inf
        self._unreported_bytes = 0

    def leave(self) -> Unsubscribe:
        """The last word of this subscription."""
        self._serial += 1
        return Unsubscribe(self.key, self._serial, self.acknowledged)

    def reattach(self, fence: Fence, now: float) -> None:
        """Ask again under a higher fence, with what came so far."""
        self.key = Key(self.key.source, self.key.subscriber, fence)
        self.refused = None
        self._silence_s = SILENCE_FIRST_S
        self._ask_at = now
