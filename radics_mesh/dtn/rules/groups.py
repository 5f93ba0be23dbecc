"""Bundles for many receivers: which members here are still to have a copy. Sans-IO.

A group is an endpoint `dtn://group.NAME/...` (RFC 5050: an endpoint that is no singleton). Whoever
registers it on any node is a member. A bundle to it bears no SINGLETON flag, is never cut (a
fragment that another implementation made is refused) and in nobody's custody (who asks for it has
the bundle carried without); each node keeps it until it expires, gives a copy to every neighbour
that has none (`routes.flood`), and hands it to all members that are registered here when it comes,
or, if there are none yet, to the first that come. Then the node has had it, for good; a crash
before the last of them was served serves all of them again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from radics_mesh.dtn.storage.held import Held

_Member = TypeVar("_Member")


@dataclass(slots=True)
class _Copies(Generic[_Member]):
    owed: set[_Member]
    processed: bool = field(default=False)


class Copies(Generic[_Member]):
    """All bundles to groups that members here are being served."""

    def __init__(self) -> None:
        self._of: dict[int, _Copies[_Member]] = {}

    def begin(self, held: Held, members: Collection[_Member]) -> bool:
        """Whether these members are to be served now."""
        if held.key in self._of or not members:
            return False
        self._of[held.key] = _Copies(set(members))
        return True

    def served(self, held: Held, member: _Member, *, processed: bool) -> bool:
        """A member has had its copy, or has left without it. Whether that was the last one, and at
        least one has had it: then it has been delivered here."""
        copies = self._of.get(held.key)
        if copies is None:
            return False
        copies.owed.discard(member)
        copies.processed |= processed
        if copies.owed:
            return False
        del self._of[held.key]
        return copies.processed
