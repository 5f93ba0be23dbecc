from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.codec import pack, unpack
from radics_mesh.errors import CapacityError, MeshError, PeerError, WireError
from radics_mesh.knowledge import book as book_module
from radics_mesh.knowledge.book import Outdated, RecordBook, aged
from radics_mesh.knowledge.floors import Floors
from radics_mesh.membership import Verifier
from radics_mesh.records import RECORD_MAX_BYTES, Kind, Record, sign
from tests.members import MESH, START, member


def _at(seconds: float) -> Monotonic:
    return Monotonic(5000.0 + seconds)


def _record(
    number: int = 1,
    sequence: int = 1,
    *,
    subject: str = "camera",
    rate: int = 9,
    kind: Kind = Kind.SOURCE,
    withdrawn: bool = False,
) -> Record:
    identity, chain = member(number)
    return sign(
        identity,
        chain,
        kind,
        subject,
        sequence=sequence,
        ttl_s=60,
        body={"rate": rate},
        withdrawn=withdrawn,
    )


@pytest.fixture
def book() -> RecordBook:
    return RecordBook(Verifier(MESH))


def test_an_entry_ages_and_goes_stale_but_stays(book: RecordBook) -> None:
    record = book.parse(_record().pack(5.0), START)
    assert book.hold(record, _at(0))
    [entry] = book.entries(Kind.SOURCE, "camera", _at(10))
    assert (entry.age_s, entry.stale) == (15.0, False)
    [entry] = book.entries(Kind.SOURCE, "camera", _at(56))
    assert entry.stale
    [entry] = book.entries(Kind.SOURCE, "camera", _at(1e6))
    assert entry.stale


def test_the_same_record_again_does_not_get_younger(book: RecordBook) -> None:
    raw = _record()
    book.hold(book.parse(raw.pack(30.0), START), _at(0))
    assert not book.hold(book.parse(raw.pack(0.0), START), _at(10))
    [entry] = book.entries(Kind.SOURCE, "camera", _at(10))
    assert entry.age_s == 40.0
    assert book.remaining_s(raw, _at(10)) == 20.0


def test_replays_and_contradictions_are_refused(book: RecordBook) -> None:
    book.hold(_record(sequence=5), _at(0))
    with pytest.raises(PeerError, match="older"):
        book.hold(_record(sequence=4), _at(1))
    with pytest.raises(PeerError, match="two"):
        book.hold(_record(sequence=5, rate=10), _at(1))
    assert book.hold(_record(sequence=6), _at(1))


def test_publishers_do_not_replace_each_other(book: RecordBook) -> None:
    book.hold(_record(1), _at(0))
    book.hold(_record(2), _at(5))
    entries = book.entries(Kind.SOURCE, "camera", _at(10))
    assert [entry.publisher for entry in entries] == [
        member(2)[0].node_id,
        member(1)[0].node_id,
    ]
    assert book.publishers() == {entry.publisher for entry in entries}


def test_a_withdrawal_hides_and_bars_what_it_withdrew(book: RecordBook) -> None:
    book.hold(_record(sequence=1), _at(0))
    assert book.hold(_record(sequence=2, withdrawn=True), _at(1))
    assert book.entries(Kind.SOURCE, None, _at(2)) == []
    with pytest.raises(PeerError):
        book.hold(_record(sequence=1), _at(3))
    assert book.hold(_record(sequence=3), _at(4))
    assert len(book.entries(Kind.SOURCE, None, _at(5))) == 1


def test_a_tampered_known_record_is_not_taken_for_known(book: RecordBook) -> None:
    raw = _record().pack(0.0)
    book.parse(raw, START)
    for position in range(0, len(raw), 7):
        tampered = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        if tampered[1:2] != raw[1:2]:
            continue  # only the age, which is not signed
        with pytest.raises((WireError, PeerError)):
            book.parse(tampered, START)


def test_a_certificate_that_expired_meanwhile(book: RecordBook) -> None:
    raw = _record().pack(0.0)
    book.parse(raw, START)
    with pytest.raises(PeerError, match="expired"):
        book.parse(raw, Wall(START + 3 * 365 * 86400))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    try:
        RecordBook(Verifier(MESH)).parse(data, START)
    except MeshError:
        return
    raise AssertionError("nobody signed this")


@given(
    st.floats(0, 1e11),
    st.floats(-10, 1e15),
)
def test_ages_add_up_and_never_outgrow_a_record(first_s: float, held_s: float) -> None:
    raw = aged(_record().pack(first_s), held_s)
    assert len(raw) <= RECORD_MAX_BYTES
    age_s = RecordBook(Verifier(MESH)).parse(raw, START).age_s
    expected = min(first_s + max(0.0, held_s), (1 << 48) / 1000)
    assert age_s == pytest.approx(expected, abs=0.002, rel=1e-6)


def test_a_publisher_cannot_fill_the_book(
    book: RecordBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "PUBLISHER_MAX", 4)
    for number in range(4):
        book.hold(_record(subject=f"s{number}"), _at(number))
    with pytest.raises(CapacityError):
        book.hold(_record(subject="one too many"), _at(10))
    book.hold(_record(2, subject="another's"), _at(10))
    # The oldest gives way as soon as it is stale.
    book.hold(_record(subject="one too many"), _at(60.5))
    assert book.entries(Kind.SOURCE, "s0", _at(61)) == []
    assert len(book) == 5


