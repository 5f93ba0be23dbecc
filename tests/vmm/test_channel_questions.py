"""What a host asks of its guest: to park, what changed, what its threads do."""

from __future__ import annotations

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.vmm import abi, events
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.events import Parked
from radics_mesh.vmm.threads import ThreadReport, ThreadTold
from tests.vmm import guest_twin as twin
from tests.vmm.test_channel import NOW, WALL, connected, exchange


def test_park_is_answered_and_asked_again_after_a_reconnection() -> None:
    host, guest = connected()
    host.park()
    host.outgoing()
    host.disconnected()
    guest.reconnect()
    host.connected(NOW, WALL)
    (parked,) = (event for event in exchange(host, guest) if isinstance(event, Parked))
    assert parked.memory_bytes == 8 << 20
    assert parked.changed is not None
    assert parked.changed.since == 0


def test_an_old_guest_parks_without_saying_what_changed() -> None:
    guest = twin.Guest()
    guest.minor = 0
    host, guest = connected(guest=guest)
    assert not host.can_stage
    with pytest.raises(UsageError, match="which of its pages"):
        host.stage(0, NOW)
    host.park(5)
    assert exchange(host, guest) == [Parked(8 << 20)]


def test_a_stage_is_answered() -> None:
    host, guest = connected()
    host.stage(0, NOW)
    (first,) = exchange(host, guest)
    assert isinstance(first, Changed)
    assert (first.since, first.pages, first.bits) == (0, 64, b"\1" * 8)
    host.stage(first.stage, NOW)
    (second,) = exchange(host, guest)
    assert isinstance(second, Changed)
    assert second.since == first.stage
    assert guest.stages == [(first.stage, 0), (second.stage, first.stage)]
    assert host.deadline is None


def test_a_lost_answer_is_asked_for_again_under_another_number() -> None:
    host, guest = connected()
    guest.deaf_to_stages = True
    host.stage(9, NOW)
    assert exchange(host, guest) == []
    guest.deaf_to_stages = False
    assert host.deadline is not None
    later = host.deadline
    host.poll(later, WALL)
    (answer,) = exchange(host, guest, later)
    assert [known for _, known in guest.stages] == [9, 9]
    assert isinstance(answer, Changed)
    assert answer.stage == guest.stages[1][0] != guest.stages[0][0]
    late = guest.changed(*guest.stages[0])
    assert host.received(late, later, WALL) == []


def test_a_stage_is_asked_again_after_a_reconnection() -> None:
    host, guest = connected()
    host.stage(3, NOW)
    host.outgoing()
    host.disconnected()
    guest.reconnect()
    host.connected(NOW, WALL)
    assert any(isinstance(event, Changed) for event in exchange(host, guest))


def test_changes_that_nobody_asked_for_are_dropped() -> None:
    host, guest = connected()
    assert host.received(guest.changed(1, 0), NOW, WALL) == []


def test_parked_without_asking_is_dropped() -> None:
    host, _ = connected()
    assert host.received(twin.frame(abi.F_PARKED, bytes(16)), NOW, WALL) == []


def test_states_have_names() -> None:
    assert (events.FRESH, events.RUNNING, events.WARM) == (0, 1, 2)


def test_threads_are_told_under_the_number_of_their_question() -> None:
    host, guest = connected()
    nonce = host.ask_threads()
    first, second = exchange(host, guest)
    assert isinstance(first, ThreadTold)
    assert isinstance(second, ThreadTold)
    assert (first.nonce, first.threads, first.index, second.index) == (nonce, 2, 0, 1)
    assert first.report == ThreadReport(
        base=0x1000,
        tid=5,
        name="some",
        waits=False,
        call=202,
        arguments=(0, 1, 2, 3, 4, 5),
        left_ns=77,
        registers=(8, 9),
        stack_at=0x7000,
        stack=b"abc",
    )
    assert second.report.waits
    assert host.ask_threads() != nonce
    guest.stacks_lost = 1
    (second,) = exchange(host, guest)
    assert isinstance(second, ThreadTold)
    assert second.index == 1


def test_an_old_guest_is_not_asked_for_its_threads() -> None:
    guest = twin.Guest()
    guest.minor = 0
    host, guest = connected(guest=guest)
    with pytest.raises(UsageError, match="what its threads do"):
        host.ask_threads()
