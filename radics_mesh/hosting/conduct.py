"""What becomes of a VM whose program ends, and what it may use beside its memory.

The host's failures are not the program's: when QEMU or the node dies, the VM goes on from its
latest state under every policy (radics_mesh.hosting.vm_tenancy). A restart is for a program that
ended or broke: it begins anew from its image, with nothing left of the life before but its mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from radics_mesh.codec import Fields
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import Digest

NO, ON_FAILURE, ALWAYS = "no", "on-failure", "always"
_FORM = re.compile(r"(no|always|on-failure)(?::([1-9][0-9]{0,5}))?")
# Less, and a guest answers its host too late.
CPU_MIN_PERCENT, CPU_MAX_PERCENT = 5, 400
MESSAGES_MAX_S = 1_000_000
# Room for a log and a snapshot of something.
STORAGE_MIN_BYTES = 1 << 20


@dataclass(frozen=True)
class Restart:
    """`most`: how often in a row; 0: as often as it takes."""

    when: str = NO
    most: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """`no`, `always`, `on-failure` or `on-failure:N`; UsageError otherwise."""
        found = _FORM.fullmatch(text)
        if found is None or (found[2] and found[1] != ON_FAILURE):
            raise UsageError(f"not a restart policy: {text[:40]!r} (no, on-failure[:N], always)")
        return cls(found[1], int(found[2] or 0))

    def __str__(self) -> str:
        return f"{self.when}:{self.most}" if self.most else self.when

    def again(self, *, failed: bool, times: int) -> bool:
        """Whether a program begins anew that has ended, after `times` new beginnings in a row."""
        if self.when == ALWAYS:
            return True
        return self.when == ON_FAILURE and failed and (not self.most or times < self.most)


@dataclass(frozen=True)
class Conduct:
    """Of limits, 0 means the node's own: see radics_mesh.hosting.vm_limits and logs."""

    restart: Restart = Restart()
    # Of one core: 150 is a core and a half.
    cpu_percent: int = 0
    # Outputs: messages, lines of log, requests.
    messages_s: int = 0
    # Log, waiting mail and snapshots here, together.
    storage_bytes: int = 0
    # How often in a row the program has begun anew, and the state that its last life had: whoever
    # starts it must not go on from that.
    times: int = 0
    ended: Digest | None = None

    @classmethod
    def of(cls, restart: str, cpu_percent: int, messages_s: int, storage_bytes: int) -> Self:
        """As a user asks for it; UsageError when it makes no sense."""
        conduct = cls(Restart.parse(restart), cpu_percent, messages_s, storage_bytes)
        conduct.check()
        return conduct

    def check(self) -> None:
        """UsageError when a limit makes no sense."""
        if self.cpu_percent and not CPU_MIN_PERCENT <= self.cpu_percent <= CPU_MAX_PERCENT:
            raise UsageError(f"a CPU share is {CPU_MIN_PERCENT} to {CPU_MAX_PERCENT} percent")
        if not 0 <= self.messages_s <= MESSAGES_MAX_S:
            raise UsageError(f"a message rate is 1 to {MESSAGES_MAX_S} a second")
        if self.storage_bytes and not STORAGE_MIN_BYTES <= self.storage_bytes < 1 << 48:
            raise UsageError(f"a VM's storage is {STORAGE_MIN_BYTES >> 20} MiB at least")

    def ends(self, snapshot: Digest | None, *, healthy: bool) -> Conduct:
        """Of the life that follows one which has ended."""
        return replace(self, times=1 if healthy else self.times + 1, ended=snapshot)

    def fields(self) -> list[object]:
        return [
            str(self.restart),
            self.cpu_percent,
            self.messages_s,
            self.storage_bytes,
            self.times,
            bytes(self.ended or b""),
        ]

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """WireError for what nobody could have asked for."""
        try:
            return cls._read(fields)
        except UsageError as error:
            raise WireError(f"conduct: {error}") from error

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        conduct = cls(
            Restart.parse(fields.text(limit=40)),
            fields.integer(0, CPU_MAX_PERCENT),
            fields.integer(0, MESSAGES_MAX_S),
            fields.integer(0, 1 << 48),
            fields.integer(0, 1 << 32),
            Digest(raw) if (raw := fields.blob(limit=Digest.LENGTH)) else None,
        )
        conduct.check()
        return conduct


DEFAULT = Conduct()
