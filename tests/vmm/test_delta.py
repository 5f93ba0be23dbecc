"""A state as what makes it of an earlier one: as good as the whole, or refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from radics_mesh.errors import MeshError, WireError
from radics_mesh.hosting.custody import Custody, Sort, State
from radics_mesh.vmm import delta, stored
from radics_mesh.vmm.delta import Base
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.snapshot import Snapshot
from tests.hosting.test_keeping import CHAIN
from tests.vmm.test_snapshot import MEMORY_BYTES, NOW, VERIFIER, page, take

EARLIER = {number: page(number % 200) for number in range(400, 440)}
LATER = {**EARLIER, 405: page(211), 450: page(212), 451: page(3)}
del LATER[410]


def state_of(snapshot: Snapshot) -> State:
    size = len(snapshot.pack())
    return State(CHAIN.vm_id, snapshot.digest, Sort.CHECKPOINT, CHAIN, 1000.0, size, 2000.0)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Snapshot, Snapshot, bytes, Custody]:
    """Both states, what makes the one of the other, and a keeper who has the earlier one."""
    earlier, later = take(tmp_path / "ram", EARLIER), take(tmp_path / "ram", LATER)
    holder = PageStore(tmp_path / "holder", 1 << 30)
    after = stored.adopt(holder, later, tmp_path / "holder")
    data = delta.make(Base.of(earlier.manifest), after)
    custody = Custody(tmp_path / "custody", PageStore(tmp_path / "pages", 1 << 30))
    custody.keep(state_of(earlier), earlier.pack())
    return earlier, later, data, custody


def kept(custody: Custody, earlier: Snapshot, later: Snapshot, data: bytes) -> bytes:
    base = custody.base(earlier.digest) or Base.of(earlier.manifest)
    signed, packs = delta.read(data, base, MEMORY_BYTES, later.digest)
    Snapshot(*signed, packs=()).check_signature(VERIFIER, NOW)
    custody.keep_changed(state_of(later), signed, packs)
    return custody.content(later.digest)


def test_a_keeper_makes_the_later_state_of_the_earlier_one(
    sides: tuple[Snapshot, Snapshot, bytes, Custody],
) -> None:
    earlier, later, data, custody = sides
    assert kept(custody, earlier, later, data) == later.pack()
    assert [state.snapshot for state in custody.states()] == [later.digest]
    assert len(data) < len(later.pack()) / 4


def test_what_a_keeper_lacks_is_missed(
    sides: tuple[Snapshot, Snapshot, bytes, Custody], tmp_path: Path
) -> None:
    earlier, later, data, _ = sides
    empty = Custody(tmp_path / "other", PageStore(tmp_path / "other pages", 1 << 30))
    with pytest.raises(WireError, match="pages are missing"):
        kept(empty, earlier, later, data)
    with pytest.raises(WireError):
        delta.read(data, Base.of(later.manifest), MEMORY_BYTES, earlier.digest)
    assert empty.states() == []


def test_no_byte_of_it_changes_what_is_kept(
    sides: tuple[Snapshot, Snapshot, bytes, Custody],
) -> None:
    earlier, later, data, custody = sides
    chance = Random(1)
    for number in range(60):
        custody.keep(state_of(earlier), earlier.pack())
        altered, place = bytearray(data), chance.randrange(len(data))
        altered[place] ^= chance.randrange(1, 256)
        try:
            content = kept(custody, earlier, later, bytes(altered) if number % 2 else data[:place])
        except MeshError:
            assert [state.snapshot for state in custody.states()] == [earlier.digest]
        else:  # a page was altered that had come whole before
            assert content == later.pack()
