"""What people call nodes: each names itself in its record, and anybody may be called by its id."""

from __future__ import annotations

from radics_mesh.config import Foreign
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.errors import UsageError
from radics_mesh.ids import NodeId
from radics_mesh.records import Kind, Record


class Names:
    """`own_name` is this node's, as its owner gave it."""

    def __init__(self, own: NodeId, own_name: str, directory: Directory, dht: Dht) -> None:
        self._own = own
        self._own_name = own_name
        self._directory = directory
        self._dht = dht

    def of(self, peer: NodeId | Foreign) -> str:
        """What people call a node; the start of its id while its record is not known."""
        if isinstance(peer, Foreign):
            return str(peer.eid)
        if peer == self._own:
            return self._own_name
        for entry in self._directory.known(Kind.NODE, peer.text):
            return _called(entry.record)
        left = (one for one in self._left() if one.publisher == peer)
        return next(map(_called, left), peer.short)

    def last_of(self, node: NodeId) -> str:
        """The same of one that may have been revoked since."""
        said = (one for one in self._directory.members() if one.publisher == node)
        return next(map(_called, said), None) or self.of(node)

    def find(self, name: str) -> NodeId | None:
        """The one node that its owner calls so, None while that is not known."""
        if name == self._own_name:
            return self._own
        said = [entry.record for entry in self._directory.known(Kind.NODE)] + self._left()
        named = {one.publisher for one in said if one.body.get("name") == name}
        return named.pop() if len(named) == 1 else None

    def node(self, text: str) -> NodeId:
        """The node that a person means: a name, an id or its start; UsageError if not just one."""
        known = {entry.record.publisher for entry in self._directory.known(Kind.NODE)}
        known |= {self._own, *self._dht.heard(), *(one.publisher for one in self._left())}
        named = [node for node in known if self.of(node) == text]
        found = named or [n for n in known if len(text) >= 4 and n.text.startswith(text.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(sorted(node.short for node in found))
            raise UsageError(f"{text} may be any of {ids}; give the id")
        names = ", ".join(sorted(self.of(node) for node in known))
        raise UsageError(f"no node called {text} is known here; known: {names}")

    def _left(self) -> list[Record]:
        """The last words of nodes that have left: they keep their names meanwhile."""
        return [one for one in self._directory.members() if one.withdrawn]


def _called(record: Record) -> str:
    return str(record.body.get("name") or record.publisher.short)
