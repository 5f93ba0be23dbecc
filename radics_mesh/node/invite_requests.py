"""Requests about strangers: who knocks, who is let in, tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from radics_mesh import roles
from radics_mesh.errors import UsageError
from radics_mesh.membership import Grant
from radics_mesh.node import rows
from radics_mesh.node.services import Services

Answer = Mapping[str, Any]
HOURS_MAX = 24 * 365
USES_MAX = 1000


class InviteRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def knocks(self) -> Answer:
        return {"knocks": rows.knock_rows(self._node)}

    async def approve(self, code: str, roles: list[str], owner: str) -> Answer:
        knock = self._node.admission.approve(code, _grant(roles, owner))
        self._node.journal.note(f"{knock.name} was let in")
        return {"name": knock.name, "id": knock.node_id.text}

    async def invite(self, uses: int, hours: float, roles: list[str], owner: str) -> Answer:
        if not 1 <= uses <= USES_MAX or not 0 < hours <= HOURS_MAX:
            raise UsageError("an invitation has 1 to 1000 uses and lasts up to a year")
        addresses = self._node.addresses()
        first = addresses[0]
        token = self._node.admission.make_token(
            first.host,
            first.port,
            uses=uses,
            lifetime_s=hours * 3600,
            grant=_grant(roles, owner),
        )
        return {
            "token": token.text(),
            "uses": uses,
            "expires": time.time() + hours * 3600,
            "addresses": [str(address) for address in addresses],
        }


def _grant(named: list[str], owner: str) -> Grant:
    """None named, none given: as this node has itself."""
    if not all(isinstance(one, str) for one in named):
        raise UsageError("a role is a word")
    return Grant(roles.parse(named) if named else None, owner or None)
