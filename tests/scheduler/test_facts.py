"""Facts and invitations from the wire: a value or a WireError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import WireError
from radics_mesh.ids import NodeId, VmId
from radics_mesh.scheduler.facts import NodeFacts
from radics_mesh.scheduler.invite import Invite
from tests.strategies import msgpack_values

NODE = NodeId(b"n" * 20)
BODY: dict[str, object] = {
    "name": "pi",
    "arch": "aarch64",
    "cores": 4,
    "memory": 1 << 30,
    "memory_free": 1 << 29,
    "load": 0.25,
    "vms": 2,
    "neighbours": [[NodeId(b"o" * 20).text, 12.5]],
}


def test_a_node_record_is_understood() -> None:
    facts = NodeFacts.parse(NODE, BODY, age_s=4.0, stale=True)
    assert facts.neighbours == {NodeId(b"o" * 20): 0.0125}
    assert (facts.cores, facts.load, facts.vms, facts.age_s) == (4, 0.25, 2, 4.0)
    assert facts.stale
    assert not facts.throttled
    assert facts.aged(9.0).age_s == 9.0


@pytest.mark.parametrize("key", ["name", "arch", "cores", "memory_free", "load", "vms"])
def test_a_missing_or_wrong_fact_is_a_wire_error(key: str) -> None:
    wrongs: list[object] = [{}, None, True, float("nan")]
    for wrong in wrongs:
        with pytest.raises(WireError, match=key):
            NodeFacts.parse(NODE, {**BODY, key: wrong})


@given(st.sampled_from(sorted(BODY)), msgpack_values)
def test_any_body_is_facts_or_a_wire_error(key: str, value: object) -> None:
    try:
        facts = NodeFacts.parse(NODE, {**BODY, key: value})
    except WireError:
        return
    assert 0 <= facts.load <= 1
    assert facts.cores >= 1
    assert all(rtt_s >= 0 for rtt_s in facts.neighbours.values())


def test_an_invitation_round_trip() -> None:
    invite = Invite(VmId(b"v" * 20), "text", BODY)
    assert Invite.parse(invite.encode()) == invite


@given(st.binary() | msgpack_values.map(pack))
def test_any_bytes_are_an_invitation_or_a_wire_error(payload: bytes) -> None:
    try:
        Invite.parse(payload)
    except WireError:
        return
