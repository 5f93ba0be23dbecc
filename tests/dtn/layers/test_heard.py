from __future__ import annotations

from radics_mesh.clock import Monotonic
from radics_mesh.config import Address, Foreign
from radics_mesh.dtn.layers.heard import (
    BEACONS_MAX,
    FORGET_MIN_S,
    HEARD_MAX,
    HOSTS_MAX,
    RETELL_S,
    Found,
    Heard,
    Peer,
)
from radics_mesh.dtn.layers.ipnd import Beacon, Service
from radics_mesh.ids import Eid, NodeId

OWN, OTHER = NodeId(bytes(20)), NodeId(bytes([1]) * 20)
LISTED = Foreign(Eid("dtn://ibr"), None, "10.0.0.9")
T0 = Monotonic(100.0)


class Ears(Heard):
    def __init__(self) -> None:
        self.lost: list[Peer] = []
        super().__init__(OWN, {LISTED: {"10.0.0.9"}}, self.lost.append)


def beacon(eid: Eid | None, service: str = "radics", port: int = 5050, period_s: int = 5) -> bytes:
    return Beacon(eid, 1, (Service(service, f"port={port};"),), period_s).encode()


def member(number: int) -> NodeId:
    return NodeId(number.to_bytes(20, "big"))


def test_a_member_is_found_where_its_beacon_comes_from_once() -> None:
    ears = Ears()
    assert ears.hear(beacon(OTHER.eid), "10.0.0.2", T0) == Found(OTHER, Address("10.0.0.2", 5050))
    assert ears.hear(beacon(OTHER.eid), "10.0.0.2", Monotonic(T0 + 5)) is None


def test_a_new_address_is_news_but_not_at_once_again() -> None:
    ears = Ears()
    ears.hear(beacon(OTHER.eid), "10.0.0.2", T0)
    assert ears.hear(beacon(OTHER.eid), "10.0.0.3", Monotonic(T0 + 1)) is None
    found = ears.hear(beacon(OTHER.eid), "10.0.0.3", Monotonic(T0 + RETELL_S))
    assert found == Found(OTHER, Address("10.0.0.3", 5050))


def test_foreign_peers_count_only_if_they_are_listed_for_their_address() -> None:
    ears = Ears()
    # IBR-DTN names a node without the slash at the end, others with it.
    for eid in ("dtn://ibr", "dtn://ibr/"):
        ears.hear(beacon(Eid(eid), "tcpcl", 4556), "10.0.0.8", T0)
    assert ears.hear(beacon(Eid("dtn://else/"), "tcpcl"), "10.0.0.9", T0) is None
    assert ears.counters["unlisted"] == 3
    found = ears.hear(beacon(Eid("dtn://ibr/"), "tcpcl", 4556), "10.0.0.9", T0)
    assert found == Found(LISTED, Address("10.0.0.9", 4556))


def test_what_leads_to_nobody_is_counted() -> None:
    ears = Ears()
    ears.hear(beacon(OWN.eid), "10.0.0.2", T0)
    ears.hear(beacon(None), "10.0.0.2", T0)
    ears.hear(beacon(OTHER.eid, "tcpcl"), "10.0.0.2", T0)
    ears.hear(b"\x02\xff garbage", "10.0.0.2", T0)
    assert len(ears) == 0
    assert ears.counters == {"beacons": 4, "own": 1, "useless": 2, "malformed": 1}


def test_silence_is_forgotten() -> None:
    ears = Ears()
    ears.hear(beacon(OTHER.eid, period_s=1), "10.0.0.2", T0)
    ears.forget_silent(Monotonic(T0 + FORGET_MIN_S - 1))
    assert ears.lost == []
    ears.forget_silent(Monotonic(T0 + FORGET_MIN_S))
    assert ears.lost == [OTHER]
    assert ears.hear(beacon(OTHER.eid), "10.0.0.2", Monotonic(T0 + 100)) is not None


def test_a_period_without_end_is_not_waited_for() -> None:
    ears = Ears()
    ears.hear(beacon(OTHER.eid, period_s=1 << 62), "10.0.0.2", T0)
    ears.forget_silent(Monotonic(T0 + 1000))
    assert ears.lost == [OTHER]


def test_a_flood_costs_its_host_and_nobody_else() -> None:
    ears = Ears()
    ears.hear(beacon(OTHER.eid), "10.0.0.2", T0)
    for number in range(5000):
        now = Monotonic(T0 + number / 200)
        ears.hear(beacon(member(100 + number).eid), "10.6.6.6", now)
        assert len(ears) <= HEARD_MAX
    assert ears.counters["crowded"] >= 5000 - 26 * BEACONS_MAX
    assert OTHER not in ears.lost
    assert ears.hear(beacon(member(9).eid), "10.0.0.3", Monotonic(T0 + 26)) is not None


def test_hosts_without_number_are_bounded_too() -> None:
    ears = Ears()
    for number in range(1000):
        ears.hear(beacon(member(100 + number).eid), f"10.1.{number >> 8}.{number & 255}", T0)
    assert ears.counters["crowded"] == 1000 - HOSTS_MAX
    assert len(ears) == HEARD_MAX
