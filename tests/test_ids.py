from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import WireError
from radics_mesh.ids import Digest, Eid, NodeId, VmId

ids = st.binary(min_size=20, max_size=20)


@given(ids)
def test_node_eid_names_its_node_and_no_vm(raw: bytes) -> None:
    node = NodeId(raw)
    assert NodeId.parse(node.text) == node
    assert node.eid.node_id == node
    assert node.service("handoff").node_id == node
    assert node.service("handoff").service_name == "handoff"
    assert node.eid.vm_id is None


@given(ids)
def test_vm_eid_names_its_vm_and_no_node(raw: bytes) -> None:
    vm = VmId(raw)
    assert vm.eid.vm_id == vm
    assert vm.eid.node_id is None
    assert Eid(vm.eid + "inbox").vm_id == vm


@given(st.text(max_size=60))
def test_any_text_is_an_eid_or_a_wire_error(text: str) -> None:
    try:
        eid = Eid(text)
    except WireError:
        return
    assert eid == text
    assert eid.scheme
    assert eid.node_id is None or eid.scheme == "dtn"


@pytest.mark.parametrize("text", ["dtn:none", "ipn:10.1", "dtn://ibr-a/s1", "imc:3.4", "http://x/"])
def test_eids_of_other_implementations_are_taken(text: str) -> None:
    assert Eid(text) == text


@pytest.mark.parametrize(
    "text", ["", "dtn", ":x", "dtn:a b", "dtn:\n", "dtn:\x00", "d" * 300, "é:x"]
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Eid(text)


@given(st.binary(max_size=64))
def test_ids_have_one_length(raw: bytes) -> None:
    if len(raw) == 20:
        assert NodeId(raw) == raw
    else:
        with pytest.raises(WireError):
            NodeId(raw)


def test_upper_case_base32_is_not_a_second_name_of_a_node() -> None:
    text = NodeId(bytes(range(20))).text
    with pytest.raises(WireError):
        NodeId.parse(text.upper())
    assert Eid(f"dtn://{text.upper()}/").node_id is None


def test_digest_is_sha256() -> None:
    assert Digest.of(b"").hex().startswith("e3b0c44298fc1c14")
