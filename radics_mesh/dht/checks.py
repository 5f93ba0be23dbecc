"""Whether somebody is at an address: what it takes to be given more than one brought. Sans-IO.

Datagrams name their sender, and the name may be another one's, who would get the answers. So a
call from an address that has not answered anything yet is answered only where the answer is no
longer than the call; for the rest the address is asked first, by a ping that is not sent again
(the caller repeats its call), and the call waits here for its answer. Everything is bounded, and
nothing here runs: made-up addresses cost what one entry costs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from radics_mesh.dht.rpc import Call
from radics_mesh.link import SocketAddress

# An address is believed so long after its last answer.
PROVED_S = 900.0
PROVED_MAX = 4096
# A ping is waited for so long, and is sent to one address no oftener.
WAIT_S = 3.0
AGAIN_S = 0.25
WAITING_MAX = 1024


@dataclass
class Check:
    """A ping under way. `call` is what is answered once it is."""

    address: SocketAddress
    since: float
    call: Call | None


class Checks:
    """`now` is any clock that does not step."""

    def __init__(self) -> None:
        self._proved: OrderedDict[SocketAddress, float] = OrderedDict()
        self._checks: OrderedDict[bytes, Check] = OrderedDict()
        self._of: dict[SocketAddress, bytes] = {}

    def __len__(self) -> int:
        return len(self._checks)

    def prove(self, address: SocketAddress, now: float) -> None:
        """It answered what was sent there and nowhere else."""
        self._proved[address] = now
        self._proved.move_to_end(address)
        if len(self._proved) > PROVED_MAX:
            self._proved.popitem(last=False)

    def is_proved(self, address: SocketAddress, now: float) -> bool:
        since = self._proved.get(address)
        return since is not None and now - since < PROVED_S

    def begin(
        self, address: SocketAddress, message_id: bytes, call: Call | None, now: float
    ) -> bool:
        """Whether to send a ping with that message id; no where one has just been sent."""
        known = self._of.get(address)
        if known is not None:
            check = self._checks[known]
            check.call = call or check.call
            if now - check.since < AGAIN_S:
                return False
            call = check.call
            self._forget(known)
        self._checks[message_id] = Check(address, now, call)
        self._of[address] = message_id
        if len(self._checks) > WAITING_MAX:
            self._forget(next(iter(self._checks)))
        return True

    def settle(self, message_id: bytes, now: float) -> Check | None:
        """The check that an answer is to, if it is to one and in time; its address is proved."""
        check = self._checks.get(message_id)
        if check is None:
            return None
        self._forget(message_id)
        if now - check.since > WAIT_S:
            return None
        self.prove(check.address, now)
        return check

    def _forget(self, message_id: bytes) -> None:
        self._of.pop(self._checks.pop(message_id).address, None)
