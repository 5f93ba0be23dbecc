"""One TCPCLv3 session without I/O (RFC 7242): bytes and time in; events, bytes, deadlines out.

Outgoing: `send` queues a bundle, `take` cuts the next bytes to write: answers and keepalives first,
then segments, one bundle after the other. Nothing waits for an acknowledgement, so several
bundles are in flight; they are acknowledged or refused in the order in which they were sent.

Incoming: a whole bundle is the event Arrived; one that grows over `collect_max_bytes` comes as Part
after Part, and Arrived with its end. The caller decides when it is durable: `accept` or `refuse`,
in any order; the answers go out in the order of arrival, as the sender must be able to tell which
bundle they are about. A segment is acknowledged only when its whole bundle is accepted, or when the
caller says that so much of it is durable (`keep`): one ACK_SEGMENT for each segment, since IBR-DTN
counts them. A bundle whose LENGTH is too much is refused before its data comes.

A session that breaks off leaves what was kept of a bundle, and of each Transmission `acked_bytes`:
reactive fragmentation makes a fragment of each where both sides offer it (`is_reactive`).

What may never happen: an acknowledgement that the caller did not order; an answer about bundle
n+1 before that about n; more than `bundle_max_bytes` of one bundle taken, or more than
`collect_max_bytes` of it in memory; more segments or bytes of a refused one than the constants say.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from radics_mesh.clock import Monotonic
from radics_mesh.dtn import tcpcl_wire as wire
from radics_mesh.dtn.tcpcl_wire import Features, Hello
from radics_mesh.errors import LinkError, UsageError, WireError
from radics_mesh.ids import Eid

# A segment with its head fills one sealed record.
SEGMENT_BYTES = (1 << 16) - 16
OFFERED = Features.ACKNOWLEDGE | Features.REFUSE | Features.LENGTH
# Silence of so many keepalive intervals ends a session. RFC 7242 section 5.6 asks for at least 2.
_MISSED = 3
# The contact header must come within this time.
_GREETING_TIMEOUT_S = 10.0
# Segments of all bundles that wait for answers, each of which takes an answer of its own. IBR-DTN's
# have 4 KB; who sends single bytes wants our memory.
SEGMENTS_MAX = 1 << 18
# A segment cannot be broken off, so a refused one is waited out; not one that is longer than so
# many of the longest bundles that are taken, or than so many bytes where those are short.
_WAITED_OUT, _WAITED_OUT_BYTES = 4, 1 << 20


class Content(Protocol):
    """A bundle's bytes: `bytes`, a view, a mapped file, or pieces that are read when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes | memoryview: ...


@dataclass(eq=False)
class Transmission:
    """A bundle on its way out. Identity, not content, tells two apart."""

    bundle: Content
    sent_bytes: int = 0
    # So many of its first bytes has the peer acknowledged.
    acked_bytes: int = 0


@dataclass(frozen=True)
class Greeted:
    """The peer's contact header came; from now on bundles may pass."""

    eid: Eid
    features: Features
    keepalive_s: int


@dataclass(frozen=True)
class Arrived:
    """A whole bundle, or what is left of it after its parts; answer it with `accept(number)` or
    `refuse(number)`."""

    number: int
    bundle: bytes = field(repr=False)


@dataclass(frozen=True)
class Announced:
    """A bundle of so many bytes begins next: the time to refuse it without its data."""

    number: int
    length: int


@dataclass(frozen=True)
class Part:
    """The next bytes of a bundle that is too large to be collected here."""

    number: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Acknowledged:
    """The peer took a bundle (or could not promise to: it does not acknowledge at all)."""

    transmission: Transmission


@dataclass(frozen=True)
class Refused:
    transmission: Transmission
    reason: int


@dataclass(frozen=True)
class Ended:
    """The peer ends the session in order. `delay_s`: how long it asks us to stay away."""

    reason: int | None
    delay_s: int | None


Event = Greeted | Announced | Part | Arrived | Acknowledged | Refused | Ended


@dataclass
class _Incoming:
    """A bundle that is coming in or waits for its answer."""

    number: int
    announced_bytes: int | None = None
    content: bytearray = field(default_factory=bytearray)
    segment_ends: array[int] = field(default_factory=lambda: array("Q"))
    acked_segments: int = 0
    complete: bool = False
    accepted: bool = False
    kept_bytes: int = 0
    refused: int | None = None
    refusal_sent: bool = False

    @property
    def size_bytes(self) -> int:
        """What its segments so far add up to, also where their data is still to come."""
        return self.segment_ends[-1] if self.segment_ends else 0

    @property
    def is_refused(self) -> bool:
        return self.refused is not None


