"""Copies of mail go to keepers, and from whoever has them to who goes on (see `copies`).

    host --LETTERS--> keeper, durably --FILED--> host             as mail is filed
    who lost the VM --LETTERS--> its holder by a recovery --FILED--> forgotten here
    who holds it: letters of branches that count no more come as mail to its guest

Nothing of it need survive a crash but the copies. What is not answered is sent again, at first
after REPEAT_FIRST_S, then ever more rarely; what comes twice is known by its name, and to the
guest's mailbox by its bundle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
import trio

from radics_mesh.errors import MeshError, PeerError
from radics_mesh.hosting.copies import Copy, Name, branched_at
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.keeping_messages import LETTERS_MAX, LETTERS_MAX_BYTES, Filed, Letters
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.table import ENDED
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_state import Phase

log = structlog.get_logger(__name__)

TICK_S = 0.5
# Mail comes in bursts.
SETTLE_S = 0.02
REPEAT_FIRST_S, REPEAT_LAST_S = 2.0, 300.0
_HELD = (Phase.HOLDING, Phase.OFFERED, Phase.STAGING)
_EPOCHS_END = 1 << 62


@dataclass
class _Line:
    """To one node, of one VM. `sent`: the number here of the last copy that went."""

    sent: int = 0
    # When to send again what was not answered, by its name.
    open: dict[Name, float] = field(default_factory=dict)
    wait_s: float = REPEAT_FIRST_S


class Copying:
    """`keepers` of a VM that is held here; `keeps`: whether this node keeps a VM's checkpoints, or
    is about to."""

    def __init__(
        self,
        host: Host,
        vms: Callable[[], Iterable[Vm]],
        keepers: Callable[[Vm], list[NodeId]],
        keeps: Callable[[VmId], bool],
        say: Callable[[NodeId, Letters | Filed], Awaitable[None]],
    ) -> None:
        self._host, self._table = host, host.table
        self._vms = vms
        self._keepers = keepers
        self._keeps = keeps
        self._say = say
        # By the epochs, too: who is sent mail as a keeper may later be the VM's holder.
        self._lines: dict[tuple[VmId, NodeId, range], _Line] = {}
        # VMs whose guests are being given letters.
        self._giving: set[VmId] = set()
        self._woken = trio.Event()
        host.copied = self.wake

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._woken = trio.Event()
                copied = self._table.copied_vms()
                self._lines = {key: line for key, line in self._lines.items() if key[0] in copied}
                for vm_id in copied:
                    try:
                        await self._look_at(vm_id, nursery)
                    except (MeshError, OSError) as error:
                        log.warning("copies of mail", vm=vm_id.short, reason=reason_of(error))
                with trio.move_on_after(TICK_S):
                    await self._woken.wait()
                await trio.sleep(SETTLE_S)

    async def _look_at(self, vm_id: VmId, nursery: trio.Nursery) -> None:
        vm = self._held(vm_id)
        if vm is None:
            await self._hand_on(vm_id)
            return
        if vm.row.wanted in ENDED:
            self._table.drop_copies(vm_id)
            return
        chain = vm.life.chain
        # It came here with all that came of these.
        self._table.copies_covered(vm_id, range(branched_at(chain), chain.epoch + 1))
        if vm_id not in self._giving:
            self._giving.add(vm_id)
            nursery.start_soon(self._give, vm, range(0, chain.epoch))
        for keeper in self._keepers(vm):
            await self._send(vm_id, keeper, chain, range(chain.epoch, _EPOCHS_END))

    def _held(self, vm_id: VmId) -> Vm | None:
        vm = next((vm for vm in self._vms() if vm.vm_id == vm_id), None)
        return vm if vm is not None and vm.phase in _HELD else None

    async def _give(self, vm: Vm, epochs: range) -> None:
        """What a branch took that counts no more, as if it came now; as far as there is room."""
        try:
            guest = vm.life.guest
            while guest is not None and (found := self._table.copies(vm.vm_id, epochs)):
                for _, copy in found:
                    if not await guest.file(copy.service, copy.key, copy.sender, copy.payload):
                        return
                self._table.drop_copies(vm.vm_id, [copy.name for _, copy in found])
        except OSError as error:
            log.warning("mail is not given again", vm=vm.name, reason=reason_of(error))
        finally:
            self._giving.discard(vm.vm_id)

    # --- to others ------------------------------------------------------------------------------

    async def _hand_on(self, vm_id: VmId) -> None:
        """To who went on with a VM, what it may lack."""
        best = self._host.directory.ownership(vm_id)
        if best is not None and best.holder != self._host.me.node_id:
            await self._send(vm_id, best.holder, best, range(0, branched_at(best)))

    async def _send(self, vm_id: VmId, to: NodeId, chain: Ownership, epochs: range) -> None:
        line = self._lines.setdefault((vm_id, to, epochs), _Line())
        now = trio.current_time()
        while found := self._table.copies(vm_id, epochs, line.sent, LETTERS_MAX):
            some = _bounded(copy for _, copy in found)
            line.sent = found[len(some) - 1][0]
            line.wait_s = REPEAT_FIRST_S
            await self._send_some(line, vm_id, to, chain, some)
        due = [name for name, at in line.open.items() if at <= now][:LETTERS_MAX]
        if due:
            copies = {name: self._table.copy(vm_id, name) for name in due}
            for name in [name for name, copy in copies.items() if copy is None]:
                del line.open[name]  # no longer needed there
            left = [copy for copy in copies.values() if copy is not None]
            if some := _bounded(copy for copy in left if copy.epoch in epochs):
                line.wait_s = min(line.wait_s * 2, REPEAT_LAST_S)
                await self._send_some(line, vm_id, to, chain, some)

    async def _send_some(
        self, line: _Line, vm_id: VmId, to: NodeId, chain: Ownership, copies: list[Copy]
    ) -> None:
        at = trio.current_time() + line.wait_s
        line.open.update((copy.name, at) for copy in copies)
        await self._say(to, Letters(vm_id, chain, tuple(copies)))

    # --- from others ----------------------------------------------------------------------------

    async def on_letters(self, message: Letters, sender: NodeId) -> None:
        """PeerError: of one who has no say in that VM's mail."""
        vm_id = message.vm_id
        vm = self._held(vm_id)
        if vm is not None:
            policy, chain = vm.row.settings.policy, vm.life.chain
            if sender not in {*chain.holders, *policy.keepers}:
                raise PeerError(f"{sender.short} has mail of a VM that it never held")
            if any(copy.epoch >= chain.epoch for copy in message.letters):
                raise PeerError(f"{sender.short} has mail of a branch that it does not hold")
        elif message.chain.holder != sender or any(
            copy.epoch != message.chain.epoch for copy in message.letters
        ):
            raise PeerError(f"{sender.short} has mail kept of a VM that it does not hold")
        elif not self._keeps(vm_id):
            return  # it is said again
        if self._table.keep_copies(vm_id, message.letters):
            await self._say(sender, Filed(vm_id, tuple(copy.name for copy in message.letters)))
            self.wake()

    async def on_filed(self, message: Filed, sender: NodeId) -> None:
        for (vm_id, to, epochs), line in self._lines.items():
            if (vm_id, to) != (message.vm_id, sender):
                continue
            answered = [name for name in message.names if line.open.pop(name, None) is not None]
            if epochs.start == 0:  # who goes on with the VM has them
                self._table.drop_copies(vm_id, answered)


def _bounded(copies: Iterable[Copy]) -> list[Copy]:
    """As many as go in one message; one at least."""
    some: list[Copy] = []
    size = 0
    for copy in copies:
        size += len(copy.payload)
        if some and size > LETTERS_MAX_BYTES:
            break
        some.append(copy)
    return some
