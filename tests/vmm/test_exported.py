"""Files with a VM's whole state: whatever is wrong with one, it is refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import zstandard

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.membership import YEAR_S, Verifier, found, invite
from radics_mesh.ownership import Ownership, born
from radics_mesh.vmm import snapshot
from radics_mesh.vmm.exported import Exported
from radics_mesh.vmm.manifest import Signer, Subject
from radics_mesh.vmm.snapshot import Snapshot
from tests.vmm.test_snapshot import IMAGE, MEMORY_BYTES, NOW, TEMPLATE, page, ram_file

HOLDER, OTHER = Identity(bytes(range(32))), Identity(bytes(32))
_, MESH, CHAIN = found(HOLDER, "n", NOW)
VERIFIER = Verifier(MESH)
BORN = born(HOLDER, "counter", IMAGE, b"n" * 16)
PAGES = {300: page(1), 500: page(2), 501: page(3)}


def state(
    folder: Path, *, vm: VmId = BORN.vm_id, epoch: int = 1, image: Digest = IMAGE
) -> Snapshot:
    subject = Subject(vm, epoch, image, "x86_64", "qemu64", b"mailbox", int(NOW))
    ram = ram_file(folder / "ram", PAGES)
    return snapshot.take(ram, MEMORY_BYTES, TEMPLATE, subject, Signer(HOLDER, CHAIN.pack()))


def refused(exported: Exported, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Exported.unpack(exported.pack(), VERIFIER, NOW)


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    return Exported(BORN, state(tmp_path))


def test_round_trip(exported: Exported) -> None:
    assert Exported.unpack(exported.pack(), VERIFIER, NOW) == exported


def test_every_truncation_is_refused(exported: Exported) -> None:
    packed = exported.pack()
    for length in range(0, len(packed), 7):
        with pytest.raises((WireError, PeerError)):
            Exported.unpack(packed[:length], VERIFIER, NOW)
    with pytest.raises(WireError, match="length is wrong"):
        Exported.unpack(packed + b"\0", VERIFIER, NOW)


def test_flipped_bits_are_refused(exported: Exported) -> None:
    packed = exported.pack()
    for at in range(0, len(packed), 23):
        flipped = packed[:at] + bytes([packed[at] ^ 1 << at % 8]) + packed[at + 1 :]
        with pytest.raises((WireError, PeerError)):
            Exported.unpack(flipped, VERIFIER, NOW)


def test_a_foreign_mesh_is_refused(exported: Exported) -> None:
    _, mesh, _ = found(OTHER, "other", NOW)
    with pytest.raises(PeerError, match="another mesh"):
        Exported.unpack(exported.pack(), Verifier(mesh), NOW)


def test_a_signer_who_is_no_member_any_more_is_refused(exported: Exported) -> None:
    with pytest.raises(PeerError, match="has expired"):
        Exported.unpack(exported.pack(), Verifier(MESH), Wall(NOW + 11 * YEAR_S))


def test_a_revoked_signer_is_refused(exported: Exported) -> None:
    verifier = Verifier(MESH)
    signer = Exported.unpack(exported.pack(), verifier, NOW).snapshot.signer
    verifier.revoke(signer, MESH.genesis)
    with pytest.raises(PeerError, match="has been revoked"):
        Exported.unpack(exported.pack(), verifier, NOW)


def test_who_took_a_vm_over_may_vouch_for_the_state_that_it_began_with(exported: Exported) -> None:
    other = Signer(OTHER, invite(HOLDER, CHAIN, OTHER.public, "o", Wall(NOW + YEAR_S)).pack())
    vouched = exported.snapshot.vouched(other)
    refused(Exported(BORN, vouched), PeerError, "another node than held it")
    elsewhere = BORN.released(HOLDER, OTHER.public, Digest.of(b"another state"))
    refused(Exported(elsewhere, vouched), PeerError, "another node than held it")
    moved = Exported(BORN.released(HOLDER, OTHER.public, vouched.digest), vouched)
    verifier = Verifier(MESH)
    verifier.revoke(exported.snapshot.signer, MESH.genesis)
    refused_too = Exported(moved.chain, exported.snapshot)
    with pytest.raises(PeerError, match="has been revoked"):
        Exported.unpack(refused_too.pack(), verifier, NOW)
    assert Exported.unpack(moved.pack(), VERIFIER, NOW) == moved


def test_state_and_ownership_belong_together(exported: Exported, tmp_path: Path) -> None:
    other = born(HOLDER, "other", IMAGE, b"m" * 16)
    refused(dataclasses.replace(exported, chain=other), PeerError, "another VM's")
    later = Exported(BORN, state(tmp_path, epoch=2))
    refused(later, PeerError, "later than its ownership")
    moved = BORN.released(HOLDER, OTHER.public, Digest.of(b"s"))
    refused(Exported(moved, state(tmp_path, epoch=2)), PeerError, "another node than held it")
    wrong = Exported(BORN, state(tmp_path, image=Digest.of(b"other")))
    refused(wrong, PeerError, "wrong image")
    Exported.unpack(Exported(moved, exported.snapshot).pack(), VERIFIER, NOW)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    subject = Subject(BORN.vm_id, 1, IMAGE, "vax", "host", b"", int(NOW))
    ram = ram_file(tmp_path / "ram", PAGES)
    signer = Signer(HOLDER, CHAIN.pack())
    of_vax = snapshot.take(ram, MEMORY_BYTES, TEMPLATE, subject, signer)
    refused(Exported(BORN, of_vax), PeerError, "of a vax guest: none run here")


def test_a_compressed_bomb_is_refused(exported: Exported) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    swollen = dataclasses.replace(exported.snapshot, packs=(bomb,))
    refused(dataclasses.replace(exported, snapshot=swollen), WireError, "altered")


def test_an_ownership_that_nobody_signed_is_refused(exported: Exported) -> None:
    birth = dataclasses.replace(BORN.birth, signature=bytes(64))
    refused(dataclasses.replace(exported, chain=Ownership(birth)), PeerError, "bad signature")
