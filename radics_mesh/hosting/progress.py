"""How far a move is, for people."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.ids import NodeId


@dataclass(frozen=True)
class Progress:
    """`phase`: of the hand-off. `there`: pages that the target has, of `pages` that the VM had when
    it was last looked at (0: it was not yet)."""

    target: NodeId
    phase: str
    rounds: int
    pages: int
    there: int
    sent_bytes: int

    @property
    def share(self) -> float | None:
        """Of the pages; None while that is not known."""
        return self.there / self.pages if self.pages else None
