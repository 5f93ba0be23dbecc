"""How bundles for the VM go from node to node, whatever each of them believes of where it is."""

from __future__ import annotations

from collections.abc import Iterator

from tests.exploration.node import Shell
from tests.exploration.world import Handing, State


class Bundles:
    """Each may go anywhere: routes and directories may say anything while a VM moves."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def after(self, state: State) -> Iterator[tuple[str, bool, str, State]]:
        """Bundles go from neighbour to neighbour, whoever seems to have the VM.

        Once taken by the next, one leaves the last; unless that hears nothing of it (`copies`).
        """
        shell, count = self._shell, self._shell.bounds.nodes
        common = shell.commons.values[state[-1]]
        copied = shell.commons.number(common._replace(copies=common.copies - 1))
        for message in sorted(common.outside):
            gone = shell.commons.number(common._replace(outside=common.outside - {message}))
            for to in range(count):
                given = _with(state, to, shell.admits(message, state[to]))
                yield f"bundle {message} to {to}", True, "", _with(given, count + 1, gone)
                if common.copies:
                    yield f"copy {message} to {to}", True, "", _with(given, count + 1, copied)
        yield from self._handed(state) if self._shell.bounds.crossings else self._passed(state)

    def _passed(self, state: State) -> Iterator[tuple[str, bool, str, State]]:
        """At once."""
        shell, count = self._shell, self._shell.bounds.nodes
        common = shell.commons.values[state[-1]]
        copied = shell.commons.number(common._replace(copies=common.copies - 1))
        for who in range(count):
            for message in sorted(shell.may_forward(state[who])):
                rest = shell.drops(message, state[who])
                for to in range(count):
                    if to != who:
                        given = _with(state, to, shell.admits(message, state[to]))
                        label = f"bundle {message} from {who} to {to}"
                        yield label, True, "", _with(given, who, rest)
                        if common.copies:
                            yield f"copy of {label}", True, "", _with(given, count + 1, copied)

    def _handed(self, state: State) -> Iterator[tuple[str, bool, str, State]]:
        """Begun, arrived, acknowledged; or the link is cut (`copies`)."""
        shell, common = self._shell, self._shell.commons.values[state[-1]]
        for who in range(self._shell.bounds.nodes):
            for message in sorted(shell.may_forward(state[who])):
                for to in range(self._shell.bounds.nodes):
                    same = any(h[:3] == (who, to, message) for h in common.handing)
                    if to != who and not same:
                        begun = common.handing | {Handing(who, to, message)}
                        label = f"bundle {message} leaves {who} for {to}"
                        yield label, True, "", self._with_handing(state, begun)
        for handing in sorted(common.handing):
            yield self._handed_on(state, handing)
            if common.copies:
                left = common._replace(handing=common.handing - {handing}, copies=common.copies - 1)
                cut = _with(state, len(state) - 1, shell.commons.number(left))
                yield f"link {handing.who}-{handing.to} is cut", False, "", cut

    def _handed_on(self, state: State, handing: Handing) -> tuple[str, bool, str, State]:
        who, to, message, arrived, crossed = handing
        rest = self._shell.commons.values[state[-1]].handing - {handing}
        if arrived:
            node = state[who] if crossed else self._shell.drops(message, state[who])
            label = f"bundle {message} is acknowledged to {who}"
            return label, True, "", self._with_handing(_with(state, who, node), rest)
        given = _with(state, to, self._shell.admits(message, state[to]))
        if given == state:
            rest = self._shell.crosses(message, rest, handing)
        label = f"bundle {message} from {who} to {to}"
        return label, True, "", self._with_handing(given, rest | {handing._replace(arrived=True)})

    def _with_handing(self, state: State, handing: frozenset[Handing]) -> State:
        common = self._shell.commons.values[state[-1]]
        number = self._shell.commons.number(common._replace(handing=handing))
        return _with(state, len(state) - 1, number)


def _with(state: State, place: int, value: int) -> State:
    return (*state[:place], value, *state[place + 1 :])
