"""What becomes of a VM whose holder is lost: its owner's choice."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from radics_mesh.codec import Fields
from radics_mesh.errors import UsageError, WireError
from radics_mesh.hosting.conduct import Restart
from radics_mesh.ids import ID_BYTES, NodeId
from radics_mesh.ownership import AFTER_MAX_S

# Less would be a false alarm on a busy node.
AFTER_MIN_S = 10
# A holder speaks to its keepers so many times in the silence that they would act upon.
BEATS = 4
DEFAULT_AFTER_S = 300
# Of a restartable VM that has no checkpoint by its owner's choice.
CHECKPOINT_EVERY_S = 60.0
KEEPERS_MAX = 8
# Keepers of a restartable VM for which none are named.
KEEPERS_CHOSEN = 2


class Survival(enum.StrEnum):
    AT_MOST_ONE = "at-most-one"
    RESTARTABLE = "restartable"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class Policy:
    """It travels with the VM. `after_s`: RESTARTABLE only. `keepers`: who keeps its checkpoints;
    none named, a restartable VM's holder chooses."""

    survival: Survival = Survival.AT_MOST_ONE
    after_s: int = 0
    keepers: tuple[NodeId, ...] = ()

    @classmethod
    def parse(cls, text: str, keepers: tuple[NodeId, ...] = ()) -> Policy:
        """at-most-one, restartable[:SECONDS] or replicated; UsageError."""
        name, colon, seconds = text.partition(":")
        try:
            survival = Survival(name)
        except ValueError as error:
            raise UsageError(
                f"no policy {text!r}; there are at-most-one, restartable[:SECONDS], replicated"
            ) from error
        if len(keepers) > KEEPERS_MAX:
            raise UsageError(f"at most {KEEPERS_MAX} nodes keep a VM's checkpoints")
        if survival is Survival.REPLICATED and keepers:
            raise UsageError("a replicated VM has no state to keep; start another replica instead")
        if survival is not Survival.RESTARTABLE:
            if colon:
                raise UsageError(f"{name} takes no time")
            return cls(survival, 0, keepers)
        after_s = int(seconds) if seconds.isdecimal() and len(seconds) < 10 else -1
        if not colon:
            after_s = DEFAULT_AFTER_S
        if not AFTER_MIN_S <= after_s <= AFTER_MAX_S:
            raise UsageError(f"restart after {AFTER_MIN_S} to {AFTER_MAX_S} seconds of silence")
        return cls(survival, after_s, keepers)

    @property
    def is_kept(self) -> bool:
        """Whether other nodes keep its checkpoints."""
        return self.survival is Survival.RESTARTABLE or bool(self.keepers)

    def __str__(self) -> str:
        after = f":{self.after_s}" if self.survival is Survival.RESTARTABLE else ""
        return f"{self.survival.value}{after}"

    def fields(self) -> list[object]:
        return [self.survival.value, self.after_s, [bytes(keeper) for keeper in self.keepers]]

    @classmethod
    def read(cls, fields: Fields) -> Policy:
        name, after_s = fields.text(), fields.integer(0, AFTER_MAX_S)
        keepers = fields.items(limit=KEEPERS_MAX)
        if not all(isinstance(keeper, bytes) and len(keeper) == ID_BYTES for keeper in keepers):
            raise WireError("policy: a keeper that is no node")
        try:
            survival = Survival(name)
        except ValueError as error:
            raise WireError(f"policy: {error}") from error
        nodes = tuple(NodeId(keeper) for keeper in keepers if isinstance(keeper, bytes))
        return cls(survival, after_s, nodes)


AT_MOST_ONE = Policy()


def check_choices(restart: str, policy: str) -> None:
    """What an image may wish for, in the words of `run`; UsageError."""
    if restart:
        Restart.parse(restart)
    if policy:
        Policy.parse(policy)
