"""What VMs take, from counters that only grow."""

from __future__ import annotations

import pytest

from radics_mesh.ids import NodeId, VmId
from radics_mesh.scheduler.traffic import Traffic

VM, OTHER = VmId(b"v" * 20), VmId(b"w" * 20)
NODE = NodeId(b"n" * 20)


def test_a_feed_is_measured_from_when_it_is_first_seen() -> None:
    traffic = Traffic()
    for second in range(21):
        traffic.observe(VM, "s", NODE, 1_000_000 + 500 * second, float(second))
    [flow] = traffic.flows(VM, 20.0)
    assert (flow.source, flow.publisher) == ("s", NODE)
    assert flow.rate_bytes_s == pytest.approx(500, rel=0.1)
    assert traffic.observed_s(VM, 20.0) == 20.0


def test_a_counter_that_begins_anew_is_no_flood_and_no_debt() -> None:
    traffic = Traffic()
    traffic.observe(VM, "s", None, 10_000, 0.0)
    traffic.observe(VM, "s", NODE, 300, 10.0)
    [flow] = traffic.flows(VM, 10.0)
    assert 0 < flow.rate_bytes_s < 100
    assert flow.publisher == NODE


def test_vms_that_left_are_forgotten() -> None:
    traffic = Traffic()
    traffic.observe(VM, "s", NODE, 0, 0.0)
    traffic.observe(OTHER, "s", NODE, 0, 0.0)
    traffic.keep_only([OTHER])
    assert traffic.flows(VM, 1.0) == []
    assert traffic.observed_s(VM, 1.0) == 0
    assert len(traffic.flows(OTHER, 1.0)) == 1
