"""What a guest's channel reports, beside the outputs and stream states that are frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.outputs import Output
from radics_mesh.vmm.threads import ThreadTold

FRESH, RUNNING, WARM = 0, 1, 2


@dataclass(frozen=True)
class Ready:
    """The guest answered the first hello of a connection. Feed each stream from have + 1 on.

    `state`: FRESH (just booted), RUNNING (it had talked to a host before), WARM (warm start).
    `checkpoint`: the output whose checkpoint the program waits for, 0: none.
    """

    state: int
    out_next: int
    streams: tuple[StreamState, ...]
    checkpoint: int = 0


@dataclass(frozen=True)
class Parked:
    """The program has stopped and its memory will not change any more.

    `changed`: what has changed since the stage that `park` named; None: the guest did not say.
    """

    memory_bytes: int
    changed: Changed | None = None
    # Of the question that it answers.
    nonce: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Panicked:
    """The library OS itself failed; the VM ends."""

    text: str


ChannelEvent = Ready | Output | StreamState | Changed | Parked | Panicked | ThreadTold
