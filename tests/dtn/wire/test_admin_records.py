"""Status reports and custody signals as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.dtn.wire.admin_records import (
    AdminRecord,
    CustodySignal,
    Moment,
    Reason,
    Status,
    StatusReport,
    parse,
)
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid
from tests.dtn.bundles import eids, numbers

SUBJECT = BundleId(Eid("dtn://a/x"), 0x1234, 5)
PIECE = BundleId(Eid("dtn://a/x"), 0x1234, 5, 300, 7)

places = st.one_of(st.just((None, None)), st.tuples(numbers, numbers))
subjects = st.builds(lambda e, c, s, p: BundleId(e, c, s, *p), eids, numbers, numbers, places)
moments = st.builds(Moment, numbers, st.integers(0, 999_999_999))
signals = st.builds(CustodySignal, subjects, st.booleans(), st.integers(0, 127), moments)


@st.composite
def reports(draw: st.DrawFn) -> StatusReport:
    status = Status(draw(st.integers(0, 0x1F)))
    times = tuple(draw(moments) for _ in status)
    return StatusReport(draw(subjects), status, draw(st.integers(0, 255)), times)


@given(st.one_of(signals, reports()))
def test_round_trip(record: AdminRecord) -> None:
    assert parse(record.encode()) == record


@given(st.one_of(signals, reports()), st.data())
def test_every_truncation_is_malformed(record: AdminRecord, data: st.DataObject) -> None:
    raw = record.encode()
    with pytest.raises(WireError):
        parse(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(WireError):
        parse(raw + b"\0")


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_record_or_malformed(raw: bytes, of_ibr: bool) -> None:
    try:
        parse(raw, of_ibr=of_ibr)
    except WireError:
        return


def test_layout_of_rfc_5050() -> None:
    """Section 6.1.1 and 6.1.2, byte by byte."""
    source = b"\x09dtn://a/x"
    report = StatusReport(
        PIECE, Status.RECEIVED | Status.DELETED, Reason.EXPIRED, (Moment(1), Moment(2, 129))
    )
    place, stamp = b"\x82\x2c\x07", b"\xa4\x34\x05"
    assert report.encode() == b"\x11\x11\x01" + place + b"\x01\0\x02\x81\x01" + stamp + source
    taken = CustodySignal(SUBJECT, True, 0, Moment(9))
    assert taken.encode() == b"\x20\x80\x09\0" + stamp + source
    again = CustodySignal(SUBJECT, False, Reason.REDUNDANT, Moment(9))
    assert again.encode() == b"\x20\x03\x09\0" + stamp + source
    assert taken.releases
    assert again.releases
    assert not CustodySignal(SUBJECT, False, Reason.DEPLETED_STORAGE, Moment(9)).releases


def test_the_status_byte_of_ibr_dtn() -> None:
    rest = b"\x09\0\xa4\x34\x05\x09dtn://a/x"
    succeeded, redundant = b"\x20\x01" + rest, b"\x20\x06" + rest
    assert parse(succeeded, of_ibr=True) == CustodySignal(SUBJECT, True, 0, Moment(9))
    assert parse(redundant, of_ibr=True) == CustodySignal(SUBJECT, False, 3, Moment(9))
    # From anybody else these mean what the standard says.
    assert parse(succeeded) == CustodySignal(SUBJECT, False, 1, Moment(9))
    assert parse(redundant) == CustodySignal(SUBJECT, False, Reason.NO_ROUTE, Moment(9))
    standard = CustodySignal(SUBJECT, True, 0, Moment(9)).encode()
    assert parse(standard, of_ibr=True) == parse(standard)


def test_a_node_without_a_clock_says_so() -> None:
    assert Moment.of(Wall(12.5)) == Moment(0, 0)
    assert Moment.of(Wall(1_800_000_000.5)) == Moment(853_315_200, 500_000_000)
