"""The messages that go down to a guest, sans-IO: what each stream has sent, and has confirmed.

What `channel` promises of messages is kept here; it writes what `deliver` and `resume` return, and
asks the guest when `confirm_at` has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from radics_mesh.clock import Monotonic
from radics_mesh.errors import GuestError, UsageError
from radics_mesh.vmm import abi, frames
from radics_mesh.vmm.frames import BadFrame, Message, StreamState

# Messages unconfirmed for so long: ask. The guest confirms when its program takes them, so a busy
# program is no loss; hence the back-off.
_CONFIRM_FIRST_S, _CONFIRM_MAX_S = 2.0, 32.0


@dataclass
class _Stream:
    source: str = ""
    have: int = 0
    done: int = 0
    sent: int = 0
    # (number, cost, encoded message) of all that is sent and not yet known to be taken.
    items: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    cost: int = 0

    @property
    def window(self) -> int:
        """Bytes that may still go down; 0 while unknown messages wait in the guest."""
        known_from = self.items[0][0] if self.items else self.sent + 1
        if self.done + 1 < known_from:
            return 0
        return max(0, abi.STREAM_WINDOW - self.cost)

    def push(self, message: Message) -> None:
        self.sent += 1
        self.items.append((self.sent, message.cost, frames.encode_message(message)))
        self.cost += message.cost

    def taken(self, have: int, done: int) -> None:
        self.have, self.done = have, done
        while self.items and self.items[0][0] <= done:
            self.cost -= self.items.popleft()[1]

    def unconfirmed(self) -> list[bytes]:
        return [encoded for number, _, encoded in self.items if number > self.have]


class Streams:
    """All streams of one guest, over any number of connections."""

    def __init__(self) -> None:
        self.confirm_at: Monotonic | None = None
        self._streams: dict[int, _Stream] = {0: _Stream()}
        self._known = False  # whether a guest has told its streams since this object was made
        self._confirm_wait_s = _CONFIRM_FIRST_S

    def states(self) -> tuple[StreamState, ...]:
        """Where the guest stands, as far as it has told."""
        return tuple(StreamState(n, s.have, s.done, s.source) for n, s in self._streams.items())

    def window(self, stream: int) -> int:
        """Bytes (payload + MESSAGE_OVERHEAD a message) that may be delivered now."""
        state = self._streams.get(stream)
        return state.window if state is not None else 0

    def open(self, stream: int, source: str, after: int = 0) -> None:
        """The guest has given a stream a meaning; a no-op when it had one."""
        self._streams.setdefault(stream, _Stream(source, after, after, after))

    def close(self, stream: int) -> None:
        self._streams.pop(stream, None)

    def deliver(
        self, stream: int, first: int, messages: Sequence[Message], now: Monotonic
    ) -> tuple[int, bytes]:
        """What the window allows: how many messages, from the first on, and the frames to write.

        Those sent before count as taken. UsageError for a gap.
        """
        state = self._streams.get(stream)
        if state is None:
            return 0, b""
        if first > state.sent + 1:
            raise UsageError(f"stream {stream}: message {first} after {state.sent}")
        taken = min(len(messages), state.sent + 1 - first)
        start, fresh = state.sent + 1, taken
        while taken < len(messages) and messages[taken].cost <= state.window:
            state.push(messages[taken])
            taken += 1
        if taken == fresh:
            return taken, b""
        items = [item[2] for item in list(state.items)[fresh - taken :]]
        if self.confirm_at is None:
            self.confirm_at = Monotonic(now + self._confirm_wait_s)
        return taken, frames.encode_data(stream, start, items)

    def back_off(self) -> None:
        """The guest is asked because `confirm_at` has come: wait longer the next time."""
        self._confirm_wait_s = min(self._confirm_wait_s * 2, _CONFIRM_MAX_S)

    def resume(self, told: StreamState, now: Monotonic) -> tuple[StreamState | None, bytes]:
        """Go back to what the guest's hello says of one stream: what is new of it, what to write.

        BadFrame: impossible. GuestError: it went back behind what it had confirmed.
        """
        state = self._streams.get(told.stream)
        if state is None or not self._known:
            state = _Stream(told.source, told.have, told.done, sent=told.have)
            self._streams[told.stream] = state
        if told.done > told.have or told.have > state.sent:
            raise _impossible(told, abi.F_HELLO_ACK)
        if self._known and (told.have < state.have or told.done < state.done):
            raise GuestError(f"stream {told.stream} went back to {told.have} from {state.have}")
        moved = (told.have, told.done) != (state.have, state.done)
        state.source = state.source or told.source
        state.taken(told.have, told.done)
        again = frames.encode_data(told.stream, told.have + 1, state.unconfirmed())
        self._rearm(now)
        report = StreamState(told.stream, told.have, told.done, state.source) if moved else None
        return report, again

    def resumed(self) -> None:
        """The guest's hello has been gone through: from now on each stream is known."""
        self._known = True

    def progress(self, told: StreamState, now: Monotonic) -> StreamState | None:
        """What a report of the guest's says anew; None: nothing. BadFrame: impossible."""
        state = self._streams.get(told.stream)
        if state is None or not state.done <= told.done <= told.have <= state.sent:
            raise _impossible(told, abi.F_STREAM)
        if told.have < state.have or (told.have, told.done) == (state.have, state.done):
            return None
        if told.have > state.have:
            self._confirm_wait_s = _CONFIRM_FIRST_S
        state.taken(told.have, told.done)
        self._rearm(now)
        return StreamState(told.stream, told.have, told.done, state.source)

    def _rearm(self, now: Monotonic) -> None:
        """Set the time at which unconfirmed messages make us ask."""
        waiting = any(state.have < state.sent for state in self._streams.values())
        self.confirm_at = Monotonic(now + self._confirm_wait_s) if waiting else None


def _impossible(told: StreamState, frame_type: int) -> BadFrame:
    return BadFrame("stream: impossible report", abi.E_STREAM, frame_type, told.stream)
