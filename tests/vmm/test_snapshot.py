"""Snapshots: what they hold, and that a damaged or foreign one is refused by name."""

from __future__ import annotations

import dataclasses
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.membership import Verifier, found
from radics_mesh.vmm import manifest, ram, snapshot
from radics_mesh.vmm.architecture import AARCH64, X86_64
from radics_mesh.vmm.manifest import Manifest, Signer, Subject
from radics_mesh.vmm.pagepack import PACK_PAGES
from radics_mesh.vmm.ram import PAGE_BYTES
from radics_mesh.vmm.snapshot import Snapshot

NOW = Wall(1_800_000_000.0)
MEMORY_BYTES = 4 << 20
FIRST, END = 256, 1024  # pages above the firmware's, of 4 MiB
IMAGE = Digest.of(b"image")
TEMPLATE = {300: b"\1" * PAGE_BYTES, 301: b"\2" * PAGE_BYTES, 302: b"\3" * PAGE_BYTES}
SUBJECT = Subject(VmId(bytes(20)), 3, IMAGE, "x86_64", "qemu64", b"mailbox", int(NOW))


def member() -> tuple[Signer, Verifier]:
    identity = Identity(bytes(range(32)))
    _, mesh, chain = found(identity, "n", NOW)
    return Signer(identity, chain.pack()), Verifier(mesh)


SIGNER, VERIFIER = member()


