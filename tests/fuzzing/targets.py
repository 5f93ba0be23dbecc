"""What is fuzzed. A target takes any bytes and returns, or it has found something.

What a parser may raise is caught here, in the place where a node would catch it. Everything else is
a finding: another exception, a broken promise (assert), time without end, memory out of proportion.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.ipnd import Beacon, Service
from radics_mesh.dtn.layers.tcpcl import Session
from radics_mesh.dtn.layers.tcpcl_events import Announced, Arrived, Event, Greeted, Part
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.dtn.rules.processing import Gate, depart, originate
from radics_mesh.dtn.trust.confidentiality import decrypt, encrypt
from radics_mesh.dtn.trust.security import BundleVerifier, sign
from radics_mesh.dtn.wire import admin_records, blocks
from radics_mesh.dtn.wire.admin_records import CustodySignal, Moment, Reason, Status, StatusReport
from radics_mesh.dtn.wire.bundle import NORMAL, Bundle, BundleId
from radics_mesh.errors import LinkError, MeshError, PeerError, WireError
from radics_mesh.ids import Digest, Eid
from radics_mesh.me import Me
from radics_mesh.ownership import born
from tests.dtn.world import START, HandClock, Members

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
FOREIGN = Foreign(Eid("dtn://foreign/"), None, "127.0.0.1", ("echo",))
NOW = Monotonic(1000.0)
EVERY = Features(15)


@dataclass(frozen=True)
class Target:
    name: str
    feed: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    # Parts that mutations may put in.
    words: tuple[bytes, ...] = ()


def _signed(me: Me, payload: bytes) -> Bundle:
    return originate(
        me,
        me.node_id.service("echo"),
        payload,
        source=me.identity.eid,
        stamp=(1, 1),
        lifetime_s=3600,
        ownership=b"",
        priority=NORMAL,
    )


# --- bundles ---


def _bundles(here: Me, neighbour: Me) -> Target:
    gate = Gate(here)

    def feed(data: bytes) -> None:
        with suppress(WireError, PeerError):
            part = gate.judge_part(data, neighbour.node_id, now=NOW, wall=START)
            assert Bundle.parse(part.raw).fragment is not None
        try:
            bundle = Bundle.parse(data)
        except WireError:
            return
        # Others write what we would not, but of ours every byte must be read as it was meant.
        assert Bundle.parse(bundle.encode()) == bundle
        for peer in (neighbour.node_id, FOREIGN):
            try:
                admitted = gate.judge(data, peer, now=NOW, wall=START)
            except (WireError, PeerError):
                continue
            leaving = depart(Bundle.parse(admitted.raw), here.identity.eid, 5)
            assert Bundle.parse(leaving.encode()).id == bundle.id

    others = [bytes.fromhex(path.read_text()) for path in sorted(VECTORS.glob("*.hex"))]
    ours = depart(_signed(neighbour, b"payload"), neighbour.identity.eid, 7).encode()
    return Target("bundle", feed, (*others, ours), words=(b"dtn:none\0", b"\x06\x00", b"\x01\x09"))


def _integrity_blocks(here: Me, neighbour: Me) -> Target:
    """The data of a block in a bundle that is whole otherwise."""
    whole = _signed(neighbour, b"payload")

    def feed(data: bytes) -> None:
        changed = tuple(
            replace(block, data=data) if block.kind == blocks.INTEGRITY else block
            for block in whole.blocks
        )
        try:
            signed = BundleVerifier(here.verifier).verify(whole.with_blocks(changed), START)
        except (WireError, PeerError):
            return
        # Nobody else's: either it is no signature of ours, or it is the one that was made.
        assert signed is None or signed.signer == neighbour.node_id

    (seed,) = (block.data for block in whole.blocks if block.kind == blocks.INTEGRITY)
    assert isinstance(seed, bytes)
    return Target("integrity", feed, (seed, b"\x00\x00"))


def _confidentiality_blocks(here: Me, neighbour: Me) -> Target:
    """How an encrypted payload claims to be encrypted; what opens is what was sealed."""
    inbox = here.node_id.service("echo")
    plain = replace(_signed(neighbour, b"payload"), destination=inbox)
    whole = encrypt(plain, here.identity.public)

    def feed(data: bytes) -> None:
        changed = tuple(
            replace(block, data=data) if block.kind == blocks.CONFIDENTIALITY else block
            for block in whole.blocks
        )
        try:
            opened = decrypt(whole.with_blocks(changed), here.identity)
        except (WireError, PeerError):
            return
        assert opened == b"payload"

    (seed,) = (block.data for block in whole.blocks if block.kind == blocks.CONFIDENTIALITY)
    return Target("secret", feed, (seed,))


def _chains(here: Me, neighbour: Me) -> Target:
    """What a signer, who may name anything, gives as its chain of membership or of ownership."""
    vm = born(neighbour.identity, "vm", Digest.of(b"image"), bytes(16))
    plain = _signed(neighbour, b"payload").with_blocks((blocks.payload(b"payload"),))
    of_vm = replace(plain, source=vm.vm_id.eid)

    def feed(data: bytes) -> None:
        for bundle in (
            sign(plain, neighbour.identity, data),
            sign(of_vm, neighbour.identity, neighbour.chain, data),
        ):
            try:
                signed = BundleVerifier(here.verifier).verify(bundle, START)
            except (WireError, PeerError):
                continue
            assert signed is not None
            assert signed.signer == neighbour.node_id

    return Target("chain", feed, (neighbour.chain, vm.pack()))


def _admin_records() -> Target:
    subject = BundleId(Eid("dtn://a/x"), 5, 6)
    every = Status(0x1F)
    times = tuple(Moment(9, number) for number in range(5))
    seeds = (
        StatusReport(subject, every, Reason.EXPIRED, times).encode(),
        CustodySignal(subject, True, Reason.NONE, Moment(3, 4)).encode(),
    )

    def feed(data: bytes) -> None:
        for of_ibr in (False, True):
            try:
                record = admin_records.parse(data, of_ibr=of_ibr)
            except WireError:
                continue
            assert admin_records.parse(record.encode()) is not None

    return Target("admin", feed, seeds)


# --- beacons ---


def _beacons() -> Target:
    def feed(data: bytes) -> None:
        try:
            beacon = Beacon.parse(data)
        except WireError:
            return
        ports = [service.port for service in beacon.services]
        assert all(port is None or 0 < port < 65536 for port in ports)

    services = (Service("tcpcl", "ip=10.0.0.1;port=4556;"), Service("radics", "port=5050;"))
    seeds = (Beacon(Eid("dtn://a/"), 7, services, 5).encode(), Beacon(None, 0).encode())
    return Target("beacon", feed, seeds, words=(b"port=", b"\x02\x0f\x00\x00"))


# --- sessions ---

_COLLECT_BYTES, _BUNDLE_MAX_BYTES = 64, 4096


class _Played:
    """A session whose other side is the input, and whose caller answers in all ways."""

    def __init__(self, features: Features) -> None:
        self.session = Session(
            Eid("dtn://here/"),
            keepalive_s=10,
            bundle_max_bytes=_BUNDLE_MAX_BYTES,
            now=NOW,
            offered=features,
            collect_max_bytes=_COLLECT_BYTES,
            segment_bytes=32,
        )
        self._kept: dict[int, int] = {}

    def react(self, event: Event) -> None:
        session = self.session
        match event:
            case Greeted():
                session.send(b"one")
                session.send(bytes(100))
            case Announced() if event.length % 5 == 1:
                session.refuse(event.number, wire.NO_RESOURCES)
            case Part():
                assert len(event.content) > _COLLECT_BYTES
                kept = self._kept[event.number] = self._kept.get(event.number, 0) + len(
                    event.content
                )
                assert kept <= _BUNDLE_MAX_BYTES
                if session.is_reactive:
                    session.keep(event.number, kept)
            case Arrived():
                size = self._kept.get(event.number, 0) + len(event.bundle)
                assert 0 < size <= _BUNDLE_MAX_BYTES
                if event.number % 3:
                    session.accept(event.number)
                else:
                    session.refuse(event.number, event.number % 4)


def _sessions() -> Target:
    def feed(data: bytes) -> None:
        features, chunk = Features(data[0] & 15 if data else 0), (data[1] if len(data) > 1 else 0)
        played = _Played(features)
        now = NOW
        for at in range(2, len(data), chunk + 1):
            now = Monotonic(now + 0.1)
            try:
                for event in played.session.receive(data[at : at + chunk + 1], now):
                    played.react(event)
                played.session.tick(now)
            except (WireError, LinkError):
                break
            played.session.take(100, now)
            assert played.session.deadline > now
        played.session.shut_down()
        rest = played.session.flush()
        assert rest is None or len(rest.content) <= _COLLECT_BYTES

    return Target("tcpcl", feed, tuple(_conversations()), words=_WORDS)


_WORDS = (
    wire.segment_head(True, True, 3) + b"abc",
    wire.segment_head(True, False, 2) + b"ab",
    wire.segment_head(False, True, 1) + b"c",
    wire.length(3),
    wire.length(1 << 63),
    wire.ack(3),
    wire.ack(100),
    wire.refuse(wire.COMPLETED),
    wire.KEEPALIVE,
    wire.shutdown(wire.BUSY, 1),
)


def _conversations() -> list[bytes]:
    hello = Hello(Eid("dtn://there/"), EVERY, 5).encode()
    long = wire.length(150) + b"".join(
        wire.segment_head(at == 0, at == 100, 50) + bytes(50) for at in (0, 50, 100)
    )
    starts = itertools.product((b"\x0f", b"\x05", b"\x00"), (b"\xff", b"\x00", b"\x06"))
    return [a + b + hello + long + b"".join(_WORDS[:3]) + _WORDS[5] for a, b in starts]


def targets() -> Sequence[Target]:
    members = Members(HandClock())
    here, neighbour = members.me("here"), members.me("neighbour")
    return (
        _bundles(here, neighbour),
        _integrity_blocks(here, neighbour),
        _confidentiality_blocks(here, neighbour),
        _chains(here, neighbour),
        _admin_records(),
        _beacons(),
        _sessions(),
    )


def fed(target: Target, data: bytes) -> BaseException | None:
    """What it has found, if anything."""
    try:
        target.feed(data)
    except MeshError as error:  # one that the target does not expect
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return error
    return None
