from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.layers.ipnd import BEACON_MAX_BYTES, Beacon, Service
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid

# As IBR-DTN writes it: EID, one service, a period of 5 s. By hand, from its stream operators.
OF_IBR = b"\x02\x0b\x01\x02\x0cdtn://node-1\x01\x05tcpcl\x16ip=10.0.0.1;port=4556;\x05"


def test_bytes_of_a_beacon() -> None:
    services = (Service("tcpcl", "ip=10.0.0.1;port=4556;"),)
    beacon = Beacon(Eid("dtn://node-1"), 0x102, services, 5)
    assert beacon.encode() == OF_IBR
    assert Beacon.parse(OF_IBR) == beacon
    assert services[0].port == 4556


def test_a_short_one_and_one_with_a_bloom_filter() -> None:
    assert Beacon.parse(b"\x02\x00\x00\x07") == Beacon(None, 7)
    assert Beacon.parse(b"\x02\x0c\x00\x07\x03abc\x09") == Beacon(None, 7, (), 9)


@pytest.mark.parametrize(
    ("parameters", "port"),
    [
        ("port=1;", 1),
        ("ip=::1; port=65535", 65535),
        ("port=0;", None),
        ("port=65536;", None),
        ("port=-1;", None),
        ("port=99999999999;", None),
        ("export=5;", None),
        ("", None),
    ],
)
def test_ports(parameters: str, port: int | None) -> None:
    assert Service("tcpcl", parameters).port == port


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02\x00\x00",
        b"\x01\x00\x00\x00",
        b"\x04\x01\x00\x00",
        b"\x02\x01\x00\x00\x05dtn:",
        b"\x02\x01\x00\x00\x03x y",
        b"\x02\x02\x00\x00\xff\xff\x7f",
        b"\x02\x02\x00\x00" + b"\xff" * 9 + b"\x7f",
        b"\x02\x00\x00\x00" + bytes(BEACON_MAX_BYTES),
    ],
)
def test_what_is_no_beacon(data: bytes) -> None:
    with pytest.raises(WireError):
        Beacon.parse(data)


def test_every_truncation_is_an_error() -> None:
    for count in range(len(OF_IBR)):
        with pytest.raises(WireError):
            Beacon.parse(OF_IBR[:count])


def test_every_flipped_bit_is_a_beacon_or_an_error() -> None:
    for bit in range(8 * len(OF_IBR)):
        flipped = bytearray(OF_IBR)
        flipped[bit // 8] ^= 1 << bit % 8
        parses(bytes(flipped))


def parses(data: bytes) -> bool:
    try:
        Beacon.parse(data)
    except WireError:
        return False
    return True


@given(st.binary(max_size=80))
def test_any_bytes_are_a_beacon_or_an_error(data: bytes) -> None:
    parses(data)
    parses(b"\x02" + data)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    st.sampled_from([None, Eid("dtn://a/"), Eid("ipn:5.0")]),
    st.integers(0, 0xFFFF),
    st.lists(st.builds(Service, TEXT, TEXT), max_size=5),
    st.none() | st.integers(0, 1 << 40),
)
def test_round_trip(
    eid: Eid | None, sequence: int, services: list[Service], period_s: int | None
) -> None:
    beacon = Beacon(eid, sequence, tuple(services), period_s)
    assert Beacon.parse(beacon.encode()) == beacon
