"""Which waiting bundle a contact takes: priority, age, routes, and turning back."""

from __future__ import annotations

import pytest

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.routes.waiting import STAY_MAX_S, STAY_MIN_S, Waiting, target_of
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid, NodeId, VmId

OWN, A, B, C = (NodeId(bytes((n,)) * 20) for n in range(4))
VM = VmId(b"v" * 20)
IBR = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1")
ION = Foreign(Eid("ipn:20.0"), None, "192.0.2.2")
NOW = Monotonic(100.0)


class World:
    """Waiting bundles, and where VMs are."""

    def __init__(self, routes: dict[NodeId, list[NodeId]] | None = None) -> None:
        self.at: dict[Eid, NodeId] = {}
        self.gone: set[int] = set()
        self._key = 0
        self.waiting = Waiting(OWN, StaticRoutes(routes or {}), self.at.get)

    def put(
        self,
        destination: Eid,
        *,
        priority: int = 1,
        previous: NodeId | None = None,
        signer: NodeId | None = OWN,
        sequence: int | None = None,
        age_us: int = 0,
    ) -> int:
        self._key += 1
        self.waiting.put(
            Held(
                bundle_id=BundleId(OWN.eid, 1, sequence or self._key),
                destination=destination,
                priority=priority,
                lifetime_s=60,
                age_us=age_us,
                received=NOW,
                previous=previous,
                signer=signer,
                key=self._key,
            ),
            NOW,
        )
        return self._key

    def pick(self, contact: Peer, *contacts: Peer, now: Monotonic = NOW) -> int | None:
        pick = self.waiting.pick(
            contact, contacts or (contact,), lambda held: held.key not in self.gone, now
        )
        return pick.held.key if pick.held else None


def test_priority_then_order_of_arrival() -> None:
    world = World()
    keys = [world.put(A.service(str(n)), priority=n % 3) for n in range(6)]
    taken = [world.pick(A) for _ in range(7)]
    assert taken == [keys[2], keys[5], keys[1], keys[4], keys[0], keys[3], None]


def test_order_across_groups() -> None:
    world = World({B: [A]})
    first, second, third = world.put(B.eid), world.put(A.eid), world.put(B.eid)
    assert [world.pick(A) for _ in range(3)] == [first, second, third]


def test_no_way_means_waiting() -> None:
    world = World()
    key = world.put(C.eid)
    assert world.pick(A) is None
    world.waiting.changed()
    assert world.pick(C) == key


def test_what_is_gone_from_the_store_is_skipped() -> None:
    world = World()
    first, second = world.put(A.eid), world.put(A.eid)
    world.gone.add(first)
    assert world.pick(A) == second


def test_the_best_contact_gets_it() -> None:
    world = World({C: [B, A]})
    key = world.put(C.eid)
    assert world.pick(A, A, B) is None
    assert world.pick(B, A, B) == key


def test_a_vm_is_where_it_is_now() -> None:
    world = World()
    key = world.put(Eid(f"{VM.eid}in"))
    assert world.pick(A) is None
    world.at[Eid(f"{VM.eid}in")] = B
    world.waiting.changed()
    assert world.pick(A, A, B) is None
    assert world.pick(B, A, B) == key


def test_a_vm_said_to_be_here_but_not_registered_waits() -> None:
    world = World()
    world.put(VM.eid)
    world.at[VM.eid] = OWN
    assert world.pick(A) is None


def test_another_way_than_back() -> None:
    world = World({C: [A, B]})
    key = world.put(C.eid, previous=A, signer=A)
    assert world.pick(A, A, B) is None
    assert world.pick(B, A, B) == key


def test_back_only_when_there_is_no_other_way_and_not_at_once() -> None:
    world = World()
    world.at[VM.eid] = A  # the VM moved behind the node that sent this here
    key = world.put(VM.eid, previous=A, signer=A)
    pick = world.waiting.pick(A, (A, B), lambda held: True, NOW)
    assert pick.held is None
    assert pick.again == NOW + STAY_MIN_S
    assert world.pick(A, A, B, now=Monotonic(NOW + STAY_MIN_S)) == key


@pytest.mark.parametrize(("age_s", "stay_s"), [(0, STAY_MIN_S), (80, 5.0), (9999, STAY_MAX_S)])
def test_what_comes_round_again_stays_a_while(age_s: int, stay_s: float) -> None:
    """Three nodes with old routes: no one of them sends it straight back."""
    world = World({C: [B]})
    world.put(C.eid, previous=A, signer=A, sequence=7)
    handed_on = world.waiting.pick(B, (A, B), lambda held: True, NOW).held
    assert handed_on is not None
    world.waiting.passed(handed_on)
    again = world.put(C.eid, previous=A, signer=A, sequence=7, age_us=age_s * 1_000_000)
    fresh = world.put(C.eid, previous=A, signer=A, sequence=8)
    assert world.pick(B, A, B) == fresh
    pick = world.waiting.pick(B, (A, B), lambda held: True, NOW)
    assert (pick.held, pick.again) == (None, NOW + stay_s)
    assert world.pick(B, A, B, now=Monotonic(NOW + stay_s)) == again


def test_foreign_peers_get_what_is_for_them_from_here_only() -> None:
    world = World()
    world.put(Eid("dtn://ibr/echo"), signer=A, previous=A)
    assert world.pick(IBR, IBR, ION) is None
    own = world.put(Eid("dtn://ibr/echo"))
    other = world.put(Eid("ipn:20.7"))
    world.put(A.eid)
    assert world.pick(IBR, IBR, ION) == own
    assert world.pick(IBR, IBR, ION) is None
    assert world.pick(ION, IBR, ION) == other


def test_taking_out_what_became_local() -> None:
    world = World()
    world.at[VM.eid] = A
    mine = [world.put(VM.eid, priority=n) for n in (0, 2)]
    other = world.put(A.eid)
    taken = world.waiting.take_all(lambda held: held.destination.vm_id == VM)
    assert [held.key for held in taken] == mine
    assert [held.key for held in world.waiting] == [other]


def test_targets() -> None:
    assert target_of(Eid("dtn://n/a/b")) == target_of(Eid("dtn://n/")) == "dtn://n"
    assert target_of(Eid("ipn:20.1")) == target_of(Eid("ipn:20.0")) == "ipn:20"
    assert target_of(Eid("dtn:none")) == "dtn:none"
