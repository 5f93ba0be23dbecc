"""Requests about contact plans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import Wall
from radics_mesh.dtn.routes.contact_plan import Contact, ContactPlan
from radics_mesh.dtn.routes.planned import Planned
from radics_mesh.durable import write_durably
from radics_mesh.errors import UsageError
from radics_mesh.node.plans import InForce, in_force
from radics_mesh.node.services import Services

Answer = Mapping[str, Any]
ROWS_MAX = 10_000


class PlanRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def plan(self, hours: float) -> Answer:
        if not 0 <= hours <= 24 * 365 * 100:
            raise UsageError("contacts of up to a hundred years may be asked for")
        now = self._node.me.clock.wall()
        return {"plans": [self._plan_row(p, now, Wall(now + hours * 3600)) for p in self._plans()]}

    async def plan_load(self, file: str) -> Answer:
        """It takes the place of the file that the route names, too: a restart goes by it."""
        plans = self._plans()
        if len(plans) > 1:
            files = ", ".join(plan.file for plan in plans)
            raise UsageError(
                f"routes here go by several plans ({files}); change one of these files"
            )
        path = Path(file)
        plan = await trio.to_thread.run_sync(ContactPlan.read, path)
        [used] = plans
        try:
            content = await trio.to_thread.run_sync(path.read_bytes)
            await trio.to_thread.run_sync(write_durably, Path(used.file), content)
        except OSError as error:
            raise UsageError(f"cannot write {used.file}: {error.strerror}") from error
        used.module.load(plan)
        self._node.agent.routes_changed()
        self._node.journal.note(f"a contact plan of {len(plan.contacts)} contacts was loaded")
        now = self._node.me.clock.wall()
        return self._plan_row(used, now, Wall(float("inf")))

    def _plans(self) -> list[InForce]:
        plans = in_force(self._node)
        if not plans:
            raise UsageError(
                "no route here goes by a plan; start the node with join --route '*=plan:FILE'"
            )
        return plans

    def _plan_row(self, plan: InForce, now: Wall, until: Wall) -> dict[str, Any]:
        coming = [c for c in plan.module.plan.contacts if c.end > now and c.start <= until]
        return {
            "file": plan.file,
            "patterns": list(plan.patterns),
            "all": len(plan.module.plan.contacts),
            "unknown": sorted(plan.module.unknown),
            "contacts": [self._row(plan.module, contact, now) for contact in coming[:ROWS_MAX]],
        }

    def _row(self, module: Planned, contact: Contact, now: Wall) -> dict[str, Any]:
        return {
            "from": self._name(module, contact.sender),
            "to": self._name(module, contact.receiver),
            "start": contact.start,
            "end": contact.end,
            "rate": contact.rate,
            "delay_s": contact.delay_s,
            "now": contact.start <= now,
        }

    def _name(self, module: Planned, word: str) -> str:
        node = module.node_of(word)
        return word if node is None else self._node.names.of(node)
