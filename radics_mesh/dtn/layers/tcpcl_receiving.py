"""The receiving half of a TCPCL session (RFC 7242), sans-IO: segments into bundles, and the
answers to them, which go out in the order of arrival. What the caller is promised: see
radics_mesh.dtn.layers.tcpcl."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_events import Announced, Arrived, Part
from radics_mesh.dtn.layers.tcpcl_wire import Features
from radics_mesh.errors import LinkError, UsageError, WireError

# Segments of all bundles that wait for answers, each of which takes an answer of its own. IBR-DTN's
# have 4 KB; who sends single bytes wants our memory.
SEGMENTS_MAX = 1 << 18
# A segment cannot be broken off, so a refused one is waited out; not one that is longer than so
# many of the longest bundles that are taken, or than so many bytes where those are short.
_WAITED_OUT, _WAITED_OUT_BYTES = 4, 1 << 20


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


class ReceivingHalf:
    """`agreed`: what both sides offer, set when the peer has greeted. `say` is given answers.

    `accept`, `keep`, `refuse`, `receiving`, `flush` are the session's.
    """

    def __init__(
        self, *, bundle_max_bytes: int, collect_max_bytes: int, say: Callable[[bytes], None]
    ) -> None:
        self._bundle_max_bytes = bundle_max_bytes
        self._collect_max_bytes = collect_max_bytes
        self._say = say
        self.agreed = Features(0)
        self._numbers = 0
        self._incoming: deque[_Incoming] = deque()  # in order of arrival, unanswered
        self._segments = 0  # of those
        self._current: _Incoming | None = None
        self._announced: _Incoming | None = None  # by LENGTH; no segment of it yet

    @property
    def is_busy(self) -> bool:
        return bool(self._incoming)

    @property
    def is_amid(self) -> bool:
        """Whether a bundle has begun and not ended."""
        return self._current is not None

    @property
    def receiving(self) -> int | None:
        current = self._current
        return None if current is None or current.is_refused else current.number

    def flush(self) -> Part | None:
        current = self._current
        if current is None or current.is_refused or not current.content:
            return None
        return Part(current.number, _emptied(current))

    # --- answers ---

    def accept(self, number: int) -> None:
        self._find(number).accepted = True
        self._answer()

    def keep(self, number: int, length: int) -> None:
        self._find(number).kept_bytes = length
        self._answer()

    def refuse(self, number: int, reason: int) -> None:
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
        if self.agreed & Features.ACKNOWLEDGE:
            self._say(b"".join(map(wire.ack, yes)))

    def _say_no(self, reason: int) -> None:
        if self.agreed & Features.ACKNOWLEDGE:
            if not self.agreed & Features.REFUSE:
                raise LinkError("a bundle cannot be taken and the peer takes no refusal")
            self._say(wire.refuse(reason))

    # --- what comes in ---

    def _begin(self) -> _Incoming:
        incoming = _Incoming(self._numbers)
        self._numbers += 1
        self._incoming.append(incoming)
        return incoming

    def length(self, total: int) -> Announced | None:
        """Section 5.5. A peer that gets the refusal in time sends nothing of the bundle, so what
        follows may also be the next one's LENGTH."""
        if not self.agreed & Features.LENGTH:
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

    def segment(self, segment: wire.Segment) -> Arrived | None:
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

    def data(self, data: wire.Data) -> Arrived | Part | None:
        current = self._current
        assert current is not None
        if not current.is_refused:
            current.content += data.content
        event = self._segment_over() if data.last else None
        if event is None and len(current.content) > self._collect_max_bytes:
            return Part(current.number, _emptied(current))
        return event

    def _segment_over(self) -> Arrived | None:
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


def _emptied(incoming: _Incoming) -> bytes:
    content, incoming.content = bytes(incoming.content), bytearray()
    return content
