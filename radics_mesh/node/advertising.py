"""Advertises the services of this node and of its VMs: the endpoints that somebody answers at.

A service's name is what follows the node or the VM in its endpoint. One record says where on this
node the service of that name is, since two VMs here may serve the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import trio

from radics_mesh import paths
from radics_mesh.directory.service import Directory
from radics_mesh.ids import Eid
from radics_mesh.records import Kind
from radics_mesh.vmm.outputs import REPLY_PREFIX

LOOK_EVERY_S = 1.0
ENDPOINTS_MAX = 4
SERVICES_MAX = 64


class Advertising:
    """`served`: the endpoints with a handler now. Of the node's own only those count that a user
    has opened (`open`): the rest is between nodes."""

    def __init__(self, directory: Directory, served: Callable[[], Iterable[Eid]]) -> None:
        self._directory = directory
        self._served = served
        self._opened: set[Eid] = set()
        self._stated: Mapping[str, list[str]] = {}

    def open(self, endpoint: Eid) -> None:
        """A user serves this endpoint of the node for now."""
        self._opened.add(endpoint)

    def close(self, endpoint: Eid) -> None:
        self._opened.discard(endpoint)

    async def run(self) -> None:
        while True:
            await self.look()
            await trio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """State what is new, and withdraw what is over."""
        services = self._services()
        before, self._stated = self._stated, services
        for name, endpoints in services.items():
            if before.get(name) != endpoints:
                await self._directory.announce(Kind.SERVICE, name, {"endpoints": endpoints})
        for name in before.keys() - services.keys():
            await self._directory.withdraw(Kind.SERVICE, name)

    def _services(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for endpoint in sorted(self._served()):
            name = endpoint.service_name
            if not self._is_public(endpoint, name):
                continue
            if name not in found and len(found) == SERVICES_MAX:
                continue
            if len(found.setdefault(name, [])) < ENDPOINTS_MAX:
                found[name].append(str(endpoint))
        return found

    def _is_public(self, endpoint: Eid, name: str) -> bool:
        if endpoint.vm_id is None and endpoint not in self._opened:
            return False
        return not paths.fault(name) and not name.startswith(REPLY_PREFIX)
