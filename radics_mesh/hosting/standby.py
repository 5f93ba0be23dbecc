"""A QEMU that is started while a VM's snapshot is still on its way, so that its start-up is no part
of the pause. It executes nothing before the snapshot is laid into its memory."""

from __future__ import annotations

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import MeshError
from radics_mesh.vmm.launch import Launch, prepare
from radics_mesh.vmm.machine import Machine

log = structlog.get_logger(__name__)


class Standby:
    """One such QEMU; `run` it in a task of its own."""

    def __init__(self, launch: Launch, clock: Clock) -> None:
        self.launch = launch
        self._clock = clock
        self._machine: Machine | None = None
        self._settled = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Failing costs nothing but time: the VM is then started in the ordinary way."""
        try:
            with self._scope:
                self._machine = await prepare(self.launch, clock=self._clock)
                await self._machine.ready_to_start()
                return
        except (MeshError, OSError) as error:
            log.info("no qemu on standby", reason=str(error))
        finally:
            self._settled.set()

    async def take(self) -> Machine | None:
        """The QEMU, once it is ready; None when there is none. From now on it is the caller's."""
        await self._settled.wait()
        machine, self._machine = self._machine, None
        return machine

    async def drop(self) -> None:
        """On return there is none."""
        self._scope.cancel()
        machine = await self.take()
        if machine is not None:
            await machine.kill()
