"""What reports have told: in memory, bounded, in the order of what happened."""

from __future__ import annotations

from radics_mesh.dtn.wire.admin_records import Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid
from radics_mesh.node.sightings import BUNDLES_MAX, OF_ONE_MAX, Sightings, holders, path

B, C = Eid("dtn://b/"), Eid("dtn://c/")
SENT = BundleId(Eid("dtn://a/"), 800_000_000, 1)


def report(
    status: Status, *seconds: int, subject: BundleId = SENT, reason: int = 0
) -> StatusReport:
    return StatusReport(subject, status, reason, tuple(Moment(s, 500_000_000) for s in seconds))


def test_a_path_is_told_node_by_node_whatever_came_first() -> None:
    seen = Sightings()
    seen.hear(report(Status.RECEIVED | Status.DELIVERED, 20, 20), C)
    seen.hear(report(Status.FORWARDED, 21), B)  # when C had answered
    seen.hear(report(Status.RECEIVED, 10), B)
    seen.hear(report(Status.RECEIVED, 10), B)  # again
    seen.hear(report(Status.FORWARDED, 30), SENT.source)
    told = [(s.node, s.what) for s in path(seen.of(SENT))]
    assert told == [
        (SENT.source, Status.FORWARDED),
        (B, Status.RECEIVED),
        (B, Status.FORWARDED),
        (C, Status.RECEIVED),
        (C, Status.DELIVERED),
    ]
    assert path(seen.of(SENT))[1].at == 946_684_810.5
    assert holders(seen.of(SENT)) == {}


def test_who_got_it_and_told_no_more_has_it() -> None:
    seen = Sightings()
    seen.hear(report(Status.RECEIVED | Status.FORWARDED, 10, 11), B)
    seen.hear(report(Status.RECEIVED | Status.CUSTODY_ACCEPTED, 12, 12), C)
    assert holders(seen.of(SENT)) == {C: 946_684_812.5}
    assert not any(s.is_end for s in seen.of(SENT))


def test_a_deletion_has_a_reason_and_a_fragment_is_not_the_whole() -> None:
    seen = Sightings()
    part = BundleId(SENT.source, SENT.created, SENT.sequence, 0, 10)
    seen.hear(report(Status.DELIVERED, 0, subject=part), C)
    seen.hear(report(Status.DELETED, 5, reason=Reason.DEPLETED_STORAGE), B)
    first, second = seen.of(part)
    assert (first.at, first.is_end) == (None, False)
    assert (second.reason, second.is_end) == ("no room", True)
    seen.hear(report(Status.DELETED, 6, reason=77), B)
    assert seen.of(SENT)[-1].reason == "reason 77"


def test_what_members_make_up_fills_no_memory() -> None:
    seen = Sightings()
    for number in range(OF_ONE_MAX + 5):
        seen.hear(report(Status.RECEIVED, number + 1), B)
    assert len(seen.of(SENT)) == OF_ONE_MAX
    for number in range(BUNDLES_MAX):
        subject = BundleId(SENT.source, 1, number)
        seen.hear(report(Status.RECEIVED, 1, subject=subject), B)
    assert seen.of(SENT) == ()
    assert seen.of(subject)
