"""What a running guest's memory holds, kept up so that a park looks only at what changed last.

One a guest, for the life of its QEMU (`Life.surveyor`). Whoever moves, saves or checkpoints it:

    survey = await surveyor.round()       the guest runs on: hashes of all that a snapshot holds now
    survey = await surveyor.ahead()       the same, and those pages are put into the node's store
    ... await machine.park(known=surveyor.stage)
    survey = await surveyor.last()        exact; `Life.park` does this, with one `ahead` before

Rounds may be made as often as one likes: each looks only at pages that the guest names as changed
since the one before, and costs time and bytes in proportion to those.
"""

from __future__ import annotations

import trio

from radics_mesh.vmm import stored
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.survey import Put, Survey

# A guest answers at its next interrupt. One that is stuck shall not hold up its park for long.
_ANSWER_S = 2.0


class Surveyor:
    """`start`: what the memory held when the guest started here; None: that is not known, as of a
    guest that has outlived an earlier node."""

    def __init__(self, machine: Machine, pages: PageStore, start: Survey | None) -> None:
        self._machine = machine
        self._pages = pages
        self._latest = start
        self._turn = trio.Lock()

    @property
    def latest(self) -> Survey | None:
        return self._latest

    @property
    def stage(self) -> int:
        """For `Machine.park`: the stage of the latest survey."""
        return 0 if self._latest is None else self._latest.stage

    async def round(self) -> Survey:
        """Look at what has changed since the last round. GuestError when the guest has ended.

        A guest that does not say is looked at as a whole.
        """
        return await self._round(None)

    async def _round(self, put: Put | None) -> Survey:
        async with self._turn:
            changed = await self._machine.stage(self.stage, deadline_s=_ANSWER_S)
            return await self._look(changed, put)

    async def ahead(self) -> Survey:
        """A round, and what the store lacks of it is put there, so that the pause need not.

        CapacityError, OSError: there is no room, and the guest was not touched.
        """
        seen = await self._round(lambda pages: self._pages.put(pages, true=True))
        await trio.to_thread.run_sync(self._put_rest, seen)
        return seen

    def _put_rest(self, seen: Survey) -> None:
        """What was in an earlier round, too, and is still as it was just now looked at."""
        numbers = sorted(seen.pages)
        lacking = self._pages.lacking(seen.pages[number] for number in numbers)
        if lacking:
            pages = {numbers[at]: seen.pages[numbers[at]] for at in lacking}
            stored.put_pages(self._pages, self._machine.files.ram, pages)

    async def last(self) -> Survey:
        """Of the parked guest: exactly what its memory holds."""
        async with self._turn:
            return await self._look(self._machine.changed_at_end)

    async def _look(self, changed: Changed | None, put: Put | None = None) -> Survey:
        self._latest = await self._machine.look(self._latest, changed, put)
        return self._latest
