"""What is explored: the full form takes minutes, the reduced one seconds.

Three epochs are two moves that end; a third move is one that may also fail between them.
"""

from __future__ import annotations

from tests.exploration.world import Bounds

FULL = (
    # Two nodes, three epochs, two crashes; then more letters, a fourth epoch, refusals.
    Bounds(moves=2, crashes=2, in_flight=3),
    Bounds(moves=2, crashes=2, in_flight=4),
    Bounds(moves=2, crashes=2, in_flight=3, one_way=True, refusals=True),
    Bounds(moves=3, crashes=1, in_flight=3),
    Bounds(moves=2, crashes=1, in_flight=2, checkpoints=1, power_losses=1),
    Bounds(moves=2, crashes=1, in_flight=2, full_disks=1, one_way=True),
    # Three nodes.
    Bounds(nodes=3, moves=2, crashes=1, in_flight=3),
    Bounds(nodes=3, moves=2, crashes=2, in_flight=2, one_way=True),
    Bounds(nodes=3, moves=3, crashes=0, in_flight=2, one_way=True),
    # Branches: the VM is recovered from its last checkpoint, while its holder may live.
    Bounds(moves=1, crashes=2, in_flight=2, checkpoints=1, recoveries=1, one_way=True),
    Bounds(moves=1, crashes=1, in_flight=2, checkpoints=1, recoveries=1, full_disks=1),
    Bounds(moves=2, crashes=0, in_flight=2, checkpoints=1, recoveries=1),
    Bounds(nodes=3, moves=1, crashes=1, in_flight=2, checkpoints=1, recoveries=1),
    Bounds(nodes=3, moves=1, crashes=0, in_flight=2, checkpoints=1, recoveries=2),
    # An older copy of a node's disk is put back.
    Bounds(moves=2, crashes=0, in_flight=2, set_backs=1, one_way=True),
    Bounds(moves=1, crashes=1, in_flight=2, set_backs=1, one_way=True),
    Bounds(nodes=3, moves=2, crashes=0, in_flight=2, set_backs=1, one_way=True, two_way=False),
    # Messages to the VM, and from it.
    Bounds(moves=2, crashes=1, in_flight=2, messages=1, copies=1, one_way=True),
    Bounds(moves=2, crashes=0, in_flight=2, messages=2, copies=1),
    Bounds(moves=1, crashes=1, in_flight=2, messages=1, copies=1, crossings=True),
    Bounds(nodes=3, moves=2, crashes=0, in_flight=2, messages=1, copies=1),
    Bounds(moves=2, crashes=1, in_flight=2, outputs=2),
    # The same over power losses: what a checkpoint covers.
    Bounds(moves=0, crashes=1, in_flight=0, power_losses=1, checkpoints=1, messages=2, copies=1),
    Bounds(moves=1, crashes=0, in_flight=2, power_losses=1, checkpoints=1, messages=1, copies=1),
    Bounds(moves=1, crashes=0, in_flight=2, power_losses=1, checkpoints=1, outputs=2, commit=True),
    Bounds(moves=0, crashes=1, in_flight=0, power_losses=2, checkpoints=2, outputs=2, commit=True),
)
REDUCED = (
    Bounds(moves=2, crashes=1, in_flight=3),
    Bounds(moves=2, crashes=2, in_flight=2, one_way=True, refusals=True),
    Bounds(moves=1, crashes=0, in_flight=2, checkpoints=1, power_losses=1),
    Bounds(moves=1, crashes=1, in_flight=2, full_disks=1, one_way=True),
    Bounds(nodes=3, moves=2, crashes=1, in_flight=2),
    Bounds(moves=1, crashes=1, in_flight=2, checkpoints=1, recoveries=1),
    Bounds(moves=1, crashes=0, in_flight=2, set_backs=1),
    Bounds(moves=1, crashes=1, in_flight=2, messages=1, copies=1),
    Bounds(moves=1, crashes=1, in_flight=2, outputs=1),
    Bounds(moves=0, crashes=0, in_flight=0, power_losses=1, checkpoints=1, messages=2, copies=1),
    Bounds(moves=0, crashes=1, in_flight=0, power_losses=1, checkpoints=2, outputs=2, commit=True),
)
