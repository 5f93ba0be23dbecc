"""Every truncation and every flipped bit of some bundles: an error that says who erred, or a bundle
in which nothing that was signed has changed. Never another exception, never a hang."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.fragments import cut
from radics_mesh.dtn.rules.processing import Gate, Peer, depart, originate
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import admin_records, blocks
from radics_mesh.dtn.wire.admin_records import CustodySignal, Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import CUSTODY, REPORTS, Bundle, BundleId
from radics_mesh.errors import PeerError, WireError
from radics_mesh.ids import NONE_EID, Eid
from tests.dtn.bundles import plain
from tests.dtn.world import START, HandClock, Members

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
MEMBERS = Members(HandClock())
A, B = MEMBERS.me("a"), MEMBERS.me("b")
NOW = Monotonic(50.0)
IBR = Foreign(Eid("dtn://a/"), None, "192.0.2.1", ("echo",))


def signed() -> Bundle:
    return originate(
        A,
        B.node_id.service("inbox"),
        b"hello",
        source=A.identity.eid,
        stamp=(7, 9),
        lifetime_s=60,
        ownership=b"",
        priority=1,
        asks=CUSTODY | REPORTS,
        report_to=A.identity.eid,
    )


def piece() -> Bundle:
    return sign(cut(signed(), [2])[1], A.identity, A.chain)


def foreign() -> Bundle:
    references = (Eid("dtn://a/x"), Eid("dtn://c/z"))
    odd = Block(200, blocks.REPORT_IF_UNPROCESSABLE, b"\x81", references)
    return plain(destination=B.node_id.service("echo"), extra=(blocks.age(300), odd))


JUDGED: dict[str, tuple[bytes, Peer]] = {
    "signed": (depart(signed(), A.identity.eid, 5).encode(), A.node_id),
    "fragment": (depart(piece(), A.identity.eid, 5, A.identity.eid).encode(), A.node_id),
    "foreign": (foreign().encode(), IBR),
}


def flips(raw: bytes) -> Iterator[bytes]:
    for at in range(len(raw)):
        for bit in range(8):
            yield raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :]


def essence(bundle: Bundle) -> Bundle:
    """What the signature protects. Not the length of a fragment's whole: fragments that disagree
    on it never come together."""
    payload = Block(blocks.PAYLOAD, 0, bundle.payload)
    place = replace(bundle.fragment, total=0) if bundle.fragment else None
    return replace(bundle, blocks=(payload,), custodian=NONE_EID, flags=0, fragment=place)


@pytest.mark.parametrize("name", list(JUDGED))
def test_every_flipped_bit(name: str) -> None:
    raw, peer = JUDGED[name]
    gate = Gate(B)
    before = essence(Bundle.parse(raw))
    assert gate.judge(raw, peer, now=NOW, wall=START).raw == raw or name == "foreign"
    refused = 0
    for flipped in flips(raw):
        try:
            taken = gate.judge(flipped, peer, now=NOW, wall=START)
        except (WireError, PeerError):
            refused += 1
            continue
        if name != "foreign":  # that one is not signed
            assert essence(Bundle.parse(taken.raw)) == before
    assert refused


@pytest.mark.parametrize("name", list(JUDGED))
def test_every_truncation(name: str) -> None:
    raw, peer = JUDGED[name]
    gate = Gate(B)
    for end in range(len(raw)):
        with pytest.raises(WireError):
            gate.judge(raw[:end], peer, now=NOW, wall=START)
        with pytest.raises(WireError):
            Bundle.parse(raw[:end])
    with pytest.raises(WireError):
        Bundle.parse(raw + b"\0")


@pytest.mark.parametrize("name", list(JUDGED))
def test_every_part_with_a_flipped_bit(name: str) -> None:
    """What a broken transfer has left, as hostile as anything else."""
    raw, peer = JUDGED[name]
    gate = Gate(B)
    for flipped in islice(flips(raw[:-1]), 3, None, 7):  # each is signed: that takes time
        try:
            gate.judge_part(flipped, peer, now=NOW, wall=START)
        except (WireError, PeerError):
            continue


@pytest.mark.parametrize("name", ["ibr_plain", "ion_cbhe_phib_age"])
def test_bundles_of_others(name: str) -> None:
    raw = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    bundle = Bundle.parse(raw)
    assert Bundle.parse(bundle.encode()) == bundle
    for end in range(len(raw)):
        with pytest.raises(WireError):
            Bundle.parse(raw[:end])
    for flipped in flips(raw):
        try:
            again = Bundle.parse(flipped)
        except WireError:
            continue
        assert Bundle.parse(again.encode()) == again


@pytest.mark.parametrize(
    "record",
    [
        StatusReport(
            BundleId(Eid("dtn://a/x"), 300, 5, 300, 7), Status(0x1F), 1, (Moment(9, 300),) * 5
        ),
        CustodySignal(BundleId(Eid("ipn:1.2"), 300, 5), False, Reason.REDUNDANT, Moment(9)),
    ],
    ids=["report", "signal"],
)
def test_administrative_records(record: StatusReport | CustodySignal) -> None:
    for flipped in flips(record.encode()):
        for of_ibr in (False, True):
            try:
                admin_records.parse(flipped, of_ibr=of_ibr)
            except WireError:
                continue
