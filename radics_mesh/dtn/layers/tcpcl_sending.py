"""The sending half of a TCPCL session (RFC 7242), sans-IO: bundles cut into segments, one after
the other, and the answers to them, which come in the order in which they were sent."""

from __future__ import annotations

from collections import deque

from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_events import Acknowledged, Content, Refused, Transmission
from radics_mesh.dtn.layers.tcpcl_wire import Features
from radics_mesh.errors import WireError

# A segment with its head fills one sealed record.
SEGMENT_BYTES = (1 << 16) - 16


class SendingHalf:
    """`agreed`: what both sides offer, set when the peer has greeted. `withdraw` is the
    session's."""

    def __init__(self, segment_bytes: int) -> None:
        self._segment_bytes = segment_bytes
        self.agreed = Features(0)
        self._outgoing: deque[Transmission] = deque()  # not wholly written
        self._unanswered: deque[Transmission] = deque()  # wholly or partly written

    @property
    def is_busy(self) -> bool:
        return bool(self._outgoing or self._unanswered)

    def add(self, bundle: Content) -> Transmission:
        transmission = Transmission(bundle)
        self._outgoing.append(transmission)
        return transmission

    def withdraw(self, transmission: Transmission) -> None:
        if not transmission.sent_bytes and transmission in self._outgoing:
            self._outgoing.remove(transmission)

    def write(self, out: bytearray, limit: int) -> list[Acknowledged]:
        """Append segments until `out` has about `limit` bytes; what needs no answer."""
        done: list[Acknowledged] = []
        while self._outgoing and len(out) < limit:
            first = self._outgoing[0]
            self._write_segment(out, first)
            if first.sent_bytes == len(first.bundle):
                self._outgoing.popleft()
                if not self.agreed & Features.ACKNOWLEDGE:
                    done.append(Acknowledged(first))
        return done

    def _write_segment(self, out: bytearray, transmission: Transmission) -> None:
        total, at = len(transmission.bundle), transmission.sent_bytes
        if not at:
            # Section 5.5. What one segment holds is here before any refusal could be.
            if total > self._segment_bytes and self.agreed & Features.LENGTH:
                out += wire.length(total)
            if self.agreed & Features.ACKNOWLEDGE:
                self._unanswered.append(transmission)
        end = min(total, at + self._segment_bytes)
        out += wire.segment_head(at == 0, end == total, end - at)
        out += transmission.bundle[at:end]
        transmission.sent_bytes = end

    def acked(self, length: int) -> Acknowledged | None:
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

    def refused(self, reason: int) -> Refused:
        if not self._unanswered or not self.agreed & Features.REFUSE:
            raise WireError("TCPCL refusal of nothing")
        first = self._unanswered.popleft()
        if self._outgoing and self._outgoing[0] is first:
            self._outgoing.popleft()  # section 5.4: no further segment of it
        return Refused(first, reason)
