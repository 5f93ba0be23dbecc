"""One VM's part that takes its guest's end: is the VM over, or does another guest begin?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import trio

from radics_mesh.hosting.table import Ending, Wanted
from radics_mesh.hosting.vm_tenancy import HEALTHY_S, RETRY_S, Tenancy
from radics_mesh.vmm import ends, handoff_state
from radics_mesh.vmm.events import Panicked


class Restarting(Tenancy):
    """A program that ended is its policy's affair (radics_mesh.hosting.conduct); QEMU's own end is
    none of the program's."""

    async def _on_end(self, end: ends.End) -> None:
        lived_s = self._host.me.clock.monotonic() - (self.life.started_at or 0.0)
        durable = self._host.table.row(self.vm_id)
        exited = durable is not None and durable.wanted is Wanted.EXITED
        ending = durable.ending if durable is not None and exited else None
        again = self._begins_again(end, ending)
        await self.life.kill(goes_on=again)
        self.handoff.cancel("the guest ended")
        # Its own snapshot of a frozen guest must not start: the guest is not frozen, it has ended.
        await self._carry_out(
            e for e in self.handoff.take() if not isinstance(e, handoff_state.Unpark)
        )
        if again:
            self._begin_again(_how(end, ending), healthy=lived_s > HEALTHY_S)
        elif ending is not None:
            self.life.row = replace(self.row, wanted=Wanted.EXITED, ending=ending)
            self._exited()
        elif isinstance(end, ends.Died):
            self._failures = 0 if lived_s > HEALTHY_S else self._failures
            self.restarts += 1
            if self._failures < len(RETRY_S):
                self._failed_to_start(f"QEMU died ({end.returncode}) {end.stderr[-200:]}".strip())
            else:
                self._fail("QEMU died again and again")
        elif not isinstance(end, ends.Killed):
            self._fail(_how(end, None))

    def _begins_again(self, end: ends.End, ending: Ending | None) -> bool:
        """Whether its policy says so. QEMU's own end, and ours for it, are none of the program."""
        if ending is None and isinstance(end, ends.Died | ends.Killed):
            return False
        failed = ending is None or ending.code != 0
        conduct = self.row.settings.conduct
        return conduct.restart.again(failed=failed, times=conduct.times)

    async def begin_anew(self, why: str) -> None:
        """End the guest that runs, and let the next one begin from the image."""
        await self.life.kill(goes_on=True)
        self._begin_again(why, healthy=True)

    def _begin_again_if_due(self) -> None:
        """The node ended just when the program had, and what its policy says was not done."""
        ending = self.row.ending
        if self.row.wanted is Wanted.EXITED and self._begins_again(ends.Killed(), ending):
            self._begin_again(_how(ends.Killed(), ending), healthy=False)

    def _begin_again(self, how: str, *, healthy: bool) -> None:
        """From its image, after a while; durably, so that a node that ends meanwhile does it."""
        settings = self.row.settings
        conduct = settings.conduct.ends(self.handoff.tenure.snapshot, healthy=healthy)
        wait_s = RETRY_S[min(conduct.times, len(RETRY_S)) - 1]
        note = f"{how}; begins anew, {conduct.times}"
        note += f" of {conduct.restart.most}" if conduct.restart.most else ""
        settings = replace(settings, conduct=conduct)
        self.life.row = replace(self.row, settings=settings, wanted=Wanted.RUNNING, ending=None)
        self.life.row = replace(self.row, note=note[:300], clean=True, parking=False)
        self.life.begin_anew()
        self._retry_at = trio.current_time() + wait_s
        self._host.journal("warning", f"{self.name} {note}, in {wait_s:g} s")

    def _exited(self) -> None:
        ending = self.row.ending
        assert ending is not None
        self._notices.ended(self)
        said = _how(ends.Killed(), ending)
        self._host.journal("info" if ending.status == 0 else "warning", f"{self.name} {said}")

    def _fail(self, reason: str) -> None:
        self.life.row = replace(self.row, wanted=Wanted.FAILED)
        self.life.note(reason)
        with suppress(OSError):
            self._host.table.let_go(self.vm_id)
        self._notices.ended(self)
        self._host.journal("error", f"{self.name} failed: {reason}")


def _how(end: ends.End, ending: Ending | None) -> str:
    """How a guest ended, for people."""
    if ending is not None:
        return f"exited with status {ending.status}" if ending.how == 0 else ending.why
    return f"{type(end).__name__.lower()}: {_words(end)}"


def _words(end: ends.End) -> str:
    if isinstance(end, Panicked):
        return end.text
    return end.reason if isinstance(end, ends.Broken) else ""