def test_a_full_book_forgets_nodes_last(book: RecordBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "TOTAL_MAX", 2)
    node = member(1)[0].node_id
    book.hold(_record(1, kind=Kind.NODE, subject=node.text), _at(0))
    book.hold(_record(1), _at(50))
    book.hold(_record(2), _at(200))
    assert [entry.publisher for entry in book.entries(Kind.NODE, None, _at(201))] == [node]
    assert len(book) == 2


def test_ages_go_on_over_a_restart(book: RecordBook) -> None:
    book.hold(_record(), _at(0))
    dumped = book.dump(_at(10), START)
    again = RecordBook(Verifier(MESH))
    assert again.load(dumped, Monotonic(3.0), Wall(START + 20)) == 1
    [entry] = again.entries(Kind.SOURCE, "camera", Monotonic(4.0))
    assert entry.age_s == pytest.approx(31.0)
    assert not entry.stale


@pytest.mark.parametrize("wall", [Wall(5.0), Wall(START - 100)])
def test_without_a_clock_all_is_stale_after_a_restart(book: RecordBook, wall: Wall) -> None:
    book.hold(_record(), _at(0))
    again = RecordBook(Verifier(MESH))
    again.load(book.dump(_at(1), START), Monotonic(0.0), wall)
    [entry] = again.entries(Kind.SOURCE, "camera", Monotonic(1.0))
    assert entry.stale


def test_a_forged_record_in_the_file_is_left_out(book: RecordBook) -> None:
    forged = dataclasses.replace(_record(2), signature=bytes(64))
    book.hold(_record(1), _at(0))
    book.hold(forged, _at(0))
    assert RecordBook(Verifier(MESH)).load(book.dump(_at(0), START), _at(0), START) == 1


@given(st.binary(max_size=100))
def test_any_file_is_a_book_or_malformed(data: bytes) -> None:
    try:
        assert RecordBook(Verifier(MESH)).load(data, _at(0), START) == 0
    except WireError:
        return


def test_a_withdrawal_outlives_every_copy_of_what_it_withdrew(book: RecordBook) -> None:
    """Both go by their age, and the one that is older by birth goes first."""
    other = RecordBook(Verifier(MESH))
    old = _record(sequence=1)
    other.hold(old, _at(0))
    book.hold(old, _at(0))
    book.hold(_record(sequence=2, withdrawn=True), _at(30))
    kept_s = old.ttl_s + book_module.KEPT_S
    assert book.forget_old(_at(kept_s)) == other.forget_old(_at(kept_s)) == 0
    assert other.forget_old(_at(kept_s + 1)) == 1
    assert book.forget_old(_at(kept_s + 1)) == 0
    assert book.forget_old(_at(kept_s + 31)) == 1
    assert len(book) == len(other) == 0


def test_what_was_forgotten_does_not_come_back_younger_than_it_was(book: RecordBook) -> None:
    book.hold(_record(sequence=5, withdrawn=True), _at(0))
    later = _at(book_module.KEPT_S + 61)
    assert book.forget_old(later) == 1
    for replayed in (_record(sequence=4), _record(sequence=5, withdrawn=True), _record(sequence=1)):
        with pytest.raises(Outdated):
            book.hold(replayed, later)
    with pytest.raises(Outdated):
        book.hold(_record(sequence=3, subject="another"), later)
    assert book.hold(_record(2, sequence=1), later)
    assert book.hold(_record(sequence=6), later)
    again = RecordBook(Verifier(MESH))
    assert again.load(book.dump(later, START), later, START) == 2
    again.hold(_record(sequence=7, withdrawn=True), later)
    with pytest.raises(Outdated):
        again.hold(_record(sequence=4, subject="another"), later)


def test_too_old_a_record_is_not_taken_at_all(book: RecordBook) -> None:
    raw = _record().pack(book_module.KEPT_S + 61)
    with pytest.raises(Outdated):
        book.hold(book.parse(raw, START), _at(0))


def test_where_nodes_and_vms_were_last_is_kept(book: RecordBook) -> None:
    identity, _ = member(1)
    book.hold(_record(kind=Kind.NODE, subject=identity.node_id.text), _at(0))
    book.hold(_record(kind=Kind.VM, subject="x"), _at(0))
    book.hold(_record(2, kind=Kind.NODE, subject=member(2)[0].node_id.text, withdrawn=True), _at(0))
    assert book.forget_old(_at(1e9)) == 0
    assert book.width(Kind.NODE, member(2)[0].node_id.text) == 1


def test_a_book_of_the_first_form_is_read(book: RecordBook) -> None:
    book.hold(_record(), _at(0))
    _, saved, records, _ = unpack(book.dump(_at(0), START))
    assert RecordBook(Verifier(MESH)).load(pack([1, saved, records]), _at(0), START) == 1


def test_floors_of_another_make_are_left_out() -> None:
    floors = Floors()
    good = ["source", bytes(20), 7]
    floors.load([good, 7, ["x", bytes(20), 7], ["source", b"short", 7], ["source", bytes(20)]])
    assert floors.dump() == [good]