class Session:
    """One side of a session."""

    def __init__(
        self,
        own: Eid,
        *,
        keepalive_s: int,
        bundle_max_bytes: int,
        now: Monotonic,
        offered: Features = OFFERED,
        collect_max_bytes: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        idle_s: float = math.inf,
    ) -> None:
        """`collect_max_bytes` None: every bundle is collected. `idle_s`: see `is_idle`."""
        self._offered = Hello(own, offered, keepalive_s)
        self._bundle_max_bytes = bundle_max_bytes
        self._collect_max_bytes = (
            bundle_max_bytes if collect_max_bytes is None else collect_max_bytes
        )
        self._segment_bytes = segment_bytes
        self._idle_s = idle_s
        self._busy = now  # the last moment at which a bundle, or a piece of one, passed
        self._parser = wire.Parser()
        self._control = bytearray(self._offered.encode())
        self._features: Features | None = None
        self._keepalive_s = 0
        self._heard = self._spoke = now
        self._numbers = 0
        self._incoming: deque[_Incoming] = deque()  # in order of arrival, unanswered
        self._segments = 0  # of those
        self._current: _Incoming | None = None
        self._outgoing: deque[Transmission] = deque()  # not wholly written
        self._unanswered: deque[Transmission] = deque()  # wholly or partly written
        self._announced: _Incoming | None = None  # by LENGTH; no segment of it yet
        self._over = False

    # --- what goes out ---

    def send(self, bundle: Content) -> Transmission:
        """Queue a bundle. UsageError before the peer has greeted or for no bytes."""
        if self._features is None or not len(bundle):
            raise UsageError("no bundle can be sent yet, or it is empty")
        transmission = Transmission(bundle)
        self._outgoing.append(transmission)
        return transmission

    def withdraw(self, transmission: Transmission) -> None:
        """Do not send it, if not a byte of it has gone yet."""
        if not transmission.sent_bytes and transmission in self._outgoing:
            self._outgoing.remove(transmission)

    def take(self, limit: int, now: Monotonic) -> tuple[bytes, list[Acknowledged]]:
        """About `limit` bytes to write now (empty: nothing to say), and what needs no answer."""
        out, done = self._control, list[Acknowledged]()
        self._control = bytearray()
        while self._outgoing and len(out) < limit and not self._over:
            first = self._outgoing[0]
            self._write_segment(out, first)
            if first.sent_bytes == len(first.bundle):
                self._outgoing.popleft()
                if not self._in_force(Features.ACKNOWLEDGE):
                    done.append(Acknowledged(first))
            self._busy = now
        if out:
            self._spoke = now
        return bytes(out), done

    def _write_segment(self, out: bytearray, transmission: Transmission) -> None:
        total, at = len(transmission.bundle), transmission.sent_bytes
        if not at:
            # Section 5.5. What one segment holds is here before any refusal could be.
            if total > self._segment_bytes and self._in_force(Features.LENGTH):
                out += wire.length(total)
            if self._in_force(Features.ACKNOWLEDGE):
                self._unanswered.append(transmission)
        end = min(total, at + self._segment_bytes)
        out += wire.segment_head(at == 0, end == total, end - at)
        out += transmission.bundle[at:end]
        transmission.sent_bytes = end

    @property
    def backlog_bytes(self) -> int:
        """Answers that wait to be written: a peer that does not read makes it grow."""
        return len(self._control)

    def shut_down(self, reason: int = wire.IDLE_TIMEOUT, delay_s: int | None = 1) -> None:
        """Say that this is the end; nothing is sent after it. IBR-DTN reads a delay whatever the
        flags say, so only who knows that it is none may leave it out (None).

        Never inside a segment (section 6.1), as `take` writes whole segments only.
        """
        if not self._over:
            self._control += wire.shutdown(reason, delay_s)
            self._over = True

    # --- answers ---

    def accept(self, number: int) -> None:
        """The bundle is durable here: acknowledge it as soon as its turn comes."""
        self._find(number).accepted = True
        self._answer()

    def keep(self, number: int, length: int) -> None:
        """The first `length` bytes will be a fragment here if the rest does not come, whatever
        happens to this node: acknowledge the segments in them. Only where `is_reactive`."""
        self._find(number).kept_bytes = length
        self._answer()

    def refuse(self, number: int, reason: int) -> None:
        """Do not take the bundle; it may still be coming in, or only be announced. LinkError where
        the peer did not agree to refusals: a session that can say neither yes nor no must end."""
        incoming = self._find(number)
        incoming.refused = reason
        incoming.content.clear()
        self._answer()

    def _find(self, number: int) -> _Incoming:
        for incoming in self._incoming:
            if incoming.number == number:
                return incoming
        raise UsageError(f"bundle {number} waits for no answer")

    def _answer(self) -> None:
        while self._incoming:
            head = self._incoming[0]
            if head.refused is not None and not head.refusal_sent:
                self._say_no(head.refused)
                head.refusal_sent = True
            elif head.accepted or (head.kept_bytes and not head.is_refused):
                self._say_yes(head)
            if not head.complete or not (head.accepted or head.is_refused):
                return
            self._incoming.popleft()
            self._segments -= len(head.segment_ends)

    def _say_yes(self, head: _Incoming) -> None:
        """To the segments that are whole in what is durable."""
        durable_bytes = head.size_bytes if head.accepted else head.kept_bytes
        ends = head.segment_ends[head.acked_segments :]
        yes = [end for end in ends if end <= durable_bytes]
        head.acked_segments += len(yes)
        if self._in_force(Features.ACKNOWLEDGE):
            self._control += b"".join(map(wire.ack, yes))

    def _say_no(self, reason: int) -> None:
        if self._in_force(Features.ACKNOWLEDGE):
            if not self._in_force(Features.REFUSE):
                raise LinkError("a bundle cannot be taken and the peer takes no refusal")
            self._control += wire.refuse(reason)

    def _in_force(self, feature: Features) -> bool:
        return bool(self._features is not None and self._features & feature)

    @property
    def is_reactive(self) -> bool:
        """Whether what was acknowledged of a bundle whose session broke off counts as handed on."""
        return self._in_force(Features.REACTIVE_FRAGMENTATION)

    @property
    def takes_refusals(self) -> bool:
        return self._in_force(Features.REFUSE)

    @property
    def receiving(self) -> int | None:
        """The bundle that is coming in, and will be taken if it comes whole."""
        current = self._current
        return None if current is None or current.is_refused else current.number

    def flush(self) -> Part | None:
        """What was collected of it, before that is as much as a Part usually has."""
        current = self._current
        if current is None or current.is_refused or not current.content:
            return None
        return Part(current.number, _emptied(current))

    # --- what comes in ---

    def receive(self, data: bytes | bytearray, now: Monotonic) -> list[Event]:
        """WireError: the peer broke the protocol. LinkError: see `refuse`."""
        self._heard = now
        if data and self._current is not None:
            self._busy = now
        events: list[Event] = []
        for message in self._parser.feed(data):
            event = self._handle(message)
            if event is not None:
                events.append(event)
        return events

    def _handle(self, message: wire.Message) -> Event | None:
        match message:
            case wire.Data():
                return self._data(message)
            case wire.Segment():
                return self._segment(message)
            case wire.Ack():
                return self._acked(message.length)
            case wire.Refuse():
                return self._was_refused(message.reason)
            case wire.Length():
                return self._length(message.length)
            case wire.Shutdown():
                self._over = True
                return Ended(message.reason, message.delay_s)
            case wire.Hello():
                return self._greeted(message)
        return None

    def _greeted(self, hello: Hello) -> Greeted:
        features = hello.features & self._offered.features
        if not features & Features.ACKNOWLEDGE:
            # Section 4.1: refusal and reactive fragmentation only together with acknowledgement.
            features &= ~(Features.REFUSE | Features.REACTIVE_FRAGMENTATION)
        self._features = features
        self._keepalive_s = min(hello.keepalive_s, self._offered.keepalive_s)
        return Greeted(hello.eid, features, self._keepalive_s)

    def _begin(self) -> _Incoming:
        incoming = _Incoming(self._numbers)
        self._numbers += 1
        self._incoming.append(incoming)
        return incoming

    def _length(self, total: int) -> Event | None:
        """Section 5.5. A peer that gets the refusal in time sends nothing of the bundle, so what
        follows may also be the next one's LENGTH."""
        if not self._in_force(Features.LENGTH):
            raise WireError("TCPCL LENGTH that was not agreed on")
        self._interrupt()
        self._give_up_announced()
        announced = self._announced = self._begin()
        announced.announced_bytes = total
        if total > self._bundle_max_bytes:
            self.refuse(announced.number, wire.NO_RESOURCES)
            return None
        return Announced(announced.number, total)

    def _give_up_announced(self) -> None:
        """Something else comes instead of the bundle that LENGTH has announced."""
        announced, self._announced = self._announced, None
        if announced is not None:
            if not announced.is_refused:
                raise WireError("TCPCL LENGTH without its bundle")
            announced.complete = True
            self._answer()

    def _interrupt(self) -> None:
        """A new bundle begins. Section 5.4: only a refused one may break off in the middle."""
        if self._current is not None:
            if not self._current.is_refused:
                raise WireError("TCPCL bundle begun inside another")
            self._current.complete = True
            self._current = None
            self._answer()

    def _first_segment(self, segment: wire.Segment) -> _Incoming:
        self._interrupt()
        announced = self._announced
        if announced is None:
            return self._begin()
        if segment.end and segment.length != announced.announced_bytes:
            # The bundle after the announced one, if that was refused in time.
            self._give_up_announced()
            return self._begin()
        self._announced = None
        return announced

    def _segment(self, segment: wire.Segment) -> Event | None:
        if segment.length > max(_WAITED_OUT * self._bundle_max_bytes, _WAITED_OUT_BYTES):
            raise WireError(f"TCPCL segment of {segment.length} bytes")
        if segment.start:
            self._current = self._first_segment(segment)
        elif self._current is None:
            raise WireError("TCPCL segment outside a bundle")
        current = self._current
        if self._segments == SEGMENTS_MAX:
            raise WireError(f"more than {SEGMENTS_MAX} TCPCL segments without an answer")
        self._segments += 1
        current.segment_ends.append(current.size_bytes + segment.length)
        self._check_size(current, segment.end)
        current.complete = segment.end
        return self._segment_over() if not segment.length else None

    def _check_size(self, current: _Incoming, is_last: bool) -> None:
        announced_bytes = current.announced_bytes
        if announced_bytes is not None and (
            current.size_bytes > announced_bytes
            or (is_last and current.size_bytes < announced_bytes)
        ):
            raise WireError("TCPCL bundle of another length than was announced")
        if current.size_bytes > self._bundle_max_bytes and not current.is_refused:
            self.refuse(current.number, wire.NO_RESOURCES)

    def _data(self, data: wire.Data) -> Event | None:
        current = self._current
        assert current is not None
        if not current.is_refused:
            current.content += data.content
        event = self._segment_over() if data.last else None
        if event is None and len(current.content) > self._collect_max_bytes:
            return Part(current.number, _emptied(current))
        return event

    def _segment_over(self) -> Event | None:
        """A segment has ended; perhaps its bundle has."""
        current = self._current
        assert current is not None
        if not current.complete:
            return None
        self._current = None
        if current.is_refused:
            self._answer()
            return None
        if not current.size_bytes:
            raise WireError("TCPCL bundle without a byte")
        return Arrived(current.number, _emptied(current))

    def _acked(self, length: int) -> Event | None:
        if not self._unanswered:
            raise WireError("TCPCL acknowledgement of nothing")
        first = self._unanswered[0]
        if length > first.sent_bytes:
            raise WireError("TCPCL acknowledgement of more than was sent")
        first.acked_bytes = max(first.acked_bytes, length)
        if length < len(first.bundle):
            return None
        self._unanswered.popleft()
        return Acknowledged(first)

    def _was_refused(self, reason: int) -> Event:
        if not self._unanswered or not self._in_force(Features.REFUSE):
            raise WireError("TCPCL refusal of nothing")
        first = self._unanswered.popleft()
        if self._outgoing and self._outgoing[0] is first:
            self._outgoing.popleft()  # section 5.4: no further segment of it
        return Refused(first, reason)

    # --- time ---

    @property
    def deadline(self) -> Monotonic:
        """When `tick` must be called next."""
        if self._features is None:
            return Monotonic(self._heard + _GREETING_TIMEOUT_S)
        idle = Monotonic(self._busy + self._idle_s)
        if not self._keepalive_s:
            return idle
        return min(
            idle,
            Monotonic(self._spoke + self._keepalive_s),
            Monotonic(self._heard + _MISSED * self._keepalive_s),
        )

    def is_idle(self, now: Monotonic) -> bool:
        """Whether no bundle has passed, or waits for an answer, for `idle_s`: time to shut down."""
        if self._outgoing or self._unanswered or self._incoming:
            self._busy = now
        return now >= self._busy + self._idle_s

    def tick(self, now: Monotonic) -> None:
        """Queue a keepalive when it is time. LinkError when the peer has been silent too long."""
        if self._features is None:
            if now >= self._heard + _GREETING_TIMEOUT_S:
                raise LinkError("no TCPCL contact header in time")
        elif self._keepalive_s:
            if now >= self._heard + _MISSED * self._keepalive_s:
                raise LinkError(f"nothing heard for {_MISSED} keepalive intervals")
            if now >= self._spoke + self._keepalive_s:
                # After the end nothing more is said; where the writer is stuck, one is enough.
                if not self._over and not self._control:
                    self._control += wire.KEEPALIVE
                self._spoke = now


def _emptied(incoming: _Incoming) -> bytes:
    content, incoming.content = bytes(incoming.content), bytearray()
    return content
