"""The real state machine, called once for each distinct (node, tenure, input)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import Digest
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import REPEAT_FIRST_S, Consider, Effect, Tenure
from tests.exploration.world import NODES, TERMS, Blob, Interned, Letter

_NEVER = 1e9

Argument = Digest | Letter | Ownership | int | None
Step = tuple[int, Sequence[Effect]]


class Handoffs:
    """`machine` is the code under test; `refuses`: the target has no room this time."""

    def __init__(self, machine: type[Handoff]) -> None:
        self._machine = machine
        self._steps: dict[tuple[int, int, str, Argument], Step] = {}
        self.tenures: Interned[Tenure] = Interned()

    def intern(self, tenure: Tenure) -> int:
        """Times are all alike: a clock that is set may fire whenever it likes."""
        if tenure.repeat_at is not None:
            tenure = replace(tenure, repeat_at=REPEAT_FIRST_S, repeat_s=REPEAT_FIRST_S)
        if tenure.deadline is not None:
            tenure = replace(tenure, deadline=_NEVER)
        return self.tenures.number(tenure)

    def step(self, who: int, tenure: int, kind: str, argument: Argument = None) -> Step:
        """The tenure after an input, and the effects. What a peer may not say changes nothing."""
        key = (who, tenure, kind, argument)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = self._call(*key)
        return known

    def _call(self, who: int, tenure: int, kind: str, argument: Argument) -> Step:
        handoff = self._machine(self.tenures.values[tenure], NODES[who])
        try:
            self._inputs(handoff, argument)[kind]()
        except PeerError:
            return tenure, ()
        except UsageError:
            if kind != "recover":  # may be wished for at any time
                raise
            return tenure, ()
        effects = list(handoff.take())
        for effect in [e for e in effects if isinstance(e, Consider)]:
            if kind == "refused":
                handoff.decline(effect, "no room")
            else:
                handoff.reserve(effect, 0, has_image=True)
            effects.remove(effect)
            effects.extend(handoff.take())
        return self.intern(handoff.tenure), tuple(effects)

    def _inputs(self, handoff: Handoff, argument: Argument) -> dict[str, Callable[[], object]]:
        def put_back(effects: Sequence[Effect]) -> None:
            handoff._emit(*effects)

        def receive() -> None:
            assert isinstance(argument, Letter)
            assert not isinstance(argument.content, Blob)
            put_back(handoff.receive(argument.content, NODES[argument.sender].node_id, 0))

        def offer(*, one_way: bool) -> None:
            assert isinstance(argument, int)
            target = NODES[argument]
            key = target.public if one_way else b""
            handoff.offer(target.node_id, TERMS, 0, key=key, one_way=one_way)

        def recover() -> None:
            assert isinstance(argument, Ownership)
            assert argument.snapshot is not None
            handoff.recover(argument, argument.snapshot)

        def met() -> None:
            assert isinstance(argument, Ownership)
            handoff.met(argument)

        return {
            "recover": recover,
            "met": met,
            "repeat": lambda: put_back(handoff.tick(REPEAT_FIRST_S)),
            "timeout": lambda: put_back(handoff.tick(_NEVER)),
            "restore": lambda: put_back(handoff.restore(0)),
            "offer": lambda: offer(one_way=False),
            "one way": lambda: offer(one_way=True),
            "cancel": lambda: handoff.cancel("its user said so"),
            "staged enough": handoff.staged_enough,
            "parked": lambda: handoff.parked(_digest(argument), TERMS, 0),
            "park failed": lambda: handoff.park_failed("it would not"),
            "checkpoint": lambda: handoff.checkpoint(_digest(argument)),
            "stored": lambda: handoff.stored(_digest(argument)),
            "message": receive,
            "refused": receive,
        }


def _digest(argument: Argument) -> Digest:
    assert isinstance(argument, Digest)
    return argument
