"""What a TCPCL session (radics_mesh.dtn.layers.tcpcl) tells its caller, and a bundle on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from radics_mesh.dtn.layers.tcpcl_wire import Features
from radics_mesh.ids import Eid


class Content(Protocol):
    """A bundle's bytes: `bytes`, a view, a mapped file, or pieces that are read when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes | memoryview: ...


@dataclass(eq=False)
class Transmission:
    """A bundle on its way out. Identity, not content, tells two apart."""

    bundle: Content
    sent_bytes: int = 0
    # So many of its first bytes has the peer acknowledged.
    acked_bytes: int = 0


@dataclass(frozen=True)
class Greeted:
    """The peer's contact header came; from now on bundles may pass."""

    eid: Eid
    features: Features
    keepalive_s: int


@dataclass(frozen=True)
class Arrived:
    """A whole bundle, or what is left of it after its parts; answer it with `accept(number)` or
    `refuse(number)`."""

    number: int
    bundle: bytes = field(repr=False)


@dataclass(frozen=True)
class Announced:
    """A bundle of so many bytes begins next: the time to refuse it without its data."""

    number: int
    length: int


@dataclass(frozen=True)
class Part:
    """The next bytes of a bundle that is too large to be collected here."""

    number: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Acknowledged:
    """The peer took a bundle (or could not promise to: it does not acknowledge at all)."""

    transmission: Transmission


@dataclass(frozen=True)
class Refused:
    transmission: Transmission
    reason: int


@dataclass(frozen=True)
class Ended:
    """The peer ends the session in order. `delay_s`: how long it asks us to stay away."""

    reason: int | None
    delay_s: int | None


Event = Greeted | Announced | Part | Arrived | Acknowledged | Refused | Ended
