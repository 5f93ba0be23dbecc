"""Calls and their answers over datagrams: sent again, given up, and whom to leave alone.

A call is sent again after .3 and 1 s and given up after 2.5 s. An address that keeps failing falls
silent for us: calls to it fail at once for a while, so that look-ups do not wait for the dead again
and again; any datagram from there ends that. An address that cannot even be sent to (LinkError) is
*cut*: its calls fail at once by themselves.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
import trio

from radics_mesh.dht import rpc
from radics_mesh.errors import LinkError
from radics_mesh.ids import ID_BYTES
from radics_mesh.link import DatagramLink, SocketAddress

log = structlog.get_logger(__name__)

# How long each transmission of a call waits for its answer.
WAITS_S = (0.3, 0.7, 1.5)
FAILURES_MAX = 2
# An address that failed FAILURES_MAX times is left alone this long, doubling with each failure.
SILENCE_FIRST_S, SILENCE_MAX_S = 2.0, 60.0
_SILENT_MAX = 1024

# What rpcudp gives its callers: whether there was an answer, and the answer.
Result = tuple[bool, object]
FAILED: Result = (False, None)


@dataclass
class _Pending:
    answered: trio.Event = field(default_factory=trio.Event)
    answer: rpc.Answer | None = None


@dataclass
class _Silence:
    failures: int = 0
    until: float = 0.0
    cut: bool = False


class Calls:
    """`counters` is shared with the protocol above."""

    def __init__(self, link: DatagramLink, counters: Counter[str]) -> None:
        self._link = link
        self._counters = counters
        self._pending: dict[bytes, _Pending] = {}
        self._silences: OrderedDict[SocketAddress, _Silence] = OrderedDict()

    def refuse(self, why: str, detail: str, sender: SocketAddress) -> None:
        """Count, and log the first of its kind."""
        self._counters[why] += 1
        if self._counters[why] == 1:
            log.warning("dht refused", what=why, reason=detail, sender=sender)

    async def send(self, datagram: bytes, address: SocketAddress) -> None:
        """LinkError if it cannot even leave."""
        self._counters["datagrams_out"] += 1
        self._counters["bytes_out"] += len(datagram)
        await self._link.send(datagram, address)

    async def call(self, address: SocketAddress, name: str, arguments: Sequence[object]) -> Result:
        """(True, the answer's value), or FAILED after 2.5 s or when it cannot be sent."""
        answer = await self.ask(address, name, arguments)
        return FAILED if answer is None else (True, answer.value)

    async def ask(
        self,
        address: SocketAddress,
        name: str,
        arguments: Sequence[object],
        *,
        flags: int = 0,
        room: int = 0,
    ) -> rpc.Answer | None:
        """The answer; None after 2.5 s or when it cannot be sent. `flags`, `room`: see rpc."""
        silence = self._silences.get(address)
        if silence is not None and trio.current_time() < silence.until:
            self._counters["calls_spared"] += 1
            await trio.lowlevel.checkpoint()
            return None
        message_id = os.urandom(ID_BYTES)
        datagram = rpc.pack_call(message_id, name, arguments, flags=flags, room=room)
        pending = self._pending[message_id] = _Pending()
        self._counters[f"called_{name}"] += 1
        try:
            await self._transmit(datagram, address, pending)
        except LinkError as error:
            self.refuse("unreachable", str(error), address)
            self.failed(address, cut=True)
            return None
        finally:
            del self._pending[message_id]
        if pending.answer is None:
            self.failed(address)
            return None
        self.alive(address)
        return pending.answer

    async def _transmit(self, datagram: bytes, address: SocketAddress, pending: _Pending) -> None:
        for number, wait_s in enumerate(WAITS_S):
            await self.send(datagram, address)
            self._counters["retransmitted"] += number > 0
            with trio.move_on_after(wait_s):
                await pending.answered.wait()
                return

    def settle(self, answer: rpc.Answer) -> None:
        """An answer came in; its message id, 20 random bytes, says to what."""
        pending = self._pending.get(answer.message_id)
        if pending is None or pending.answered.is_set():
            self._counters["late_answers"] += 1
            return
        pending.answer = answer
        pending.answered.set()

    # --- who answers --------------------------------------------------------------------------

    def alive(self, address: SocketAddress) -> None:
        """Forget all failures there."""
        self._silences.pop(address, None)

    def failed(self, address: SocketAddress, *, cut: bool = False) -> None:
        self._counters["calls_failed"] += 1
        silence = self._silences.setdefault(address, _Silence())
        silence.failures += 1
        silence.cut = cut
        if silence.failures >= FAILURES_MAX and not cut:
            doublings = min(silence.failures - FAILURES_MAX, 8)
            silence_s = min(SILENCE_FIRST_S * 2**doublings, SILENCE_MAX_S)
            silence.until = trio.current_time() + silence_s
        if len(self._silences) > _SILENT_MAX:
            self._silences.popitem(last=False)

    def is_cut(self, address: SocketAddress) -> bool:
        silence = self._silences.get(address)
        return silence is not None and silence.cut

    def has_failed(self, address: SocketAddress) -> bool:
        """Whether the last call there failed."""
        return address in self._silences

    def is_lost(self, address: SocketAddress) -> bool:
        """Whether it is time to believe that nobody is there."""
        silence = self._silences.get(address)
        return silence is not None and (silence.cut or silence.failures >= FAILURES_MAX)
