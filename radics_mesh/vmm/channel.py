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

from collections import deque
from collections.abc import Callable, Sequence

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import GuestError, UsageError
from radics_mesh.vmm import abi, cobs, frames, outputs
from radics_mesh.vmm.changed import ChangedFrame
from radics_mesh.vmm.events import ChannelEvent as Event
from radics_mesh.vmm.events import Panicked, Ready
from radics_mesh.vmm.faults import Faults
from radics_mesh.vmm.frames import Hello, HelloAck, Message, StreamState
from radics_mesh.vmm.outputs import Output
from radics_mesh.vmm.questions import Questions
from radics_mesh.vmm.streams import Streams
from radics_mesh.vmm.threads import ThreadTold

# A guest keeps its unacknowledged output below its window, but for its last words.
_UNACKNOWLEDGED_MAX = abi.OUT_WINDOW + abi.FRAME_MAX
# A guest that reads nothing is told of no more errors once so much waits for it.
_OUTPUT_FULL = 1 << 16
_ENCODED_MAX = cobs.encoded_max(abi.FRAME_MAX)
_HELLO_FIRST_S, _HELLO_MAX_S = 0.5, 8.0


class Channel:
    """One guest's channel over any number of connections.

    Feed it `connected`, `received`, `disconnected` and `poll`; after each call `outgoing` has the
    bytes to write, and `deadline` the time of the next `poll`.
    """

    def __init__(self, hello: Hello, random: Callable[[int], bytes]) -> None:
        """UsageError when the hello does not fit its frame."""
        self.hello = hello
        self.faults = Faults()
        self.ready = False
        self._random = random
        self._received = self._acked = hello.out_acked
        self._streams = Streams()
        self._connected = False
        self._input = bytearray()
        self._skipping = False  # until the next delimiter: what came was too long for a frame
        self._first = True  # a connection may begin in the middle of a frame
        self._output = bytearray()
        self._nonce: int | None = None  # of the hello that waits for its answer
        self._asked_at = Monotonic(0.0)
        self._hello_at = Monotonic(0.0)
        self._hello_wait_s = _HELLO_FIRST_S
        self._questions = Questions(self._number)
        self.minor = 0  # of the guest's version
        self._ack_due = False
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
        self._nonce = self._questions.again_at = self._streams.confirm_at = None
        self._output.clear()

    @property
    def deadline(self) -> Monotonic | None:
        """When `poll` wants to be called, if nothing happens before."""
        if not self._connected:
            return None
        if self._nonce is not None:
            return self._hello_at
        times = self._streams.confirm_at, self._questions.again_at
        return min((at for at in times if at is not None), default=None)

    def poll(self, now: Monotonic, wall: Wall) -> None:
        """Do what is due: repeat an unanswered hello, ask after unconfirmed messages."""
        due = self.deadline
        if due is None or now < due:
            return
        again_at = self._questions.again_at
        if again_at is not None and again_at <= now and self._nonce is None:
            self._write(self._questions.stage_again(now))
        elif self._nonce is None:
            self._streams.back_off()
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
        return self._streams.states()

    def window(self, stream: int) -> int:
        """Bytes (payload + MESSAGE_OVERHEAD a message) that may be delivered now."""
        return self._streams.window(stream) if self.ready else 0

    def deliver(self, stream: int, first: int, messages: Sequence[Message], now: Monotonic) -> int:
        """Send what the window allows; how many messages, from the first on, were taken.

        Those sent before count as taken. UsageError for a gap.
        """
        if not self.ready:
            return 0
        taken, data = self._streams.deliver(stream, first, messages, now)
        self._write(data)
        return taken

    def park(self, known: int = 0) -> None:
        """Ask the guest to stop for good; a Parked event answers. Asked again on reconnection.

        `known`: the last stage of which the caller has the changes.
        """
        self._write(self._questions.park(known))

    @property
    def can_stage(self) -> bool:
        """Whether the guest is there, and of a version that can say which pages change."""
        return self.ready and self.minor >= 1

    @property
    def can_go_on(self) -> bool:
        """Whether a parked guest is of a version that goes on in its QEMU."""
        return self.minor >= 2

    def stage(self, known: int, now: Monotonic) -> None:
        """Ask what has changed since the caller's stage `known`; a Changed event answers.

        Asked again, until it is answered, when the answer is lost. One at a time: an earlier
        question is forgotten. UsageError unless `can_stage`.
        """
        if not self.can_stage:
            raise UsageError("the guest cannot say which of its pages have changed")
        self._write(self._questions.stage(known, now))

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
            self.faults.garbage_bytes += len(self._input)
            self._input.clear()
            self._skipping = True
        if self._skipping:
            self.faults.garbage_bytes += len(part)
        else:
            self._input += part

    def _frame(self, encoded: bytes, now: Monotonic, wall: Wall) -> list[Event]:
        first, self._first = self._first, False
        try:
            frame = frames.decode(encoded)
        except frames.BadFrame as error:
            if first:
                return []
            self.faults.garbage_bytes += len(encoded)
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
                report = self._questions.changed(frame)
                return [] if report is None else [report]
            case frames.ParkedFrame():
                return self._parked(frame)
            case ThreadTold():
                return [frame]
            case frames.Complaint():
                self.faults.complained(frame)
                return []
            case _:
                return []

    def _bad(self, reason: str, code: int, frame_type: int, detail: int, now: Monotonic) -> None:
        """Count a frame that meant nothing, and tell the guest, if not too often."""
        self.faults.bad(reason, now)
        if self.minor < 1 or not self.ready or len(self._output) > _OUTPUT_FULL:
            return
        if self.faults.may_tell():
            text = f"{reason}, {self.faults.counters[reason]} so far"
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
        self._nonce = None
        self.minor = ack.minor
        changed = self._resume(ack.streams, now)
        if self.ready:
            return changed
        self.ready = True
        self._write(self._questions.again(now))
        return [Ready(ack.state, ack.out_next, ack.streams, ack.checkpoint)]

    def _resume(self, told: Sequence[StreamState], now: Monotonic) -> list[Event]:
        """Go back to what the guest has of each stream; those that have moved."""
        moved: list[Event] = []
        self._streams.confirm_at = None
        for state in told:
            try:
                report, again = self._streams.resume(state, now)
            except frames.BadFrame as error:
                self.faults.count(str(error))
                continue
            self._write(again)
            moved += [] if report is None else [report]
        self._streams.resumed()
        return moved

    def _out(self, output: Output, size_bytes: int, now: Monotonic, wall: Wall) -> list[Event]:
        if output.number <= self._received:
            self.faults.count("duplicates")
            self.faults.repeated()
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
            case outputs.Subscribe(stream, source, after):
                self._streams.open(stream, source, after)
            case outputs.Serve(stream, service):
                self._streams.open(stream, service)
            case outputs.Close(stream):
                self._streams.close(stream)
        return [output]

    def _progress(self, told: StreamState, now: Monotonic) -> list[Event]:
        try:
            report = self._streams.progress(told, now)
        except frames.BadFrame as error:
            self._bad(str(error), error.code, error.frame_type, error.detail, now)
            return []
        if report is None:
            self.faults.repeated()
            return []
        return [report]

    def _parked(self, frame: frames.ParkedFrame) -> list[Event]:
        parked = self._questions.parked(frame)
        if parked is None:
            if frame.nonce != self._questions.parked_as:
                self.faults.count("parked: unasked")
            return []
        return [parked]
