"""Bundles on the wire: other implementations' vectors, round trips, any bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, BundleId, Fragment
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NONE_EID, Eid
from tests.dtn.bundles import bundles, ipn_eids, plain

VECTORS = Path(__file__).parents[2] / "vectors"


def vector(name: str) -> bytes:
    return bytes.fromhex((VECTORS / name).read_text())


def test_bundle_of_ibr_dtn() -> None:
    raw = vector("ibr_plain.hex")
    bundle = Bundle.parse(raw)
    assert bundle.source == "dtn://ibr-a/s1"
    assert bundle.destination == "dtn://trio/in"
    assert bundle.report_to == bundle.custodian == NONE_EID
    assert (bundle.created, bundle.sequence, bundle.lifetime_s) == (848655671, 1, 3600)
    assert bundle.payload == b"signed by ibr\n"
    assert bundle.encode() == raw


def test_bundle_of_ion() -> None:
    raw = vector("ion_cbhe_phib_age.hex")
    bundle = Bundle.parse(raw)
    assert bundle.source == bundle.report_to == "ipn:10.1"
    assert bundle.destination == "ipn:20.1"
    assert bundle.custodian == NONE_EID
    assert bundle.lifetime_s == 300
    assert bundle.age_us == 0
    hop = bundle.block(blocks.PREVIOUS_HOP)
    assert hop is not None
    assert blocks.read_previous_hop(hop) == "ipn:10.0"
    assert bundle.payload == b"hello from ION bpv6\n"
    assert bundle.encode() == raw


@given(bundles())
def test_round_trip(bundle: Bundle) -> None:
    raw = bundle.encode()
    assert Bundle.parse(raw) == bundle
    assert Bundle.parse(raw).encode() == raw


@given(bundles(ipn_eids | st.just(NONE_EID)))
def test_ipn_is_always_compressed(bundle: Bundle) -> None:
    only_ipn = bundle.with_blocks(tuple(Block(b.kind, b.flags, b.data) for b in bundle.blocks))
    raw = only_ipn.encode()
    assert b"ipn\0" not in raw.replace(b"".join(b.data for b in only_ipn.blocks), b"")
    assert Bundle.parse(raw) == only_ipn


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for raw in (data, b"\x06" + data):
        try:
            bundle = Bundle.parse(raw)
        except WireError:
            continue
        assert Bundle.parse(bundle.encode()) == bundle


@given(bundles(), st.data())
def test_one_byte_changed_gives_a_bundle_or_wire_error(bundle: Bundle, data: st.DataObject) -> None:
    raw = bytearray(bundle.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = Bundle.parse(bytes(raw))
    except WireError:
        return
    assert Bundle.parse(changed.encode()) == changed


@given(bundles(), st.data())
def test_truncated_is_malformed(bundle: Bundle, data: st.DataObject) -> None:
    raw = bundle.encode()
    with pytest.raises(WireError):
        Bundle.parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_bytes_after_the_last_block_are_malformed() -> None:
    with pytest.raises(WireError):
        Bundle.parse(plain().encode() + b"\0")


def test_strings_are_shared_in_the_dictionary() -> None:
    bundle = plain(Eid("dtn://same/"), Eid("dtn://same/"))
    raw = bundle.encode()
    assert raw.count(b"//same/\0") == 1
    assert raw.count(b"dtn\0") == 1


def test_references_follow_a_repacked_dictionary() -> None:
    """Another packer's order of strings: ours differs, the meaning stays."""
    dictionary = b"none\0//z/\0dtn\0//a/\0"
    scheme, none, z, a = 10, 0, 5, 14
    eids = (a, z, none, none)
    pairs = b"".join(sdnv.encode(scheme) + sdnv.encode(ssp) for ssp in eids)
    stamp = bytes((1, 1, 60))
    body = pairs + stamp + sdnv.encode(len(dictionary)) + dictionary
    primary = b"\x06" + sdnv.encode(0x90) + sdnv.encode(len(body)) + body
    extension = bytes((200, 0x40, 1, scheme, z, 2)) + b"hi"
    raw = primary + extension + bytes((1, 8, 0))
    bundle = Bundle.parse(raw)
    assert bundle.blocks[0].references == (Eid("dtn://z/"),)
    repacked = bundle.encode()
    assert repacked != raw
    assert Bundle.parse(repacked) == bundle


def test_padded_numbers_and_reserved_flags_are_read() -> None:
    bundle = plain(Eid("ipn:1.1"), Eid("ipn:2.1"))
    raw = bundle.encode()
    assert raw[:3] == b"\x06\x81\x10"
    assert Bundle.parse(b"\x06\x80\x81\x10" + raw[3:]) == bundle
    assert Bundle.parse(b"\x06\xc1\x10" + raw[3:]).flags == bundle.flags | 0x2000


def test_two_payload_blocks_are_malformed() -> None:
    payload = Block(blocks.PAYLOAD, 0, b"x")
    with pytest.raises(WireError, match="two payload"):
        Bundle.parse(plain(extra=(payload,)).encode())


def test_wrong_length_of_the_primary_block() -> None:
    raw = bytearray(plain(Eid("ipn:1.1"), Eid("ipn:2.1")).encode())
    raw[3] -= 1
    with pytest.raises(WireError):
        Bundle.parse(bytes(raw))


def test_a_fragment_is_its_own_bundle() -> None:
    whole = plain(payload=b"0123456789")
    part = replace(plain(payload=b"345"), fragment=Fragment(3, 10))
    assert part.id == BundleId(whole.source, 0, 1, 3, 3)
    assert part.id != whole.id
    assert Bundle.parse(part.encode()) == part
    too_far = replace(part, fragment=Fragment(8, 10))
    with pytest.raises(WireError, match="past its whole"):
        Bundle.parse(too_far.encode())


@given(bundles())
def test_identities_as_text(bundle: Bundle) -> None:
    assert BundleId.parse(str(bundle.id)) == bundle.id


@pytest.mark.parametrize("text", ["", "dtn://a/", "dtn://a/ 1", "dtn://a/ 1.x", "a b.c d+e"])
def test_bad_identities(text: str) -> None:
    with pytest.raises(WireError):
        BundleId.parse(text)


def test_a_bundle_without_blocks_cannot_be_written() -> None:
    with pytest.raises(UsageError):
        plain().with_blocks(()).encode()
