"""What an independent decoder makes of us: Wireshark's, on the bytes of a plain session."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.layers.tcpcl import Session
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.layers.tcpcl_wire import BUSY, NO_RESOURCES, Features, Hello, segment_head
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.admin_records import CustodySignal, Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, SINGLETON, Bundle, BundleId
from radics_mesh.ids import Eid
from scenarios.peers import HOST
from tests.e2e.conftest import MakePeer
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(
    not shutil.which("tshark"), reason="set-up installs tshark on Debian only"
)
OTHER = Eid("dtn://listener/")
VECTORS = Path(__file__).resolve().parents[1] / "vectors"


class Recorder:
    """A plain TCPCLv3 neighbour that keeps every byte and every bundle that it gets."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.came = bytearray()
        self.bundles: list[bytes] = []
        self.full = trio.Event()

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        self.came += data
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def receive(self, raw: bytes, peer: Peer) -> None:
        self.bundles.append(raw)
        self.full.set()


def decoded(stream: bytes, folder: Path, carrier: str = "-T") -> str:
    """tshark's view of one direction of a TCPCL session; with -u of a datagram."""
    dump = "".join(
        f"{at:06x} {stream[at : at + 16].hex(' ')}\n" for at in range(0, len(stream), 16)
    )
    capture = folder / "session.pcap"
    subprocess.run(
        ["text2pcap", "-q", carrier, "40000,4556", "-", str(capture)],
        input=dump.encode(),
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        ["tshark", "-r", str(capture), "-V", "-d", "tcp.port==4556,tcpcl"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


async def test_a_bundle_of_ours_on_a_plain_session(make_peer: MakePeer, tmp_path: Path) -> None:
    recorders: list[Recorder] = []
    ready = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        recorder = Recorder(stream)
        recorders.append(recorder)
        ready.set()

        def identify(eid: Eid) -> Peer:
            return Foreign(eid, None, HOST)

        await TcpclSession(
            recorder, own=OTHER, identify=identify, receiver=recorder, keepalive_s=10
        ).run()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host=HOST)
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            port = listener.socket.getsockname()[1]
            peer = make_peer("A")
            await peer.start("--foreign", f"{OTHER}={HOST}:{port}:mail")
            own = (await peer.call("status"))["node"]["id"]
            await peer.call("send", destination="dtn://listener/inbox", payload=b"hello, listener")
            await ready.wait()
            await recorders[0].full.wait()
            nursery.cancel_scope.cancel()
    text = decoded(bytes(recorders[0].came), tmp_path)
    # Behind these blocks it takes our PIB (RFC 6257) for a block of a later draft and stops.
    for line in (
        f"Local EID: dtn://{own}/",
        "Bundle Version: 6",
        "Destination: //listener/inbox",
        f"Source: //{own}/",
        "Lifetime: 86400",
        f"Previous Hop EID: //{own}/",
        "Bundle Age in seconds: 0",
    ):
        assert line in text, text
    assert "Malformed" not in text.partition("Block Integrity Block")[0]
    assert Bundle.parse(recorders[0].bundles[0]).payload == b"hello, listener"


@pytest.mark.parametrize("name", ["ibr_plain", "ion_cbhe_phib_age"])
def test_the_decoder_and_we_agree_on_others_bundles(name: str, tmp_path: Path) -> None:
    raw = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    bundle = Bundle.parse(raw)
    hello = Hello(OTHER, Features(0), 10).encode()
    text = decoded(hello + segment_head(start=True, end=True, length=len(raw)) + raw, tmp_path)
    assert f"Timestamp Sequence Number: {bundle.sequence}" in text
    assert f"Lifetime: {bundle.lifetime_s}" in text
    assert f"Payload Length: {len(bundle.payload)}" in text, text
    assert "Malformed" not in text


SUBJECT = BundleId(Eid("dtn://a/x"), 0x1234, 5)
PIECE = replace(SUBJECT, offset=300, length=7)
NOW = Moment(853_315_200, 5)
SAID = "Jan 15, 2027 08:00:00.000000005 UTC"
EVERYTHING = Status(0x1F)


def test_the_decoder_reads_administrative_records(tmp_path: Path) -> None:
    """One of each kind that this node makes, in bundles without a PIB, see above."""
    records: list[StatusReport | CustodySignal] = [
        StatusReport(SUBJECT, status, reason, (NOW,))
        for status, reason in (
            (Status.RECEIVED, Reason.UNINTELLIGIBLE_BLOCK),
            (Status.CUSTODY_ACCEPTED, Reason.NONE),
            (Status.FORWARDED, Reason.NONE),
            (Status.DELIVERED, Reason.NONE),
            (Status.DELETED, Reason.EXPIRED),
            (Status.DELETED, Reason.DEPLETED_STORAGE),
        )
    ]
    records.append(StatusReport(PIECE, EVERYTHING, Reason.NONE, (NOW,) * 5))
    records.append(CustodySignal(SUBJECT, True, Reason.NONE, NOW))
    records.append(CustodySignal(PIECE, False, Reason.REDUNDANT, NOW))
    records.append(CustodySignal(SUBJECT, False, Reason.UNINTELLIGIBLE_BLOCK, NOW))
    stream = Hello(OTHER, Features(0), 10).encode()
    for sequence, record in enumerate(records):
        payload = Block(blocks.PAYLOAD, 0, record.encode())
        flags = SINGLETON | ADMINISTRATIVE
        raw = Bundle(OTHER, OTHER, 1, sequence, 60, (payload,), flags).encode()
        stream += segment_head(start=True, end=True, length=len(raw)) + raw
    text = decoded(stream, tmp_path)
    assert "Malformed" not in text
    found = text.split("    Administrative Record\n")[1:]
    expected = (
        ("Received Bundle: True", f"Received Time: {SAID}", "Unintelligible (8)"),
        ("Accepted Custody: True", f"Accepted Time: {SAID}", "Record for Fragment: No"),
        ("Forwarded Bundle: True", f"Forwarded Time: {SAID}", "Delivered Bundle: False"),
        ("Delivered Bundle: True", f"Delivered Time: {SAID}", "No Additional Information (0)"),
        ("Deleted Bundle: True", f"Deleted Time: {SAID}", "Code: Lifetime Expired (1)"),
        ("Deleted Bundle: True", "Code: Depleted Storage (4)"),
        ("Fragment Offset: 300", "Fragment Length: 7", f"Deleted Time: {SAID}"),
        ("Transfer Succeeded Flag: True", f"Signal Time: {SAID}"),
        ("Transfer Succeeded Flag: False", "Redundant Reception (3)", "Fragment Offset: 300"),
        ("Transfer Succeeded Flag: False", "Unintelligible (8)"),
    )
    for part, lines in zip(found, expected, strict=True):
        for line in (*lines, "Timestamp Sequence Number: 5", "Bundle Endpoint ID: dtn://a/x"):
            assert line in part, part


def every_message(raw: bytes) -> tuple[bytes, bytes]:
    """All that two sessions of ours say when a bundle is taken and another one refused."""
    now = Monotonic(0.0)
    a, b = (
        Session(eid, keepalive_s=10, bundle_max_bytes=1 << 20, now=now, segment_bytes=40)
        for eid in (Eid("dtn://alice/"), Eid("dtn://bob/"))
    )
    of_a, of_b = bytearray(), bytearray()

    def exchange() -> None:
        for one, other, said in ((a, b, of_a), (b, a, of_b)):
            data, _ = one.take(1 << 20, now)
            said += data
            other.receive(data, now)

    exchange()
    a.send(raw)
    a.send(raw)
    exchange()
    b.accept(0)
    b.refuse(1, NO_RESOURCES)
    exchange()
    a.tick(Monotonic(10.0))
    exchange()
    a.shut_down(BUSY, 1)
    exchange()
    return bytes(of_a), bytes(of_b)


def test_every_message_of_a_session(tmp_path: Path) -> None:
    raw = bytes.fromhex((VECTORS / "ibr_plain.hex").read_text())
    of_a, of_b = every_message(raw)
    said = decoded(of_a, tmp_path)
    for line in (
        "Local EID: dtn://alice/",
        "TCPCLv3 Header: LENGTH",  # this version of tshark knows its name and nothing of it
        "Data Flags: 0x2, Segment contains start of bundle",
        "Data Flags: 0x1, Segment contains end of Bundle",
        "[Seen Length: 68 octets]",
        "TCPCLv3 Header: KEEPALIVE",
        "TCPCLv3 Header: SHUTDOWN",
        "Shutdown Reason Code: 2",
        "Shutdown Reconnection Delay: 1",
    ):
        assert line in said, said
    assert "Malformed" not in said
    answered = decoded(of_b, tmp_path)
    acks = [line.strip() for line in answered.splitlines() if "Ack Length" in line]
    assert acks == ["Ack Length: 40", "Ack Length: 68"]
    # It looks for the reason in a byte of its own, which there is none of (RFC 7242, section 5.4).
    assert "TCPCLv3 Header: REFUSE_BUNDLE" in answered


def test_a_datagram_is_a_bundle(tmp_path: Path) -> None:
    raw = bytes.fromhex((VECTORS / "ibr_plain.hex").read_text())
    text = decoded(raw, tmp_path, carrier="-u")
    assert f"Timestamp Sequence Number: {Bundle.parse(raw).sequence}" in text
    assert "Malformed" not in text
