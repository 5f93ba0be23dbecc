"""Requests about the bundles that are stored here, and about the contacts that take them on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import UsageError, WireError
from radics_mesh.node import bundle_rows, rows
from radics_mesh.node.services import Services

Answer = Mapping[str, Any]
# Of what a person gives as a bundle's name; less may be any.
SHORT_MIN = 3


class BundleRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def bundles(self) -> Answer:
        return {
            "bundles": rows.bundle_rows(self._node),
            "counts": rows.bundle_counts(self._node),
        }

    async def bundle(self, id: str) -> Answer:
        return bundle_rows.bundle_info(self._node, self._held(id))

    async def bundle_delete(self, id: str) -> Answer:
        held = self._held(id)
        self._node.agent.delete(held)
        await self._node.store.flushed()
        self._node.journal.note(f"bundle {held.bundle_id} to {held.destination} was deleted")
        return {"id": str(held.bundle_id)}

    async def bundle_why(self, id: str) -> Answer:
        """Also of one that has left, or was never here, as far as anything is known of it."""
        found = self._found(id)
        if len(found) > 1:
            raise _ambiguous(id, found)
        if found:
            return bundle_rows.why_here(self._node, found[0])
        known = bundle_rows.why_elsewhere(self._node, id)
        if known is None:
            raise UsageError(f"nothing is known here of a bundle {id[:80]!r}")
        return known

    async def contacts(self) -> Answer:
        return {"contacts": bundle_rows.contact_rows(self._node)}

    def _held(self, text: str) -> Held:
        found = self._found(text)
        if len(found) > 1:
            raise _ambiguous(text, found)
        if not found:
            raise UsageError(f"no bundle {text[:80]!r} is stored here; `bundles` lists those")
        return found[0]

    def _found(self, text: str) -> list[Held]:
        """By all of its identity, or by the end of it, which differs most."""
        if len(text) < SHORT_MIN:
            raise UsageError(f"give at least {SHORT_MIN} characters of a bundle's identity")
        with suppress(WireError):
            exact = self._node.store.find(BundleId.parse(text))
            if exact is not None:
                return [exact]
        return [held for held in self._node.store if str(held.bundle_id).endswith(text)]


def _ambiguous(text: str, found: list[Held]) -> UsageError:
    some = ", ".join(str(held.bundle_id) for held in found[:3])
    return UsageError(f"{text[:80]!r} may be any of {len(found)} bundles: {some}, ...")
