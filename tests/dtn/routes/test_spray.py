"""Spray-and-wait: halves, and never more than L copies, whatever links and nodes do."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.routes.module import Handing
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.spray import Spray
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import NodeId
from tests.dtn.routes.bundles import NODES, NOW, A, B, C, D, E, held

L = 8


def spray(own: NodeId = A, copies: int = L) -> Spray:
    return Spray(own, Neighbours(), copies)


def test_half_goes_and_half_stays() -> None:
    module, one = spray(), held(E.eid)
    module.came(one)
    shares = []
    for peer in (B, C, D):
        assert peer in module.choose(one, E, [B, C, D], NOW)
        handing = module.hand(one, E, peer)
        assert handing.noted
        assert module.handed_on(one, handing, peer)
        shares.append(handing.share)
    assert shares == [4, 2, 1]
    assert module.copies_of(one) == 1
    assert not module.choose(one, E, [B, C, D], NOW)
    assert list(module.choose(one, E, [B, E], NOW)) == [E]
    assert not module.handed_on(one, module.hand(one, E, E), E)


def test_a_broken_link_gets_the_same_copies_again() -> None:
    module, one = spray(), held(E.eid)
    module.came(one)
    first = module.hand(one, E, B)
    again = module.hand(one, E, B)
    assert first.share == again.share == 4
    assert module.copies_of(one) == 4
    assert not again.noted


def test_a_refusal_gives_them_back() -> None:
    module, one = spray(), held(E.eid)
    module.came(one)
    module.hand(one, E, B)
    module.refused(one, B)
    module.refused(one, B)
    assert module.copies_of(one) == L


def test_the_last_copy_may_be_promised() -> None:
    module, one = spray(copies=2), held(E.eid)
    module.came(one)
    module.hand(one, E, B)
    assert list(module.choose(one, E, [B, C], NOW)) == [B]


def test_who_receives_has_what_was_said() -> None:
    module, one = spray(own=B), held(E.eid, previous=A, copies=4)
    module.came(one)
    module.came(one)
    assert module.copies_of(one) == 4
    silent = held(E.eid, previous=A)
    module.came(silent)
    assert module.copies_of(silent) == 1


def test_a_restart_knows_what_was_left() -> None:
    notes: dict[BundleId, int | None] = {}
    module, one = Spray(A, Neighbours(), L, note=notes.__setitem__), held(E.eid)
    module.came(one)
    assert not notes
    module.hand(one, E, B)
    left = {what: count for what, count in notes.items() if count is not None}
    after = Spray(A, Neighbours(), L, left)
    after.came(one)
    assert after.copies_of(one) == 4
    module.gone(one)
    assert notes == {one.bundle_id: None}


def test_on_a_stick_it_is_one_copy() -> None:
    module, one = spray(copies=2), held(E.eid)
    module.came(one)
    assert list(module.choose(one, E, [B], NOW)) == [B]
    assert module.carried(one, E, B)
    assert not module.choose(one, E, [B], NOW)
    assert not module.carried(one, E, C)


class Fleet:
    """Five nodes that hand one bundle round; what a link does is drawn."""

    def __init__(self) -> None:
        self.modules = {node: spray(node) for node in NODES}
        self.here: dict[NodeId, Held] = {}
        self.notes: dict[NodeId, int] = {}
        self.came(A, held(E.eid, sequence=7))

    def came(self, node: NodeId, one: Held) -> None:
        if node not in self.here:
            self.here[node] = one
            self.modules[node].came(one)

    def meet(self, sender: NodeId, receiver: NodeId, outcome: str) -> None:
        one, module = self.here.get(sender), self.modules[sender]
        if one is None or receiver not in module.choose(one, E, [receiver], NOW):
            return
        handing: Handing = module.hand(one, E, receiver)
        if outcome == "refused":
            module.refused(one, receiver)
            return
        self.came(receiver, held(E.eid, sequence=7, previous=sender, copies=handing.share))
        if outcome == "taken" and not module.handed_on(one, handing, receiver):
            del self.here[sender]
            module.gone(one)

    @property
    def copies(self) -> Counter[NodeId]:
        return Counter({n: self.modules[n].copies_of(one) for n, one in self.here.items()})


meetings = st.tuples(
    st.sampled_from(NODES), st.sampled_from(NODES), st.sampled_from(["taken", "broken", "refused"])
)


@given(st.lists(meetings, max_size=40))
def test_never_more_than_l(steps: list[tuple[NodeId, NodeId, str]]) -> None:
    fleet = Fleet()
    for sender, receiver, outcome in steps:
        if sender != receiver and sender != E:
            fleet.meet(sender, receiver, outcome)
        assert fleet.copies.total() - fleet.copies[E] <= L
        assert all(count >= 1 for count in fleet.copies.values())


def test_what_may_have_arrived_does_not_come_back() -> None:
    module, one = spray(), held(E.eid)
    module.came(one)
    module.hand(one, E, B)  # the link breaks
    module.hand(one, E, B)
    module.refused(one, B)
    assert module.copies_of(one) == 4
    assert module.hand(one, E, B).share == 4
