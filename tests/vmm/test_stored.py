"""Snapshots whose pages are in the store: what is written, what is refused, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.errors import CapacityError, GuestError, PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import YEAR_S, Verifier, found
from radics_mesh.vmm import stored
from radics_mesh.vmm.pagepack import page_hash
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import PAGE_BYTES, lay_pages
from radics_mesh.vmm.stored import Stored
from radics_mesh.vmm.survey import Survey, look
from tests.vmm.test_snapshot import (
    MEMORY_BYTES,
    NOW,
    SIGNER,
    SUBJECT,
    TEMPLATE,
    VERIFIER,
    page,
    ram_file,
    take,
)

LAIN = {number: page_hash(content) for number, content in TEMPLATE.items()}
PAGES = TEMPLATE | {400: page(1), 401: page(2), 700: page(3)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PageStore]:
    with closing(PageStore(tmp_path / "pages", 1 << 30)) as opened:
        yield opened


def kept(
    store: PageStore, folder: Path, pages: dict[int, bytes], seen: Survey | None = None
) -> Stored:
    ram = ram_file(folder / "ram", pages)
    seen = seen or look(ram, MEMORY_BYTES, LAIN)
    return stored.keep(store, seen, ram, MEMORY_BYTES, LAIN, SUBJECT, SIGNER, folder)


def path_of(state: Stored, folder: Path) -> Path:
    return stored.path_of(folder, state.digest.hex())


def test_it_is_what_a_snapshot_in_one_piece_is(store: PageStore, tmp_path: Path) -> None:
    state = kept(store, tmp_path, PAGES)
    whole = take(tmp_path / "ram", PAGES)
    assert state.digest == whole.digest
    assert state.in_one_piece().pack() == whole.pack()
    again = stored.load(store, path_of(state, tmp_path), VERIFIER)
    assert again == state
    ram = ram_file(tmp_path / "other", TEMPLATE)
    lay_pages(again.runs(), ram)
    assert ram.read_bytes() == (tmp_path / "ram").read_bytes()
    adopted = stored.adopt(store, whole, tmp_path)
    assert adopted == state


def test_only_what_changed_is_written(store: PageStore, tmp_path: Path) -> None:
    many = {number: page(number) for number in range(400, 600)}
    kept(store, tmp_path, TEMPLATE | many)
    first = store.used_bytes
    state = kept(store, tmp_path, TEMPLATE | many | {450: page(-1)})
    assert store.used_bytes - first < 2 * PAGE_BYTES
    assert state.check_pages() == []


def test_a_guest_that_lies_about_what_it_changed_harms_no_other(
    store: PageStore, tmp_path: Path
) -> None:
    """Its survey is an old one: what the store would have been given under a false name."""
    ram = ram_file(tmp_path / "ram", PAGES)
    seen = look(ram, MEMORY_BYTES, LAIN)
    state = kept(store, tmp_path, PAGES | {401: page(9)}, seen)
    assert dict(zip(state.manifest.pages, state.manifest.page_hashes(), strict=True)) == {
        400: page_hash(page(1)),
        401: page_hash(page(9)),
        700: page_hash(page(3)),
    }
    assert store.lacking([page_hash(page(2))]) == [0]
    assert state.check_pages() == []


def test_a_missing_page_is_named(store: PageStore, tmp_path: Path) -> None:
    state = kept(store, tmp_path, PAGES)
    store.collect()  # nobody has said that this directory's states count
    assert state.check_pages() == [
        (n, f"page {page_hash(PAGES[n])[:6].hex()}: it is not here") for n in (400, 401, 700)
    ]
    for use in (lambda: list(state.runs()), state.in_one_piece, state.read):
        with pytest.raises(GuestError, match="it is not here"):
            use()


def test_what_a_manifest_names_is_kept(store: PageStore, tmp_path: Path) -> None:
    (tmp_path / "vms" / "one").mkdir(parents=True)
    store.refer(lambda: stored.references(tmp_path / "vms"))
    state = kept(store, tmp_path / "vms" / "one", PAGES)
    other = kept(store, tmp_path / "vms" / "one", {500: page(5)})
    store.collect()
    assert state.check_pages() == other.check_pages() == []
    path_of(state, tmp_path / "vms" / "one").unlink()
    store.collect()
    assert len(state.check_pages()) == 3
    assert other.check_pages() == []


def test_a_full_store_leaves_no_manifest(tmp_path: Path) -> None:
    with (
        closing(PageStore(tmp_path / "pages", 1000)) as store,
        pytest.raises(CapacityError, match="KiB for pages"),
    ):
        kept(store, tmp_path, PAGES)
    assert list(tmp_path.glob("*.manifest")) == []


def test_every_cut_and_flipped_manifest_is_refused(store: PageStore, tmp_path: Path) -> None:
    state = kept(store, tmp_path, PAGES)
    path = path_of(state, tmp_path)
    whole = path.read_bytes()
    bad = [whole + b"\0", *(whole[:length] for length in range(len(whole)))]
    for at in range(0, len(whole), 3):
        bad.append(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
    for count, content in enumerate(bad):
        path.write_bytes(content)
        with pytest.raises((WireError, PeerError)):
            stored.load(store, path, VERIFIER)
        if count % 50 == 0:
            list(stored.references(tmp_path.parent))  # whoever collects goes on


def test_another_state_under_its_name_is_refused(store: PageStore, tmp_path: Path) -> None:
    state, other = kept(store, tmp_path, PAGES), kept(store, tmp_path, {500: page(1)})
    path_of(state, tmp_path).write_bytes(path_of(other, tmp_path).read_bytes())
    with pytest.raises(WireError, match="its manifest is altered"):
        stored.load(store, path_of(state, tmp_path), VERIFIER)


def test_foreign_ones_are_refused(store: PageStore, tmp_path: Path) -> None:
    path = path_of(kept(store, tmp_path, PAGES), tmp_path)
    _, mesh, _ = found(Identity.generate(), "other", NOW)
    with pytest.raises(PeerError, match="another mesh"):
        stored.load(store, path, Verifier(mesh))


def test_a_former_members_state_is_read_where_it_was_taken_and_comes_nowhere_else(
    store: PageStore, tmp_path: Path
) -> None:
    state = kept(store, tmp_path, PAGES)
    verifier = Verifier(VERIFIER.mesh)
    state.check_signature(verifier, NOW)
    with pytest.raises(PeerError, match="has expired"):
        state.check_signature(verifier, Wall(NOW + 11 * YEAR_S))
    verifier.revoke(state.signer, VERIFIER.mesh.genesis)
    with pytest.raises(PeerError, match="has been revoked"):
        state.check_signature(verifier, NOW)
    assert stored.load(store, path_of(state, tmp_path), verifier) == state


def test_the_hash_is_sha256() -> None:
    assert page_hash(page(1)) == hashlib.sha256(page(1)).digest()
