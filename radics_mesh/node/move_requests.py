"""Requests about moves of VMs: begin one, watch it, give it up."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import trio

from radics_mesh.config import MOVE_LIMIT_MIN
from radics_mesh.errors import UsageError
from radics_mesh.hosting.status import MoveStats
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services
from radics_mesh.records import Kind
from radics_mesh.vmm.handoff_state import OFFER_S

Answer = Mapping[str, Any]
_PROGRESS_EVERY_S = 0.3
_PATIENCE_MAX_S = 30 * 86400.0


class MoveRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def migrate(
        self,
        name: str,
        to: str,
        near: str,
        one_way: bool,
        limit: float | None,
        patience_s: float | None,
    ) -> Answer:
        self._refuse_remote(name)
        if bool(to) == bool(near):
            raise UsageError("a move goes --to a node or --near a source")
        if limit is not None and limit < MOVE_LIMIT_MIN:
            raise UsageError(f"a limit is {MOVE_LIMIT_MIN:g} bytes a second or more")
        if patience_s is not None and not 1 <= patience_s <= _PATIENCE_MAX_S:
            raise UsageError(f"patience is 1 to {_PATIENCE_MAX_S:g} seconds")
        target = await self._publisher(near) if near else self._node.names.node(to)
        if self._node.replicas.is_replica(name):
            return await self._move_replica(name, target)
        move = await self._node.hosting.migrate(
            name,
            target,
            one_way=one_way,
            limit=limit,
            patience_s=OFFER_S if patience_s is None else patience_s,
        )
        return vm_rows.moved(self._node, name, move)

    async def _move_replica(self, name: str, target: NodeId) -> Answer:
        """It has no state: another is started there."""
        epoch = self._node.hosting.vm(name).epoch
        await self._node.replicas.move(name, target)
        return vm_rows.moved(self._node, name, MoveStats(target, True, epoch))

    async def migrate_cancel(self, name: str) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.cancel_move(name)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def progress(self, name: str) -> AsyncGenerator[Answer, None]:
        """Until the VM does not move, or is released."""
        while (progress := self._node.hosting.progress(name)) is not None:
            yield {
                "target": self._node.names.of(progress.target),
                "phase": progress.phase,
                "rounds": progress.rounds,
                "share": progress.share,
                "bytes": progress.sent_bytes,
            }
            await trio.sleep(_PROGRESS_EVERY_S)

    async def _publisher(self, source: str) -> NodeId:
        """The nearest other node that publishes a source, as far as is known."""
        entries = await self._node.directory.lookup(Kind.SOURCE, source)
        there = [entry for entry in entries if not entry.record.withdrawn]
        if any(entry.record.publisher == self._node.me.node_id for entry in there):
            raise UsageError(f"{source} is published on this node: the VM is near it already")
        if not there:
            raise UsageError(f"no publisher of {source} is known; `sources` lists those that are")
        return min(there, key=self._distance).record.publisher

    def _distance(self, entry: Entry) -> tuple[bool, float, float]:
        rtt_s = self._node.contacts.rtt_s(entry.record.publisher)
        return entry.stale, math.inf if rtt_s is None else rtt_s, entry.age_s

    def _refuse_remote(self, name: str) -> None:
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            raise UsageError(elsewhere)
