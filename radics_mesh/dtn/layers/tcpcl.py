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

Its halves, `tcpcl_sending` and `tcpcl_receiving`, share nothing but what both sides agreed on.

What may never happen: an acknowledgement that the caller did not order; an answer about bundle
n+1 before that about n; more than `bundle_max_bytes` of one bundle taken, or more than
`collect_max_bytes` of it in memory; more segments or bytes of a refused one than the constants say.
"""

from __future__ import annotations

import math

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_events import (
    Acknowledged,
    Content,
    Ended,
    Event,
    Greeted,
    Part,
    Transmission,
)
from radics_mesh.dtn.layers.tcpcl_receiving import ReceivingHalf
from radics_mesh.dtn.layers.tcpcl_sending import SEGMENT_BYTES, SendingHalf
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.errors import LinkError, UsageError
from radics_mesh.ids import Eid

OFFERED = Features.ACKNOWLEDGE | Features.REFUSE | Features.LENGTH
# Silence of so many keepalive intervals ends a session. RFC 7242 section 5.6 asks for at least 2.
_MISSED = 3
# The contact header must come within this time.
_GREETING_TIMEOUT_S = 10.0


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
        self._sending = SendingHalf(segment_bytes)
        self._receiving = ReceivingHalf(
            bundle_max_bytes=bundle_max_bytes,
            collect_max_bytes=bundle_max_bytes if collect_max_bytes is None else collect_max_bytes,
            say=self._say,
        )
        self._idle_s = idle_s
        self._busy = now  # the last moment at which a bundle, or a piece of one, passed
        self._parser = wire.Parser()
        self._control = bytearray(self._offered.encode())
        self._features: Features | None = None
        self._keepalive_s = 0
        self._heard = self._spoke = now
        self._over = False

    # --- what goes out ---

    def send(self, bundle: Content) -> Transmission:
        """Queue a bundle. UsageError before the peer has greeted or for no bytes."""
        if self._features is None or not len(bundle):
            raise UsageError("no bundle can be sent yet, or it is empty")
        return self._sending.add(bundle)

    def withdraw(self, transmission: Transmission) -> None:
        """Do not send it, if not a byte of it has gone yet."""
        self._sending.withdraw(transmission)

    def take(self, limit: int, now: Monotonic) -> tuple[bytes, list[Acknowledged]]:
        """About `limit` bytes to write now (empty: nothing to say), and what needs no answer."""
        out, done = self._control, list[Acknowledged]()
        self._control = bytearray()
        answers_bytes = len(out)
        if not self._over:
            done = self._sending.write(out, limit)
        if len(out) > answers_bytes:
            self._busy = now
        if out:
            self._spoke = now
        return bytes(out), done

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
        self._receiving.accept(number)

    def keep(self, number: int, length: int) -> None:
        """The first `length` bytes will be a fragment here if the rest does not come, whatever
        happens to this node: acknowledge the segments in them. Only where `is_reactive`."""
        self._receiving.keep(number, length)

    def refuse(self, number: int, reason: int) -> None:
        """Do not take the bundle; it may still be coming in, or only be announced. LinkError where
        the peer did not agree to refusals: a session that can say neither yes nor no must end."""
        self._receiving.refuse(number, reason)

    def _say(self, answers: bytes) -> None:
        self._control += answers

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
        return self._receiving.receiving

    def flush(self) -> Part | None:
        """What was collected of it, before that is as much as a Part usually has."""
        return self._receiving.flush()

    # --- what comes in ---

    @property
    def expected_bytes(self) -> int:
        """What is still to come of the segment that is coming in."""
        return self._parser.left_bytes

    def receive(self, data: bytes | bytearray, now: Monotonic) -> list[Event]:
        """WireError: the peer broke the protocol. LinkError: see `refuse`."""
        self._heard = now
        if data and self._receiving.is_amid:
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
                return self._receiving.data(message)
            case wire.Segment():
                return self._receiving.segment(message)
            case wire.Ack():
                return self._sending.acked(message.length)
            case wire.Refuse():
                return self._sending.refused(message.reason)
            case wire.Length():
                return self._receiving.length(message.length)
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
        self._features = self._sending.agreed = self._receiving.agreed = features
        self._keepalive_s = min(hello.keepalive_s, self._offered.keepalive_s)
        return Greeted(hello.eid, features, self._keepalive_s)

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
        if self._sending.is_busy or self._receiving.is_busy:
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
