"""One TCPCLv3 session without I/O (RFC 7242): bytes and time in; events, bytes, deadlines out.

Outgoing: `send` queues a bundle, `take` cuts the next bytes to write: answers and keepalives first,
then segments, one bundle after the other. Nothing waits for an acknowledgement, so several
bundles are in flight; they are acknowledged or refused in the order in which they were sent.

Incoming: a whole bundle is the event Arrived. The caller decides when it is durable: `accept` or
`refuse`, in any order; the answers go out in the order of arrival, as the sender must be able to
tell which bundle they are about. A segment is acknowledged only when its whole bundle is accepted
(one ACK_SEGMENT for each segment, since IBR-DTN counts them).

What may never happen: an acknowledgement that the caller did not order; an answer about bundle
n+1 before that about n; more than `bundle_max_bytes` of one bundle in memory.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

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
# Bundles smaller than one segment need no LENGTH message.
_LENGTH_FROM_BYTES = SEGMENT_BYTES + 1


@dataclass(eq=False)
class Transmission:
    """A bundle on its way out. Identity, not content, tells two apart."""

    bundle: bytes
    sent_bytes: int = 0


@dataclass(frozen=True)
class Greeted:
    """The peer's contact header came; from now on bundles may pass."""

    eid: Eid
    features: Features
    keepalive_s: int


@dataclass(frozen=True)
class Arrived:
    """A whole bundle; answer it with `accept(number)` or `refuse(number)`."""

    number: int
    bundle: bytes = field(repr=False)


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
    """The peer ends the session in order."""

    reason: int | None
    delay_s: int | None


Event = Greeted | Arrived | Acknowledged | Refused | Ended


