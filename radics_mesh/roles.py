"""What a certificate lets its holder do, and in words what it lacks.

Roles are judged by whoever is asked, from the asker's chain alone; a node also refuses what its own
certificate does not allow, so that its user hears of it at once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from radics_mesh.errors import UsageError


class Role(enum.IntFlag):
    """Bits of a certificate. A new one is a new version of the certificate: older nodes refuse
    bits that they do not know."""

    # Read sources, and keep up with what members say.
    OBSERVE = 1
    # State sources, and serve their data.
    PUBLISH = 2
    # Have VMs and images: start, host, move and keep them.
    RUN = 4
    # Let others in, with these roles or fewer.
    INVITE = 8
    # Change what is others': revoke, rotate, recover; and speak for another owner.
    OPERATE = 16


NO_ROLE = Role(0)
ALL_ROLES = Role.OBSERVE | Role.PUBLISH | Role.RUN | Role.INVITE | Role.OPERATE


def names(roles: Role) -> list[str]:
    return [role.name.lower() for role in Role if role in roles and role.name]


def parse(texts: Iterable[str]) -> Role:
    """Roles by their names; UsageError for another word, and for none at all."""
    found = NO_ROLE
    for text in texts:
        try:
            found |= Role[text.upper()]
        except KeyError as error:
            there_are = ", ".join(names(ALL_ROLES))
            raise UsageError(f"no role {text[:40]!r}; there are {there_are}") from error
    if not found:
        raise UsageError("a member has at least one role")
    return found
