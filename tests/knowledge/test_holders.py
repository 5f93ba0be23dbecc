from __future__ import annotations

import pytest

from radics_mesh.ids import Digest
from radics_mesh.knowledge.holders import Holders, Standing
from radics_mesh.ownership import Ownership, born
from radics_mesh.records import Kind, Record, sign
from tests.members import member

IMAGE = Digest(bytes(32))


def _moved(chain: Ownership, source: int, target: int) -> Ownership:
    return chain.released(member(source)[0], member(target)[0].public, IMAGE)


def _vm_record(number: int, chain: Ownership, epoch: int | None = None) -> Record:
    identity, packed = member(number)
    body = {"epoch": epoch or chain.epoch, "ownership": bytes(chain.digest)}
    return sign(identity, packed, Kind.VM, chain.vm_id.text, sequence=1, ttl_s=60, body=body)


@pytest.fixture
def birth() -> Ownership:
    return born(member(1)[0], "count", IMAGE, bytes(16))


def test_the_longer_chain_names_the_holder(birth: Ownership) -> None:
    holders = Holders()
    assert holders.holder(birth.vm_id) is None
    second = _moved(birth, 1, 2)
    assert holders.learn(second)
    assert not holders.learn(birth)
    assert not holders.learn(second)
    assert holders.holder(birth.vm_id) == member(2)[0].node_id
    third = _moved(second, 2, 3)
    assert holders.learn(third)
    assert holders.chain(birth.vm_id) == third


def test_of_a_fork_all_nodes_know_the_same_branch_as_the_higher(birth: Ownership) -> None:
    moved, recovered = _moved(birth, 1, 2), birth.recovered(member(3)[0], IMAGE)
    for order in [(moved, recovered), (recovered, moved)]:
        holders = Holders()
        for chain in order:
            holders.learn(chain)
        assert holders.holder(birth.vm_id) == member(3)[0].node_id
        assert holders.standing(_vm_record(2, moved)) is Standing.OUTDATED
        assert holders.standing(_vm_record(3, recovered)) is Standing.COUNTS
        assert holders.is_lower(moved)
        assert holders.is_lower(birth)


def test_who_merely_handed_on_follows_no_lower_branch(birth: Ownership) -> None:
    holders = Holders()
    holders.learn(_moved(birth, 1, 2))
    assert not holders.is_lower(birth)


def test_a_record_counts_by_its_chain_alone(birth: Ownership) -> None:
    holders, second = Holders(), _moved(birth, 1, 2)
    assert holders.standing(_vm_record(1, birth)) is Standing.UNPROVED
    holders.learn(birth)
    assert holders.standing(_vm_record(1, birth)) is Standing.COUNTS
    assert holders.standing(_vm_record(2, birth)) is Standing.FALSE
    assert holders.standing(_vm_record(1, birth, epoch=9)) is Standing.FALSE
    holders.learn(second)
    assert holders.standing(_vm_record(1, birth)) is Standing.OUTDATED
    assert holders.standing(_vm_record(2, second)) is Standing.COUNTS


def test_another_vms_chain_proves_nothing(birth: Ownership) -> None:
    holders, other = Holders(), born(member(2)[0], "count", IMAGE, bytes(16))
    holders.learn(birth)
    holders.learn(other)
    identity, packed = member(2)
    body = {"epoch": 1, "ownership": bytes(other.digest)}
    stolen = sign(identity, packed, Kind.VM, birth.vm_id.text, sequence=1, ttl_s=60, body=body)
    assert holders.standing(stolen) is Standing.FALSE


@pytest.mark.parametrize("body", [{}, {"ownership": "text"}, {"ownership": b"short"}])
def test_a_record_without_a_chain_is_false(birth: Ownership, body: dict[str, object]) -> None:
    identity, packed = member(1)
    record = sign(identity, packed, Kind.VM, birth.vm_id.text, sequence=1, ttl_s=60, body=body)
    assert Holders().standing(record) is Standing.FALSE