@dataclass
class _Incoming:
    """A bundle that is coming in or waits for its answer."""

    number: int
    content: bytearray = field(default_factory=bytearray)
    segment_ends: list[int] = field(default_factory=list)
    complete: bool = False
    accepted: bool = False
    refused: int | None = None
    refusal_sent: bool = False


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
    ) -> None:
        self._offered = Hello(own, offered, keepalive_s)
        self._bundle_max_bytes = bundle_max_bytes
        self._parser = wire.Parser()
        self._control = bytearray(self._offered.encode())
        self._features: Features | None = None
        self._keepalive_s = 0
        self._heard = self._spoke = now
        self._numbers = 0
        self._incoming: deque[_Incoming] = deque()  # in order of arrival, unanswered
        self._current: _Incoming | None = None
        self._outgoing: deque[Transmission] = deque()  # not wholly written
        self._unanswered: deque[Transmission] = deque()  # wholly or partly written
        self._announced_bytes = 0
        self._over = False

    # --- what goes out ---

    def send(self, bundle: bytes) -> Transmission:
        """Queue a bundle. UsageError before the peer has greeted or for no bytes."""
        if self._features is None or not bundle:
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
        if out:
            self._spoke = now
        return bytes(out), done

    def _write_segment(self, out: bytearray, transmission: Transmission) -> None:
        total, at = len(transmission.bundle), transmission.sent_bytes
        if not at:
            if total >= _LENGTH_FROM_BYTES and self._in_force(Features.LENGTH):
                out += wire.length(total)
            if self._in_force(Features.ACKNOWLEDGE):
                self._unanswered.append(transmission)
        end = min(total, at + SEGMENT_BYTES)
        out += wire.segment_head(at == 0, end == total, end - at)
        out += memoryview(transmission.bundle)[at:end]
        transmission.sent_bytes = end

    def shut_down(self, reason: int = wire.IDLE_TIMEOUT) -> None:
        """Say that this is the end; nothing is sent after it.

        Never inside a segment (section 6.1), as `take` writes whole segments only.
        """
        if not self._over:
            self._control += wire.shutdown(reason)
            self._over = True

    # --- answers ---

    def accept(self, number: int) -> None:
        """The bundle is durable here: acknowledge it as soon as its turn comes."""
        self._find(number).accepted = True
        self._answer()

    def refuse(self, number: int, reason: int) -> None:
        """Do not take the bundle. LinkError where the peer did not agree to refusals: a session
        that can say neither yes nor no must end."""
        self._find(number).refused = reason
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
            elif head.accepted and self._in_force(Features.ACKNOWLEDGE):
                self._control += b"".join(wire.ack(end) for end in head.segment_ends)
            if not head.complete or not (head.accepted or head.refused is not None):
                return
            self._incoming.popleft()

    def _say_no(self, reason: int) -> None:
        if self._in_force(Features.ACKNOWLEDGE):
            if not self._in_force(Features.REFUSE):
                raise LinkError("a bundle cannot be taken and the peer takes no refusal")
            self._control += wire.refuse(reason)

    def _in_force(self, feature: Features) -> bool:
        return bool(self._features is not None and self._features & feature)

    # --- what comes in ---

    def receive(self, data: bytes | bytearray, now: Monotonic) -> list[Event]:
        """WireError: the peer broke the protocol. LinkError: see `refuse`."""
        self._heard = now
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
                self._announced(message.length)
            case wire.Shutdown():
                self._over = True
                return Ended(message.reason, message.delay_s)
            case wire.Hello():
                return self._greeted(message)
        return None

    def _greeted(self, hello: Hello) -> Greeted:
        features = hello.features & self._offered.features
        if not features & Features.ACKNOWLEDGE:
            features &= ~Features.REFUSE  # section 4.1: refusal only together with acknowledgement
        self._features = features
        self._keepalive_s = min(hello.keepalive_s, self._offered.keepalive_s)
        return Greeted(hello.eid, features, self._keepalive_s)

    def _begin(self) -> _Incoming:
        self._current = _Incoming(self._numbers)
        self._numbers += 1
        self._incoming.append(self._current)
        return self._current

    def _announced(self, total: int) -> None:
        if not self._in_force(Features.LENGTH):
            raise WireError("TCPCL LENGTH that was not agreed on")
        # Refused at its first segment, not before: a peer that then skips the bundle whole could
        # not be told from one that sends it.
        self._announced_bytes = total

    def _interrupt(self) -> None:
        """A new bundle begins. Section 5.4: only a refused one may break off in the middle."""
        if self._current is not None:
            if self._current.refused is None:
                raise WireError("TCPCL bundle begun inside another")
            self._current.complete = True
            self._current = None
            self._answer()

    def _segment(self, segment: wire.Segment) -> Event | None:
        if segment.start:
            self._interrupt()
            current = self._begin()
        elif self._current is None:
            raise WireError("TCPCL segment outside a bundle")
        else:
            current = self._current
        announced_bytes, self._announced_bytes = self._announced_bytes, 0
        already = current.segment_ends[-1] if current.segment_ends else 0
        current.segment_ends.append(already + segment.length)
        size_bytes = max(current.segment_ends[-1], announced_bytes)
        if size_bytes > self._bundle_max_bytes and current.refused is None:
            current.refused = wire.NO_RESOURCES
            current.content.clear()
            self._answer()
        current.complete = segment.end
        return self._finished() if not segment.length else None

    def _data(self, data: wire.Data) -> Event | None:
        current = self._current
        assert current is not None
        if current.refused is None:
            current.content += data.content
        return self._finished() if data.last else None

    def _finished(self) -> Event | None:
        """A segment has ended; perhaps its bundle has."""
        current = self._current
        assert current is not None
        if not current.complete:
            return None
        self._current = None
        if current.refused is not None:
            self._answer()
            return None
        if not current.content:
            raise WireError("TCPCL bundle without a byte")
        bundle, current.content = bytes(current.content), bytearray()
        return Arrived(current.number, bundle)

    def _acked(self, length: int) -> Event | None:
        if not self._unanswered:
            raise WireError("TCPCL acknowledgement of nothing")
        first = self._unanswered[0]
        if length > first.sent_bytes:
            raise WireError("TCPCL acknowledgement of more than was sent")
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
        if not self._keepalive_s:
            return Monotonic(math.inf)
        return Monotonic(
            min(self._spoke + self._keepalive_s, self._heard + _MISSED * self._keepalive_s)
        )

    def tick(self, now: Monotonic) -> None:
        """Queue a keepalive when it is time. LinkError when the peer has been silent too long."""
        if self._features is None:
            if now >= self._heard + _GREETING_TIMEOUT_S:
                raise LinkError("no TCPCL contact header in time")
        elif self._keepalive_s:
            if now >= self._heard + _MISSED * self._keepalive_s:
                raise LinkError(f"nothing heard for {_MISSED} keepalive intervals")
            if now >= self._spoke + self._keepalive_s and not self._over:
                self._control += wire.KEEPALIVE
                self._spoke = now
