"""What one guest may say to its node, and what is said of one that is held back.

Nothing is lost for it: its outputs are not acknowledged meanwhile, so they wait in the guest, and
so does the guest. What goes beyond the window of unacknowledged output is the channel's affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from radics_mesh.dtn.agent import Agent
from radics_mesh.hosting.vm_mail import FULL_WAIT_S
from radics_mesh.ids import VmId
from radics_mesh.vmm.allowance import Allowance
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import (
    OWN_SERVICE,
    Close,
    Hint,
    Log,
    OutputBody,
    Request,
    Send,
    Serve,
    Subscribe,
)

# In the long run, bytes and outputs a second: enough for any program that means well, and no disk
# is worn out. More at once is let through.
SAID_BYTES_S, SAID_S = 16 << 20, 2000
# The same of those that cost the node a transaction each: streams, hints, requests to itself.
CHANGES_S = 20
# The part of the bundle store that one VM's bundles may take before it has to wait.
STORE_SHARE = 0.25
# A guest that was held back is said to be for so long, and is said so anew as often.
TROUBLE_S = 30.0


class Limits:
    """Those of one guest. `warn` tells people, once in a while."""

    def __init__(
        self,
        machine: Machine,
        agent: Agent,
        vm_id: VmId,
        warn: Callable[[str], None],
        said_s: int = 0,
    ) -> None:
        """`said_s`: what its user has allowed it; 0: what anyone is."""
        self._machine = machine
        self._agent = agent
        self._vm_id = vm_id
        self._warn = warn
        self._bytes = Allowance(SAID_BYTES_S, 4 * SAID_BYTES_S)
        said_s = said_s or SAID_S
        self._outputs = Allowance(said_s, said_s * (10 if said_s == SAID_S else 1))
        self._changes = Allowance(CHANGES_S, 5 * CHANGES_S)
        self._held_back, self._held_back_at = "", -math.inf

    async def wait(self, bodies: Sequence[OutputBody]) -> None:
        """Until these may have their effect, or QEMU is gone."""
        now = trio.current_time()
        wait_s = max(
            self._bytes.spend(sum(map(_size_bytes, bodies)), now),
            self._outputs.spend(len(bodies), now),
            self._changes.spend(sum(map(_is_change, bodies)), now),
        )
        if wait_s > 0:
            self.note("is slowed down: it says too much")
            await self._machine.alive_for(wait_s)
        sends = any(isinstance(body, Send | Request) for body in bodies)
        while sends and self._agent.share_of(self._vm_id) > STORE_SHARE:
            self.note("waits: its bundles fill the store")
            if not await self._machine.alive_for(FULL_WAIT_S):
                return

    def note(self, what: str) -> None:
        """The guest is held back for this."""
        now = trio.current_time()
        if now - self._held_back_at > TROUBLE_S:
            self._warn(what)
        self._held_back_at, self._held_back = now, what

    @property
    def trouble(self) -> str:
        """What the guest was held back for of late, as people should read it."""
        if trio.current_time() - self._held_back_at < TROUBLE_S:
            return f"its guest {self._held_back}"
        return ""


def _is_change(body: OutputBody) -> bool:
    if isinstance(body, Request):
        return body.to.startswith(OWN_SERVICE)
    return isinstance(body, Subscribe | Serve | Close | Hint)


def _size_bytes(body: OutputBody) -> int:
    match body:
        case Log(_, text):
            return len(text)
        case Send() | Request():
            return len(body.payload)
        case _:
            return 0
