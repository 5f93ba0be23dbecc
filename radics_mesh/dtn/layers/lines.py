"""One session with a peer, and which one stays when there are two.

Two nodes that dial each other at once would have two sessions. Both keep the one that the node
with the smaller id dialled. A caller who comes while an older session stands, though, has lost it
(it would not dial otherwise), so from SETTLED_S on the newer one wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import trio

from radics_mesh.config import Foreign
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.ids import NodeId
from radics_mesh.link import tcp_rtt_s
from radics_mesh.sealed import ByteStream, SealedStream

SETTLED_S = 5.0


class Contact(Protocol):
    def close(self) -> None: ...


@dataclass(eq=False)
class Line:
    """One session and what decides whether it stays."""

    peer: Peer
    initiated: bool
    stream: ByteStream
    session: TcpclSession
    began: float = field(default_factory=trio.current_time)
    over: trio.Event = field(default_factory=trio.Event)
    contact: Contact | None = None

    @property
    def host(self) -> str:
        """Where the peer is, or was when the session began."""
        return self.stream.remote[0] if isinstance(self.stream, SealedStream) else ""

    def rtt_s(self) -> float | None:
        stream = self.stream
        return stream.rtt_s if isinstance(stream, SealedStream) else tcp_rtt_s(stream)


def prefers(own: NodeId, new: Line, old: Line) -> bool:
    """Whether the new one of two sessions with a peer is to stay, as seen by `own`."""
    settled = new.began - old.began >= SETTLED_S
    if settled or new.initiated == old.initiated or isinstance(new.peer, Foreign):
        return True
    return new.initiated == (own < new.peer)
