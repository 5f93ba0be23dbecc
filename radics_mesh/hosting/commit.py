"""When a VM's state is written down by itself, and what waits for that: the user's choice."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.codec import Fields
from radics_mesh.errors import UsageError

# Below: the guest would do little else than park. Above: one may as well be without.
EVERY_MIN_S, EVERY_MAX_S = 0.1, 30 * 24 * 3600.0
# With `--commit output` what waits for a checkpoint waits no longer than this, unless told else.
COMMIT_EVERY_S = 1.0


@dataclass(frozen=True)
class Commit:
    """It travels with the VM. `every_ms` 0: no checkpoint but those that the program, its user or
    its mail asks for. `output`: what it sends, and how far it has read, is told to others only
    once a durable checkpoint covers it."""

    every_ms: int = 0
    output: bool = False

    @classmethod
    def of(cls, every_s: float, *, output: bool) -> Commit:
        """UsageError for an interval that makes no sense; 0 is none."""
        if every_s and not EVERY_MIN_S <= every_s <= EVERY_MAX_S:
            raise UsageError(
                f"a checkpoint every {every_s:g} s: give {EVERY_MIN_S:g} s to"
                f" {EVERY_MAX_S / 86400:.0f} days, or off"
            )
        return cls(round(every_s * 1000), output)

    @property
    def every_s(self) -> float:
        return self.every_ms / 1000

    @property
    def within_s(self) -> float:
        """How long what waits for a checkpoint waits at most."""
        return self.every_s or COMMIT_EVERY_S

    def fields(self) -> list[object]:
        return [self.every_ms, self.output]

    @classmethod
    def read(cls, fields: Fields) -> Commit:
        return cls(fields.integer(0, 1 << 42), fields.boolean())


AT_ONCE = Commit()
