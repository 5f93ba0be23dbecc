"""Reports and signals, with the power cut at every write: each is there with what caused it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire import admin_records
from radics_mesh.dtn.wire.admin_records import CustodySignal, Status
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from tests.dtn.records_driver import PASSING, STAYING
from tests.dtn.world import QUOTA_BYTES, HandClock, Members
from tests.power_loss import build_recorder
from tests.power_loss.disk import Disk, read_recording

ROOT = Path(__file__).parents[2]
Told = tuple[bool, frozenset[str]]
# Whether the bundle is held, and what is said of it.
_NOTHING: Told = (False, frozenset())
_ACCEPTED = frozenset({"signal", "CUSTODY_ACCEPTED"})
_ALLOWED: dict[int, set[Told]] = {
    PASSING: {_NOTHING, (True, _ACCEPTED), (False, _ACCEPTED | {"DELETED"})},
    STAYING: {_NOTHING, (True, _ACCEPTED), (False, _ACCEPTED | {"DELIVERED"})},
}


async def told(directory: Path) -> dict[int, Told]:
    a = Members(HandClock()).me("a").identity.eid
    said: dict[int, set[str]] = {PASSING: set(), STAYING: set()}
    with closing(BundleStore.open(directory, quota_bytes=QUOTA_BYTES, clock=HandClock())) as store:
        for held in store:
            if held.is_administrative:
                raw = await store.read(held)
                assert raw is not None
                record = admin_records.parse(Bundle.parse(raw).payload)
                of = said[record.subject.sequence]
                if isinstance(record, CustodySignal):
                    assert record.succeeded
                    of.add("signal")
                else:
                    of.update(bit.name or "" for bit in Status if bit in record.status)
        return {
            number: (store.holds(BundleId(a, 1, number)), frozenset(words))
            for number, words in said.items()
        }


def test_records_and_what_caused_them_share_a_transaction(tmp_path: Path) -> None:
    root, recording = tmp_path / "root", tmp_path / "recording"
    root.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(build_recorder(tmp_path / "record.so")),
        "RECORD_ROOT": str(root),
        "RECORD_LOG": str(recording),
    }
    command = [sys.executable, "-m", "tests.dtn.records_driver", str(root / "store")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    disk, chance, seen = Disk(), random.Random(1), set[tuple[int, Told]]()
    for record in read_recording(recording.read_bytes()):
        if record.kind == "o":
            continue
        disk.apply(record)
        for torn in (None, chance):
            with TemporaryDirectory(dir=tmp_path) as place:
                disk.image(Path(place), torn)
                directory = Path(place) / str(root / "store").lstrip("/")
                directory.mkdir(parents=True, exist_ok=True)
                found = trio.run(told, directory)
            for number, what in found.items():
                assert what in _ALLOWED[number]
                seen.add((number, what))
    assert seen == {(number, what) for number, all_ in _ALLOWED.items() for what in all_}
