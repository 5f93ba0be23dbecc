from __future__ import annotations

from pathlib import Path

from radics_mesh.clock import Wall
from radics_mesh.config import Config
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.membership import found
from radics_mesh.node.facts import (
    LoadMeter,
    cpu_capacity,
    guest_memory_bytes,
    node_body,
    own_addresses,
)
from radics_mesh.records import RECORD_MAX_BYTES, Kind, sign


def test_a_told_address_is_the_only_one_and_any_means_every_interface() -> None:
    assert own_addresses("192.0.2.7", 5050) == [("192.0.2.7", 5050)]
    everywhere = own_addresses("0.0.0.0", 5050)
    assert everywhere
    assert all(port == 5050 and host != "0.0.0.0" for host, port in everywhere)


def test_load_and_capacity_are_of_this_machine() -> None:
    meter = LoadMeter()
    for _ in range(3):
        assert 0.0 <= meter.sample() <= 1.0
    assert 0 < cpu_capacity() <= 4096
    assert guest_memory_bytes(Config(Path(), "n")) > 1 << 26
    assert guest_memory_bytes(Config(Path(), "n", guest_memory_bytes=5)) == 5


def test_a_crowded_node_still_fits_one_record() -> None:
    identity = Identity(b"n" * 32)
    _, _, chain = found(identity, "n" * 64, Wall(1.8e9))
    body = node_body(
        boot=(7, b"8 bytes."),
        name="n" * 200,
        addresses=[("2001:db8:1111:2222:3333:4444:5555:6666", 65535)] * 9,
        memory_bytes=1 << 40,
        memory_used_bytes=1 << 41,
        load=0.123456,
        vms=1000,
        neighbours=[(NodeId(bytes([n]) * 20), n * 0.1) for n in reversed(range(100))],
        accelerator="tcg",
        mesh_key=[1 << 20, bytes(8)],
    )
    assert body["memory_free"] == 0
    neighbours = body["neighbours"]
    assert isinstance(neighbours, list)
    assert neighbours[0] == [NodeId(b"\0" * 20).text, 0.0]
    record = sign(
        identity, chain.pack(), Kind.NODE, identity.node_id.text, sequence=1, ttl_s=60, body=body
    )
    assert len(record.pack(0)) <= RECORD_MAX_BYTES
