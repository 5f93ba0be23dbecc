"""A QEMU that is started while a VM's snapshot is still on its way, so that its start-up is no part
of the pause; nor is laying the pages into its memory that came before it. It executes nothing
before the snapshot is there as a whole."""

from __future__ import annotations

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import MeshError
from radics_mesh.vmm.launch import Launch, prepare
from radics_mesh.vmm.laying import Laying
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.pages import PageStore

log = structlog.get_logger(__name__)

# Laying takes at most the fifth part of the time: what comes meanwhile is laid together. But not
# once the guest stands still.
_REST = 4.0


class Standby:
    """One such QEMU; `run` it in a task of its own."""

    def __init__(self, launch: Launch, clock: Clock, pages: PageStore) -> None:
        self.launch = launch
        self._clock = clock
        self._pages = pages
        self._machine: Machine | None = None
        self._laying: Laying | None = None
        self._wanted: PageMap | None = None
        self._news, self._hurry = trio.Event(), trio.Event()
        self._ready, self._ended = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Failing costs nothing but time: the VM is then started in the ordinary way."""
        try:
            with self._scope:
                self._machine = await prepare(self.launch, clock=self._clock)
                files = self._machine.files
                self._laying = Laying(files.ram, files.image, files.memory_bytes, self._pages)
                self._ready.set()
                await self._lay_on(self._laying)
        except (MeshError, OSError) as error:
            log.info("no qemu on standby", reason=str(error))
            self._laying = None
        finally:
            if self._machine is not None and not self._scope.cancel_called:  # the node ends
                with trio.CancelScope(shield=True):
                    await self._machine.let_go()
            self._ready.set()
            self._ended.set()

    def lay(self, pages: PageMap, *, at_once: bool) -> None:
        """These are coming: lay those that are here, some time or `at_once`."""
        self._wanted = pages
        if at_once:
            self._hurry.set()
        self._news.set()

    async def _lay_on(self, laying: Laying) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            assert self._wanted is not None
            begun = trio.current_time()
            await trio.to_thread.run_sync(laying.lay, self._wanted)
            with trio.move_on_after(_REST * (trio.current_time() - begun)):
                await self._hurry.wait()

    async def take(self) -> tuple[Machine, Laying] | None:
        """The QEMU, once it is ready, and what lies in its memory; None when there is none. From
        now on it is the caller's."""
        await self._ready.wait()
        self._scope.cancel()
        await self._ended.wait()
        machine, self._machine = self._machine, None
        if machine is None or self._laying is None:
            if machine is not None:
                await machine.kill()
            return None
        return machine, self._laying

    async def drop(self) -> None:
        """On return there is none."""
        self._scope.cancel()
        taken = await self.take()
        if taken is not None:
            await taken[0].kill()