def ram_file(path: Path, pages: dict[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(MEMORY_BYTES)
        for number, content in pages.items():
            file.seek(number * PAGE_BYTES)
            file.write(content)
    return path


def page(seed: int) -> bytes:
    return random.Random(seed).randbytes(PAGE_BYTES)


def take(path: Path, pages: dict[int, bytes]) -> Snapshot:
    return snapshot.take(ram_file(path, pages), MEMORY_BYTES, TEMPLATE, SUBJECT, SIGNER)


@pytest.fixture
def state(tmp_path: Path) -> Snapshot:
    pages = {number: page(number) for number in range(400, 400 + 2 * PACK_PAGES + 5)}
    return take(tmp_path / "ram", TEMPLATE | pages)


def test_only_what_differs_is_held(tmp_path: Path) -> None:
    firmware, zero = {0: page(1), 255: page(2)}, {900: bytes(PAGE_BYTES)}
    # 301 was written over, 302 was never copied into this file: the guest emptied it.
    pages = {300: TEMPLATE[300], 301: page(3), FIRST: page(4), END - 1: page(5)}
    state = take(tmp_path / "ram", firmware | zero | pages)
    assert dict(state.pages()) == {
        FIRST: page(4),
        301: page(3),
        302: bytes(PAGE_BYTES),
        END - 1: page(5),
    }
    assert state.manifest.pages == (FIRST, 301, 302, END - 1)


def test_pages_that_compress_away_cost_nothing(tmp_path: Path) -> None:
    assert take(tmp_path / "ram", TEMPLATE).manifest.pages == ()
    assert len(take(tmp_path / "ram", TEMPLATE).pack()) < 1000


def test_round_trip(state: Snapshot, tmp_path: Path) -> None:
    packed = state.pack()
    again = Snapshot.unpack(packed, VERIFIER, NOW)
    assert again == state
    assert again.digest == state.digest
    assert again.pack() == packed
    assert again.manifest.mailbox == b"mailbox"
    state.save(tmp_path / "s")
    assert Snapshot.load(tmp_path / "s", VERIFIER, NOW) == state


def test_the_same_memory_gives_the_same_bytes(tmp_path: Path) -> None:
    pages = {number: page(number) for number in (400, 401, 800)}
    assert take(tmp_path / "a", pages).pack() == take(tmp_path / "b", pages).pack()


def test_the_digest_covers_memory_mailbox_and_epoch(tmp_path: Path) -> None:
    state = take(tmp_path / "ram", {400: page(1)})
    others = [
        take(tmp_path / "ram", {400: page(2)}),
        take(tmp_path / "ram", {401: page(1)}),
        *(
            dataclasses.replace(state, manifest=dataclasses.replace(state.manifest, **change))
            for change in ({"mailbox": b"x"}, {"epoch": 4}, {"memory_bytes": 8 << 20})
        ),
    ]
    assert len({state.digest, *(other.digest for other in others)}) == 6


def test_laying_down_replaces_all_above_the_firmware(tmp_path: Path) -> None:
    pages = {300: page(1), 301: TEMPLATE[301], 500: page(2), END - 1: page(3)}
    state = take(tmp_path / "ram", pages)
    other = ram_file(
        tmp_path / "other", {number: page(99) for number in (0, 255, FIRST, 300, 302, 700)}
    )
    ram.lay_template(other, MEMORY_BYTES, ((n * PAGE_BYTES, c) for n, c in TEMPLATE.items()))
    ram.lay_pages(state.runs(), other)
    restored = other.read_bytes()
    expected = {0: page(99), 255: page(99), **pages}  # 302: zero when it was taken
    for number in range(END):
        content = restored[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]
        assert content == expected.get(number, bytes(PAGE_BYTES)), number
    assert other.stat().st_blocks * 512 < 100 * PAGE_BYTES  # holes stay holes


def test_truncation_is_named(state: Snapshot) -> None:
    packed = state.pack()
    for length in (8, 15, 100, len(packed) // 2, len(packed) - 1):
        with pytest.raises(WireError, match="truncated"):
            Snapshot.unpack(packed[:length], VERIFIER, NOW)
    with pytest.raises(WireError, match="length is wrong"):
        Snapshot.unpack(packed + b"x", VERIFIER, NOW)
    with pytest.raises(WireError, match="not a snapshot"):
        Snapshot.unpack(b"", VERIFIER, NOW)


def test_an_altered_page_is_named(state: Snapshot, tmp_path: Path) -> None:
    other = take(tmp_path / "ram", TEMPLATE | dict(state.pages()) | {700: page(-1)})
    mixed = dataclasses.replace(state, packs=other.packs)
    with pytest.raises(WireError, match="page 700 is altered"):
        Snapshot.unpack(mixed.pack(), VERIFIER, NOW)
    broken = bytearray(state.packs[1])
    broken[4] ^= 0xFF
    packs = (state.packs[0], bytes(broken), *state.packs[2:])
    with pytest.raises(WireError, match="pages 656 to 911 are altered"):
        Snapshot.unpack(dataclasses.replace(state, packs=packs).pack(), VERIFIER, NOW)


def test_missing_and_surplus_packs_are_refused(state: Snapshot) -> None:
    for packs in (state.packs[:-1], (*state.packs, state.packs[0]), ()):
        with pytest.raises(WireError, match="pages are missing"):
            Snapshot.unpack(dataclasses.replace(state, packs=packs).pack(), VERIFIER, NOW)


def test_an_altered_manifest_is_refused(state: Snapshot) -> None:
    manifest = dataclasses.replace(state.manifest, epoch=9)
    with pytest.raises(PeerError, match="bad signature on a snapshot manifest"):
        Snapshot.unpack(dataclasses.replace(state, manifest=manifest).pack(), VERIFIER, NOW)


def test_a_foreign_mesh_is_refused(state: Snapshot) -> None:
    _, mesh, _ = found(Identity.generate(), "other", NOW)
    with pytest.raises(PeerError, match="another mesh"):
        Snapshot.unpack(state.pack(), Verifier(mesh), NOW)


def test_another_members_name_is_refused(state: Snapshot) -> None:
    forger = Identity.generate()
    signature = forger.sign(manifest.CONTEXT, state.manifest.pack())
    forged = dataclasses.replace(state, signer=forger.public, signature=signature)
    with pytest.raises(PeerError, match="another key"):
        Snapshot.unpack(forged.pack(), VERIFIER, NOW)


def test_what_does_not_fit_is_named(state: Snapshot) -> None:
    state.check_fits(IMAGE)
    state.check_fits(IMAGE, X86_64)
    with pytest.raises(PeerError, match="wrong image"):
        state.check_fits(Digest.of(b"other"), X86_64)
    with pytest.raises(PeerError, match="not aarch64 armv8-a"):
        state.check_fits(IMAGE, AARCH64)
    on_host = dataclasses.replace(state.manifest, cpu="host")
    with pytest.raises(PeerError, match="of a x86_64 host guest, not x86_64 qemu64"):
        dataclasses.replace(state, manifest=on_host).check_fits(IMAGE)
    on_vax = dataclasses.replace(state.manifest, architecture="vax")
    with pytest.raises(PeerError, match="of a vax guest: none run here"):
        dataclasses.replace(state, manifest=on_vax).check_fits(IMAGE)


def test_a_page_that_expands_without_end_is_refused(state: Snapshot) -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    packs = (bomb, *state.packs[1:])
    with pytest.raises(WireError, match="altered"):
        Snapshot.unpack(dataclasses.replace(state, packs=packs).pack(), VERIFIER, NOW)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_no_flipped_bit_is_accepted(state: Snapshot, at: int, flip: int) -> None:
    packed = bytearray(state.pack())
    # The manifest and the packs' heads are most worth it: the rest is random pages.
    at = at % (len(packed) if at % 2 else len(packed) - sum(map(len, state.packs)) + 64)
    packed[at] ^= flip
    with pytest.raises((WireError, PeerError)):
        Snapshot.unpack(bytes(packed), VERIFIER, NOW)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parsers(data: bytes) -> None:
    for parse in (Manifest.parse, lambda raw: Snapshot.unpack(raw, VERIFIER, NOW)):
        with suppress(WireError, PeerError):
            parse(data)
            raise AssertionError("garbage was taken")


@pytest.mark.parametrize(
    "runs",
    [(255, 1), (256, 0), (1023, 2), (1 << 32 - 1, 1), (300, 1, 301, 1), (400, 1, 300, 1), (300,)],
)
def test_a_broken_page_map_is_refused(runs: tuple[int, ...]) -> None:
    raw = b"".join(number.to_bytes(4, "little") for number in runs)
    with pytest.raises(WireError, match="page map"):
        manifest.parse_runs(raw, MEMORY_BYTES)


def test_a_large_sparse_memory_is_read_by_its_data_only(tmp_path: Path) -> None:
    path = tmp_path / "ram"
    with path.open("wb") as file:
        file.truncate(8 << 30)
        file.seek(5 << 30)
        file.write(page(1))
    state = snapshot.take(path, 8 << 30, {}, SUBJECT, SIGNER)
    assert state.manifest.pages == ((5 << 30) // PAGE_BYTES,)
    assert os.stat(path).st_blocks < 1000
