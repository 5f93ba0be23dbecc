"""Requests about sticks: bundles that go in and out as files, and moves that go along with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from radics_mesh.dtn.layers import carried
from radics_mesh.dtn.layers.carrier import Inward, Outward
from radics_mesh.dtn.layers.stick import Stick
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.identity import KEY_BYTES
from radics_mesh.ids import NodeId
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services
from radics_mesh.records import Kind

Answer = Mapping[str, Any]
# A node that ended while a VM was being released stores again what goes with it. With a limit on
# moves that may take days; the rest goes with the next trip.
OWED_WITHIN_S = 60.0


class CarryRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def carry_out(self, directory: str, to: list[str]) -> Answer:
        path = Path(directory)
        await self._node.carrier.learn_cards(path)
        nodes = {self._node.names.node(name) for name in to}
        with trio.move_on_after(OWED_WITHIN_S):
            await self._node.hosting.owed_is_stored()
        went = await self._node.carrier.write(path, nodes if to else None)
        if went.written:
            self._node.journal.note(f"{went.written} bundles written to {directory}")
        return _outward(went)

    async def carry_in(self, directory: str) -> Answer:
        came = await self._node.carrier.take(Path(directory))
        if came.taken:
            self._node.journal.note(f"{came.taken} bundles taken from {directory}")
        return _inward(came)

    async def carry_card(self, directory: str) -> Answer:
        await self._node.carrier.leave_card(Path(directory))
        return {"id": self._node.me.node_id.text, "name": self._node.config.name}

    async def migrate_via(self, name: str, to: str, directory: str, key: str) -> Answer:
        """A one-way move whose bundles are on the stick when this returns."""
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            raise UsageError(elsewhere)
        path = Path(directory)
        await self._node.carrier.learn_cards(path)
        target, public = self._target(to, key)
        self._check_room(
            name, path, await trio.to_thread.run_sync(lambda: Stick(path).free_bytes())
        )
        move = await self._node.hosting.migrate(name, target, one_way=True, key=public)
        went = await self._node.carrier.write(path, {target})
        return {"moved": vm_rows.moved(self._node, name, move), "carried": _outward(went)}

    def _target(self, to: str, key: str) -> tuple[NodeId, bytes]:
        """A node and its public key: the one given, or as its record or card says."""
        if key:
            public = _public_key(key)
            return NodeId.of_key(public), public
        node = self._node.names.node(to)
        for entry in self._node.directory.known(Kind.NODE, node.text):
            return node, entry.record.signer
        raise UsageError(
            f"the key of {to} is not known here: let it write its card onto the stick"
            " (`carry card DIR`), or give --key"
        )

    def _check_room(self, name: str, path: Path, free: int) -> None:
        """CapacityError before anything is done. No VM takes more than its image and its memory."""
        vm = self._node.hosting.vm(name)
        need = vm.memory_bytes + vm.image_bytes
        store = self._node.store
        if need > store.quota_bytes - store.bytes_held:
            raise CapacityError(f"the bundle store here has no room for the {need} bytes of {name}")
        if not carried.fits(need, free):
            raise CapacityError(
                f"{path} has {free} bytes free; {name} may take up to {need}, and"
                f" {carried.RESERVE_BYTES} stay free for receipts"
            )


def _public_key(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError("a public key is 64 hexadecimal digits") from error
    if len(raw) != KEY_BYTES:
        raise UsageError("a public key is 64 hexadecimal digits")
    return raw


def _outward(went: Outward) -> Answer:
    return {
        "written": went.written,
        "written_bytes": went.written_bytes,
        "there": went.there,
        "left": went.left,
        "left_bytes": went.left_bytes,
        "confirmed": went.confirmed,
        "problems": went.problems[:100],
    }


def _inward(came: Inward) -> Answer:
    return {
        "taken": came.taken,
        "known": came.known,
        "cards": came.cards,
        "confirmed": came.confirmed,
        "problems": came.problems[:100],
    }
