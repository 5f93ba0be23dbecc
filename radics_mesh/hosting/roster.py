"""The VMs of a node as a list: found by name or id, made, served, and what happened to them."""

from __future__ import annotations

import structlog
import trio

from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.journal import Journal
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Settings
from radics_mesh.hosting.status import VmStatus
from radics_mesh.hosting.table import JournalRow, Table, VmRow, Wanted
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import VmId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_state import Tenure

log = structlog.get_logger(__name__)

# VMs that this node may hear of, its own included.
VMS_MAX = 1024


class Roster:
    """Whoever is built upon it sets its fields."""

    _host: Host
    _table: Table
    _notices: Notices
    _vms: dict[VmId, Vm]
    _nursery: trio.Nursery | None
    _journal: Journal

    async def _serve(
        self, vm: Vm, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            await vm.run(task_status=task_status)
        finally:
            if self._vms.get(vm.vm_id) is vm:
                del self._vms[vm.vm_id]

    def _vm(self, row: VmRow) -> Vm:
        assert self._nursery is not None
        return Vm(self._host, row, self._nursery, self._notices)

    def vms(self) -> list[VmStatus]:
        """The VMs here, those that have ended or are being released included."""
        return [vm.status() for vm in self._vms.values() if self._is_shown(vm)]

    def vm(self, name: str) -> VmStatus:
        """UsageError when there is none."""
        return self._find(name).status()

    def tenant(self, vm_id: VmId) -> Vm:
        """The VM itself, for who must look inside; KeyError when it is not known here."""
        return self._vms[vm_id]

    def named(self, name: str) -> Vm:
        """The VM of a name itself, for who must look inside; UsageError when there is none."""
        return self._find(name)

    def tenants(self) -> list[Vm]:
        return list(self._vms.values())

    def journal(self, after: int = 0) -> list[JournalRow]:
        """What happened to VMs here, oldest first: lines with numbers above `after`."""
        return self._journal.rows(after)

    async def journalled(self) -> None:
        """Until the journal grows."""
        await self._journal.grown()

    async def _vm_of(self, chain: Ownership) -> Vm:
        vm = self._vms.get(chain.vm_id)
        if vm is not None and not vm.ended.is_set():
            return vm
        if len(self._vms) >= VMS_MAX:
            raise CapacityError(f"{VMS_MAX} VMs are known here")
        row = VmRow(chain.vm_id, chain.name, Wanted.MOVED, Tenure(chain.vm_id), Settings(1 << 20))
        vm = self._vms[chain.vm_id] = self._vm(row)
        await self._running().start(self._serve, vm)
        return vm

    def _find(self, name: str, *, moved: bool = False) -> Vm:
        """By name, else by id. One that is here goes before one that has ended or left."""
        shown = [vm for vm in self._vms.values() if moved or self._is_shown(vm)]
        named = [vm for vm in shown if name in (vm.name, vm.vm_id.text)]
        named.sort(key=lambda vm: (vm.is_current, vm.row.arrived), reverse=True)
        if named:
            return named[0]
        here = ", ".join(sorted({vm.name for vm in shown})) or "there is none"
        raise UsageError(f"no VM named {name} here; VMs here: {here}")

    def _is_shown(self, vm: Vm) -> bool:
        return (
            not vm.is_done
            and vm.state != "moved"
            and (vm.handoff.tenure.chain is not None or vm.handoff.tenure.certificate is not None)
        )

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("the node's VMs are not served yet")
        return self._nursery
