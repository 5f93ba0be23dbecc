"""The host's side of a guest's channel, sans-IO.

What holds, whatever the guest sends, loses or repeats:

- Outputs are handed up in order, each once. `_received` is the last one handed up, `_acked` the
  last one that our caller called durable; the guest repeats everything above `_acked` after each
  hello. A number already received is dropped as a duplicate, a number beyond the next is refused
  (a frame was lost) and a new hello makes the guest go back.
- Messages go down in order. Each stream keeps what the guest does not have for certain (`items`),
  and goes back to the guest's `have` at each hello. At most STREAM_WINDOW bytes are beyond `done`.
- After a fresh start of this side (adoption, warm start) the guest's memory holds messages whose
  sizes only it knows; the window stays shut until the program has taken them.
- Nothing lasts that the guest could not have caused on purpose: a lying guest harms itself only.
- What is wrong with a frame is counted, and told to a guest that would understand (ERROR), a few at
  a time. What it tells of ours is counted too; nothing follows from it.

A hello is repeated (with back-off) until it is answered. It is also how we ask after losses: any
sign of one (a bad frame, a gap, messages that the guest does not confirm) starts a new one.

GuestError is raised where going on is impossible: another major version, outputs that neither side
can produce any more, a stream that went back behind what it confirmed, more output than the window.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import GuestError, UsageError
from radics_mesh.vmm import abi, cobs, frames
from radics_mesh.vmm.changed import Assembly, Changed, ChangedFrame
from radics_mesh.vmm.frames import Hello, HelloAck, Message, Output, StreamState
from radics_mesh.vmm.threads import ThreadTold

# A guest keeps its unacknowledged output below its window, but for its last words.
_UNACKNOWLEDGED_MAX = abi.OUT_WINDOW + abi.FRAME_MAX
# What a frame that means nothing costs us beside its bytes; a repeated one costs little.
_BAD_FRAME_COST, _DUPLICATE_COST = 256, 16
# A guest that reads nothing is told of no more errors once so much waits for it.
_OUTPUT_FULL = 1 << 16
_ENCODED_MAX = cobs.encoded_max(abi.FRAME_MAX)
_HELLO_FIRST_S, _HELLO_MAX_S = 0.5, 8.0
# Messages unconfirmed for so long: ask. The guest confirms when its program takes them, so a busy
# program is no loss; hence the back-off.
_CONFIRM_FIRST_S, _CONFIRM_MAX_S = 2.0, 32.0
# A guest answers a stage as soon as it is in its kernel; a lost answer is asked for again.
_STAGE_AGAIN_S = 1.0

FRESH, RUNNING, WARM = 0, 1, 2

_COMPLAINTS = {
    abi.E_FRAME: "frame",
    abi.E_TYPE: "type",
    abi.E_BODY: "body",
    abi.E_SEQUENCE: "sequence",
    abi.E_STREAM: "stream",
}


@dataclass(frozen=True)
class Ready:
    """The guest answered the first hello of a connection. Feed each stream from have + 1 on.

    `state`: FRESH (just booted), RUNNING (it had talked to a host before), WARM (warm start).
    `checkpoint`: the output whose checkpoint the program waits for, 0: none.
    """

    state: int
    out_next: int
    streams: tuple[StreamState, ...]
    checkpoint: int = 0


@dataclass(frozen=True)
class Parked:
    """The program has stopped and its memory will not change any more.

    `changed`: what has changed since the stage that `park` named; None: the guest did not say.
    """

    memory_bytes: int
    changed: Changed | None = None


@dataclass(frozen=True)
class Panicked:
    """The library OS itself failed; the VM ends."""

    text: str


Event = Ready | Output | StreamState | Changed | Parked | Panicked | ThreadTold


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


class Channel:
    """One guest's channel over any number of connections.

    Feed it `connected`, `received`, `disconnected` and `poll`; after each call `outgoing` has the
    bytes to write, and `deadline` the time of the next `poll`.
    """

    def __init__(self, hello: Hello, random: Callable[[int], bytes]) -> None:
        """UsageError when the hello does not fit its frame."""
        self.hello = hello
        self.counters: Counter[str] = Counter()
        self.ready = False
        self._random = random
        self._received = self._acked = hello.out_acked
        self._streams: dict[int, _Stream] = {0: _Stream()}
        self._known = False  # whether a guest has told its streams since this object was made
        self._connected = False
        self._input = bytearray()
        self._skipping = False  # until the next delimiter: what came was too long for a frame
        self._first = True  # a connection may begin in the middle of a frame
        self._output = bytearray()
        self._nonce: int | None = None  # of the hello that waits for its answer
        self._asked_at = Monotonic(0.0)
        self._hello_at = Monotonic(0.0)
        self._hello_wait_s = _HELLO_FIRST_S
        self._confirm_at: Monotonic | None = None
        self._confirm_wait_s = _CONFIRM_FIRST_S
        self._park_nonce: int | None = None
        self._park_known = 0
        self._stage: tuple[int, int] | None = None  # own and known nonce of what is asked
        self._stage_at: Monotonic | None = None
        self._assembly = Assembly()
        self._last_changed: Changed | None = None
        self.minor = 0  # of the guest's version
        self._ack_due = False
        self._errors = abi.ERRORS_BURST
        self._errors_at = Monotonic(0.0)
        # Frames of the guest's that meant nothing, over all connections, and what they cost in
        # bytes; repetitions count a little.
        self.bad_frames = self.garbage_bytes = 0
        # (number, bytes) of outputs that were handed up and are not acknowledged.
        self._unacknowledged: deque[tuple[int, int]] = deque()
        self._unacknowledged_bytes = 0
        self._hello_frame(0, Wall(0.0))

    # --- connections and time ---

    def connected(self, now: Monotonic, wall: Wall) -> None:
        self._connected, self.ready = True, False
        self._input.clear()
        self._output[:] = b"\0"
        self._skipping, self._first = False, True
        self._ack_due = False
        self._ask(now, wall)

    def disconnected(self) -> None:
        self._connected = self.ready = False
        self._nonce = self._confirm_at = self._stage_at = None
        self._output.clear()

    @property
    def deadline(self) -> Monotonic | None:
        """When `poll` wants to be called, if nothing happens before."""
        if not self._connected:
            return None
        if self._nonce is not None:
            return self._hello_at
        return min(
            (at for at in (self._confirm_at, self._stage_at) if at is not None), default=None
        )

    def poll(self, now: Monotonic, wall: Wall) -> None:
        """Do what is due: repeat an unanswered hello, ask after unconfirmed messages."""
        due = self.deadline
        if due is None or now < due:
            return
        if self._stage_at is not None and self._stage_at <= now and self._nonce is None:
            self._ask_stage(now)
        elif self._nonce is None:
            self._confirm_wait_s = min(self._confirm_wait_s * 2, _CONFIRM_MAX_S)
            self._ask(now, wall)
        else:
            self._output += self._hello_frame(self._nonce, wall)
            self._hello_wait_s = min(self._hello_wait_s * 2, _HELLO_MAX_S)
            self._hello_at = Monotonic(now + self._hello_wait_s)

    def silent_s(self, now: Monotonic) -> float:
        """For how long the guest has owed an answer; 0 when it owes none."""
        return 0.0 if self._nonce is None else max(0.0, now - self._asked_at)

    def outgoing(self) -> bytes:
        """Take the bytes that are to be written now."""
        if self._ack_due:  # one for all since the last one that was written
            self._output += frames.encode_out_ack(self._acked)
            self._ack_due = False
        taken = bytes(self._output)
        self._output.clear()
        return taken

    def _ask(self, now: Monotonic, wall: Wall) -> None:
        self._nonce = int.from_bytes(self._random(8), "little")
        self._hello_wait_s = _HELLO_FIRST_S
        self._asked_at = now
        self._hello_at = Monotonic(now + self._hello_wait_s)
        self._output += self._hello_frame(self._nonce, wall)

    def _hello_frame(self, nonce: int, wall: Wall) -> bytes:
        return frames.encode_hello(
            self.hello,
            nonce=nonce,
            wall_ns=max(0, int(wall * 1e9)),
            out_acked=self._acked,
            seed=self._random(32),
        )

    def tell(self, hello: Hello, now: Monotonic, wall: Wall) -> None:
        """Say hello anew, with what has changed. UsageError when it does not fit its frame."""
        self.hello = hello
        if self._connected:
            self._ask(now, wall)

    # --- what our side wants ---

    def acknowledge(self, number: int) -> None:
        """Outputs up to `number` are durable. Lower than before is a no-op."""
        if number > self._received:
            raise UsageError(f"output {number} is acknowledged before it came")
        if number > self._acked:
            self._acked = number
            self._ack_due = self._connected
            while self._unacknowledged and self._unacknowledged[0][0] <= number:
                self._unacknowledged_bytes -= self._unacknowledged.popleft()[1]

    @property
    def acknowledged(self) -> int:
        return self._acked

    def streams(self) -> tuple[StreamState, ...]:
        """Where the guest stands, as far as it has told."""
        return tuple(StreamState(n, s.have, s.done, s.source) for n, s in self._streams.items())

    def window(self, stream: int) -> int:
        """Bytes (payload + MESSAGE_OVERHEAD a message) that may be delivered now."""
        state = self._streams.get(stream)
        return state.window if state is not None and self.ready else 0

    def deliver(self, stream: int, first: int, messages: Sequence[Message], now: Monotonic) -> int:
        """Send what the window allows; how many messages, from the first on, were taken.

        Those sent before count as taken. UsageError for a gap.
        """
        state = self._streams.get(stream)
        if state is None or not self.ready:
            return 0
        if first > state.sent + 1:
            raise UsageError(f"stream {stream}: message {first} after {state.sent}")
        taken = min(len(messages), state.sent + 1 - first)
        start, fresh = state.sent + 1, taken
        while taken < len(messages) and messages[taken].cost <= state.window:
            state.push(messages[taken])
            taken += 1
        if taken > fresh:
            items = [item[2] for item in list(state.items)[fresh - taken :]]
            self._write(frames.encode_data(stream, start, items))
            if self._confirm_at is None:
                self._confirm_at = Monotonic(now + self._confirm_wait_s)
        return taken

    def park(self, known: int = 0) -> None:
        """Ask the guest to stop for good; a Parked event answers. Asked again on reconnection.

        `known`: the last stage of which the caller has the changes.
        """
        if self._park_nonce is None:
            self._park_nonce = self._number()
        self._park_known = known
        self._write(frames.encode_park(self._park_nonce, known))

    @property
    def can_stage(self) -> bool:
        """Whether the guest is there, and of a version that can say which pages change."""
        return self.ready and self.minor >= 1

    def stage(self, known: int, now: Monotonic) -> None:
        """Ask what has changed since the caller's stage `known`; a Changed event answers.

        Asked again, until it is answered, when the answer is lost. One at a time: an earlier
        question is forgotten. UsageError unless `can_stage`.
        """
        if not self.can_stage:
            raise UsageError("the guest cannot say which of its pages have changed")
        self._stage = 0, known
        self._ask_stage(now)

    def _ask_stage(self, now: Monotonic) -> None:
        """Each time under another number: parts of two answers must not be taken for one."""
        assert self._stage is not None
        self._stage = self._number(), self._stage[1]
        self._stage_at = Monotonic(now + _STAGE_AGAIN_S)
        self._write(frames.encode_stage(*self._stage))

    def ask_threads(self) -> int:
        """Ask what every thread does; ThreadTold events with this number answer, if none is lost.

        UsageError when the guest is not there, or of a version that does not know.
        """
        if not self.ready or self.minor < 1:
            raise UsageError("the guest cannot say what its threads do")
        nonce = self._number()
        self._write(frames.encode_stacks(nonce))
        return nonce

    def _number(self) -> int:
        return int.from_bytes(self._random(8), "little") or 1

    def _write(self, data: bytes) -> None:
        if self._connected:
            self._output += data

    # --- what the guest sends ---

    def received(self, data: bytes, now: Monotonic, wall: Wall) -> list[Event]:
        """Events in the order in which they happened. GuestError: see the module's docstring."""
        *complete, rest = data.split(b"\0")
        events: list[Event] = []
        for part in complete:
            self._collect(part, now)
            encoded = bytes(self._input)
            self._input.clear()
            if self._skipping:
                self._skipping = False
            elif encoded:
                events += self._frame(encoded, now, wall)
        self._collect(rest, now)
        return events

    def _collect(self, part: bytes, now: Monotonic) -> None:
        if len(self._input) + len(part) > _ENCODED_MAX:
            if not self._skipping:
                self._bad("frame: too long", abi.E_FRAME, 0, _ENCODED_MAX, now)
            self.garbage_bytes += len(self._input)
            self._input.clear()
            self._skipping = True
        if self._skipping:
            self.garbage_bytes += len(part)
        else:
            self._input += part

    def _frame(self, encoded: bytes, now: Monotonic, wall: Wall) -> list[Event]:
        first, self._first = self._first, False
        try:
            frame = frames.decode(encoded)
        except frames.BadFrame as error:
            if first:
                return []
            self.garbage_bytes += len(encoded)
            self._bad(str(error), error.code, error.frame_type, error.detail, now)
            self._lost(now, wall)
            return []
        match frame:
            case HelloAck():
                return self._answered(frame, now)
            case frames.Panic():
                return [Panicked(frame.text)]
        # What comes from before this connection comes again after the hello.
        if not self.ready:
            return []
        # An output as the guest counts it: kind and body, without number, CRC and stuffing.
        size_bytes = max(1, len(encoded) - len(encoded) // 254 - 15)
        return self._said(frame, size_bytes, now, wall)

    def _said(
        self, frame: frames.GuestFrame, size_bytes: int, now: Monotonic, wall: Wall
    ) -> list[Event]:
        match frame:
            case Output():
                return self._out(frame, size_bytes, now, wall)
            case StreamState():
                return self._progress(frame, now)
            case ChangedFrame():
                return self._changed(frame)
            case frames.ParkedFrame():
                return self._parked(frame)
            case ThreadTold():
                return [frame]
            case frames.Complaint():
                return self._complained(frame)
            case _:
                return []

    def _complained(self, complaint: frames.Complaint) -> list[Event]:
        self._count(f"guest complains: {_COMPLAINTS.get(complaint.code, 'otherwise')}")
        return []

    def _count(self, reason: str) -> None:
        self.counters[reason] += 1

    def _bad(self, reason: str, code: int, frame_type: int, detail: int, now: Monotonic) -> None:
        """Count a frame that meant nothing, and tell the guest, if not too often."""
        self._count(reason)
        self.bad_frames += 1
        self.garbage_bytes += _BAD_FRAME_COST
        grown = int(now - self._errors_at)
        if grown > 0:
            self._errors_at = Monotonic(self._errors_at + grown)
            self._errors = min(abi.ERRORS_BURST, self._errors + grown)
        if self.minor < 1 or not self.ready or len(self._output) > _OUTPUT_FULL:
            return
        if self._errors:
            self._errors -= 1
            text = f"{reason}, {self.counters[reason]} so far"
            self._write(frames.encode_error(code, frame_type, detail, text))

    def _lost(self, now: Monotonic, wall: Wall) -> None:
        """Something did not arrive: ask, unless an answer is awaited anyhow."""
        if self._nonce is None:
            self._ask(now, wall)

    def _answered(self, ack: HelloAck, now: Monotonic) -> list[Event]:
        if ack.major != abi.ABI_MAJOR:
            raise GuestError(f"the guest speaks channel version {ack.major}, not {abi.ABI_MAJOR}")
        if ack.nonce != self._nonce:
            reason = "hello: answer to another hello"
            self._bad(reason, abi.E_SEQUENCE, abi.F_HELLO_ACK, self._nonce or 0, now)
            return []
        if ack.out_next > self._received + 1:
            raise GuestError(f"outputs {self._received + 1} to {ack.out_next - 1} are lost")
        self._nonce = self._confirm_at = None
        self.minor = ack.minor
        changed = [event for state in ack.streams if (event := self._resume(state, now))]
        self._known = True
        if self.ready:
            return changed
        self.ready = True
        if self._park_nonce is not None:
            self.park(self._park_known)
        elif self._stage is not None:
            self._ask_stage(now)
        return [Ready(ack.state, ack.out_next, ack.streams, ack.checkpoint)]

    def _resume(self, told: StreamState, now: Monotonic) -> Event | None:
        """Go back to what the guest has of one stream."""
        state = self._streams.get(told.stream)
        if state is None or not self._known:
            state = _Stream(told.source, told.have, told.done, sent=told.have)
            self._streams[told.stream] = state
        if told.done > told.have or told.have > state.sent:
            self._count("stream: impossible report")
            return None
        if self._known and (told.have < state.have or told.done < state.done):
            raise GuestError(f"stream {told.stream} went back to {told.have} from {state.have}")
        moved = (told.have, told.done) != (state.have, state.done)
        state.source = state.source or told.source
        state.taken(told.have, told.done)
        self._write(frames.encode_data(told.stream, told.have + 1, state.unconfirmed()))
        self._rearm(now)
        return StreamState(told.stream, told.have, told.done, state.source) if moved else None

    def _rearm(self, now: Monotonic) -> None:
        """Set the time at which unconfirmed messages make us ask."""
        waiting = any(state.have < state.sent for state in self._streams.values())
        self._confirm_at = Monotonic(now + self._confirm_wait_s) if waiting else None

    def _out(self, output: Output, size_bytes: int, now: Monotonic, wall: Wall) -> list[Event]:
        if output.number <= self._received:
            self.counters["duplicates"] += 1
            self.garbage_bytes += _DUPLICATE_COST
            return []
        if output.number > self._received + 1:
            due = self._received + 1
            self._bad("output: gap", abi.E_SEQUENCE, abi.F_OUT, due, now)
            self._lost(now, wall)
            return []
        self._received = output.number
        self._unacknowledged.append((output.number, size_bytes))
        self._unacknowledged_bytes += size_bytes
        if self._unacknowledged_bytes > _UNACKNOWLEDGED_MAX:
            raise GuestError(f"more than {_UNACKNOWLEDGED_MAX} bytes of output at once")
        body = output.body
        match body:
            case frames.Subscribe(stream, source, at):
                self._streams.setdefault(stream, _Stream(source, at, at, at))
            case frames.Serve(stream, service):
                self._streams.setdefault(stream, _Stream(service))
            case frames.Close(stream):
                self._streams.pop(stream, None)
        return [output]

    def _progress(self, told: StreamState, now: Monotonic) -> list[Event]:
        state = self._streams.get(told.stream)
        if state is None or not state.done <= told.done <= told.have <= state.sent:
            self._bad("stream: impossible report", abi.E_STREAM, abi.F_STREAM, told.stream, now)
            return []
        if told.have < state.have or (told.have, told.done) == (state.have, state.done):
            self.garbage_bytes += _DUPLICATE_COST
            return []
        if told.have > state.have:
            self._confirm_wait_s = _CONFIRM_FIRST_S
        state.taken(told.have, told.done)
        self._rearm(now)
        return [StreamState(told.stream, told.have, told.done, state.source)]

    def _parked(self, frame: frames.ParkedFrame) -> list[Event]:
        if self._park_nonce is None or frame.nonce != self._park_nonce:
            self._count("parked: unasked")
            return []
        changed, parked = self._last_changed, self._park_nonce
        self._park_nonce = self._last_changed = None
        matches = changed is not None and changed.stage == parked
        return [Parked(frame.memory_bytes, changed if matches else None)]

    def _changed(self, frame: ChangedFrame) -> list[Event]:
        asked = frame.nonce in (self._park_nonce, self._stage[0] if self._stage else None)
        report = self._assembly.add(frame) if asked else None
        if report is None:
            return []
        if report.stage == self._park_nonce:
            self._last_changed = report  # it comes just before PARKED
            return []
        self._stage = self._stage_at = None
        return [report]
