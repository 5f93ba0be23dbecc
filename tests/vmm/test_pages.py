"""The page store: what is put stays, what nobody holds goes, what is damaged is named."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from radics_mesh.errors import CapacityError, GuestError, UsageError, WireError
from radics_mesh.vmm import packindex, pagepack
from radics_mesh.vmm.pagepack import PACK_PAGES, Page, page_hash
from radics_mesh.vmm.pages import PageStore
from tests.patience import PATIENCE_S
from tests.power_loss import build_recorder
from tests.power_loss.disk import Disk, read_recording
from tests.vmm.power_loss_pages import content_of, pages_of

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 1 << 30


def some_pages(numbers: Sequence[int]) -> list[Page]:
    return [(page_hash(content_of(n)), content_of(n)) for n in numbers]


def hashes_of(numbers: Sequence[int]) -> list[bytes]:
    return [digest for digest, _ in some_pages(numbers)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PageStore]:
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as opened:
        yield opened


def pack_files(directory: Path) -> list[Path]:
    return sorted((directory / "packs").iterdir())


def test_pages_are_read_in_any_order_and_after_a_restart(tmp_path: Path) -> None:
    numbers = list(range(600))
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
        assert store.lacking(hashes_of([1, 2])) == [0, 1]
        assert store.put(some_pages(numbers)) == store.used_bytes > 0
        assert store.put(some_pages(numbers[::-1])) == 0
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
        assert len(store) == 600
        wanted = [*numbers[::-7], 3, 3, 4]
        assert list(store.read(hashes_of(wanted))) == [content_of(n) for n in wanted]
        assert store.lacking(hashes_of([599, 600])) == [1]


def test_runs_are_as_long_as_they_can_be(store: PageStore) -> None:
    store.put(some_pages(range(300)))
    runs = list(store.runs(hashes_of(range(300))))
    assert [(first, len(content)) for first, content in runs] == [
        (0, PACK_PAGES * 4096),
        (PACK_PAGES, 44 * 4096),
    ]
    assert b"".join(content for _, content in runs) == b"".join(map(content_of, range(300)))


def test_a_pack_goes_from_one_store_to_another(store: PageStore, tmp_path: Path) -> None:
    store.put(some_pages(range(20)))
    packed = store.pack(hashes_of(range(10, 20)))
    with closing(PageStore(tmp_path / "other", LIMIT_BYTES)) as other:
        other.put(some_pages([12]))
        assert other.put_pack(packed) > 0
        assert other.put_pack(packed) == 0
        assert list(other.read(hashes_of([19, 10]))) == [content_of(19), content_of(10)]


def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with closing(PageStore(tmp_path, 100 << 10)) as store:
        store.hold("a", hashes_of(range(10)))
        store.put(some_pages(range(10)))
        with pytest.raises(CapacityError, match="KiB for pages"):
            store.put(some_pages(range(10, 40)))
        assert list(store.read(hashes_of(range(10)))) == [content_of(n) for n in range(10)]
        store.release("a")
        store.put(some_pages(range(10, 28)))  # what nobody holds makes room


def test_collecting_writes_no_more_than_it_frees(store: PageStore) -> None:
    store.hold("most", hashes_of(range(90)))
    store.put(some_pages(range(100)))
    before = store.used_bytes
    assert store.collect() == 0
    store.hold("few", hashes_of(range(5)))
    store.release("most")
    assert store.collect() > before * 0.9
    assert list(store.read(hashes_of(range(5)))) == [content_of(n) for n in range(5)]
    assert store.lacking(hashes_of([5])) == [0]


def test_pages_are_kept_while_somebody_works_on_them(store: PageStore) -> None:
    with store.keeping(hashes_of(range(5))):
        store.put(some_pages(range(10)))
        store.collect()
        assert store.lacking(hashes_of(range(10))) == [5, 6, 7, 8, 9]
    assert store.collect() > 0
    assert len(store) == 0


def test_small_files_are_put_together(store: PageStore, tmp_path: Path) -> None:
    store.hold("all", hashes_of(range(40)))
    for number in range(40):
        store.put(some_pages([number]))
    store.collect()
    assert len(pack_files(tmp_path)) == 1
    assert list(store.read(hashes_of(range(40)))) == [content_of(n) for n in range(40)]


def test_who_puts_the_same_pages_at_once_writes_them_once(store: PageStore) -> None:
    once = store.put(some_pages(range(100, 500)))
    before = store.used_bytes
    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda _: store.put(some_pages(range(500, 900))), range(8)))
    assert sum(sizes) == store.used_bytes - before
    assert sum(sizes) < 1.1 * once
    assert store.lacking(hashes_of(range(900)))[-1] == 99


def test_a_page_under_a_false_name_is_left_out(store: PageStore) -> None:
    """Whoever is right about it is not hindered by who is wrong at the same time."""
    (digest,), content = hashes_of([1]), content_of(1)
    with ThreadPoolExecutor(4) as threads:
        for page in (b"x" * 4096, content, b"y" * 4096, content):
            threads.submit(store.put, [(digest, page)])
    assert list(store.read([digest])) == [content]


def test_shares(store: PageStore) -> None:
    store.put(some_pages(range(30)))
    store.hold("one", hashes_of(range(20)))
    store.hold("two", hashes_of(range(10, 30)))
    shares = store.shares()
    assert {o: s.pages for o, s in shares.items()} == {"one": 20, "two": 20}
    assert shares["one"].alone_bytes == pytest.approx(shares["one"].shared_bytes, rel=0.01)


def test_a_damaged_page_is_named_and_can_be_put_again(tmp_path: Path) -> None:
    numbers = range(300)
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
        store.put(some_pages(numbers))
    (file,) = pack_files(tmp_path)
    content = bytearray(file.read_bytes())
    content[-100] ^= 1  # in the second pack
    file.write_bytes(content)
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
        bad = store.check(hashes_of(numbers))
        assert [at for at, _ in bad]
        assert min(at for at, _ in bad) >= PACK_PAGES
        assert store.lacking(hashes_of(numbers)) == [at for at, _ in bad]
        assert store.check(hashes_of(numbers)) == bad
        with pytest.raises(GuestError, match=hashes_of([bad[0][0]])[0][:6].hex()):
            list(store.read(hashes_of(numbers)))
        store.put(some_pages(numbers))
        assert store.check(hashes_of(numbers)) == []
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:  # the newer copy counts
        assert store.check(hashes_of(numbers)) == []


def test_a_file_that_is_gone_is_named(store: PageStore, tmp_path: Path) -> None:
    store.put(some_pages([1, 2]))
    pack_files(tmp_path)[0].unlink()
    assert [at for at, why in store.check(hashes_of([1, 2])) if "file is gone" in why] == [0, 1]
    assert store.lacking(hashes_of([1, 2])) == [0, 1]


def test_any_damage_on_disk_is_found_and_nothing_wrong_is_read(tmp_path: Path) -> None:
    """Cuts, and a flipped bit in every 211th byte: what is read is right or an error."""
    with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
        store.put(some_pages([1, 2, 3]))
    (file,) = pack_files(tmp_path)
    whole = file.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 150)]
    for at in range(0, len(whole), 211):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
    for content in damaged:
        file.write_bytes(content)
        with closing(PageStore(tmp_path, LIMIT_BYTES)) as store:
            for number in (1, 2, 3):
                try:
                    assert list(store.read(hashes_of([number]))) == [content_of(number)]
                except GuestError:
                    assert store.lacking(hashes_of([number])) == [0]
            store.put(some_pages([1, 2, 3]))
            assert store.check(hashes_of([1, 2, 3])) == []
        for path in pack_files(tmp_path)[1:]:
            path.unlink()


def test_owners_are_names(store: PageStore) -> None:
    for owner in ("", "../x", "a/b", ".x", "x" * 200):
        with pytest.raises(UsageError):
            store.hold(owner, [])


def test_holds_grow(store: PageStore, tmp_path: Path) -> None:
    store.hold("a", hashes_of([1]))
    store.hold("a", hashes_of([2, 3]), more=True)
    with (tmp_path / "held" / "a").open("ab") as file:
        file.write(b"torn")
    assert store.held_by("a") == hashes_of([1, 2, 3])
    store.hold("a", hashes_of([4]), more=True)
    assert store.held_by("a") == hashes_of([1, 2, 3, 4])
    store.hold("a", hashes_of([5]))
    assert store.held_by("a") == hashes_of([5])


# --- packs from elsewhere -----------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_pack(data: bytes) -> None:
    with pytest.raises(WireError):
        pagepack.parse(data)


def test_altered_and_cut_packs_are_refused(store: PageStore) -> None:
    packed = pagepack.make(some_pages([1, 2]))
    for length in range(len(packed)):
        with pytest.raises(WireError):
            store.put_pack(packed[:length])
    for at in range(0, len(packed), 13):
        with pytest.raises(WireError):
            store.put_pack(packed[:at] + bytes([packed[at] ^ 4]) + packed[at + 1 :])
    with pytest.raises(WireError):
        store.put_pack(packed + b"\0")
    assert (len(store), store.used_bytes) == (0, 0)


def test_a_compressed_bomb_is_refused(store: PageStore) -> None:
    digest = page_hash(bytes(4096))
    body = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))
    sized = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(64 << 20))
    for bomb in (body, sized):
        head = b"RdCSpag1" + (1).to_bytes(4, "little") + len(bomb).to_bytes(4, "little")
        with pytest.raises(WireError, match="length"):
            store.put_pack(head + digest + bomb)


# --- a model of it ------------------------------------------------------------------------------


class Store(RuleBasedStateMachine):
    """Everything that somebody holds and that was put is there, over restarts and collections."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.small, packindex.SMALL_FILES = packindex.SMALL_FILES, 3
        self.open()
        self.put_: set[int] = set()
        self.held: dict[str, set[int]] = {}

    def open(self) -> None:
        self.store = PageStore(Path(self.folder.name), LIMIT_BYTES)

    def teardown(self) -> None:
        packindex.SMALL_FILES = self.small
        self.store.close()
        self.folder.cleanup()

    numbers = st.sets(st.integers(0, 11), min_size=1, max_size=6)
    owners = st.sampled_from("ab")

    @rule(numbers=numbers)
    def put(self, numbers: set[int]) -> None:
        self.store.put(some_pages(list(numbers)))
        self.put_ |= numbers

    @rule(numbers=numbers)
    def put_pack(self, numbers: set[int]) -> None:
        self.store.put_pack(pagepack.make(some_pages(list(numbers))))
        self.put_ |= numbers

    @rule(owner=owners, numbers=numbers, more=st.booleans())
    def hold(self, owner: str, numbers: set[int], more: bool) -> None:
        self.store.hold(owner, hashes_of(list(numbers)), more=more)
        self.held[owner] = numbers | (self.held.get(owner, set()) if more else set())

    @rule(owner=owners)
    def release(self, owner: str) -> None:
        self.store.release(owner)
        self.held.pop(owner, None)

    @rule()
    def collect(self) -> None:
        before = self.store.used_bytes
        assert self.store.collect() == before - self.store.used_bytes
        self.put_ = {n for n in self.put_ if not self.store.lacking(hashes_of([n]))} | (
            self.put_ & set().union(*self.held.values())
        )

    @rule()
    def restart(self) -> None:
        before = self.store.used_bytes
        self.store.close()
        self.open()
        assert self.store.used_bytes == before
        assert self.store.owners() == sorted(self.held)

    @rule(number=st.integers(0, 11))
    def damage(self, number: int) -> None:
        """A page turns bad on the medium; it is found, and put again."""
        (digest,) = hashes_of([number])
        for path in pack_files(Path(self.folder.name)):
            content = path.read_bytes()
            if (at := content.find(digest)) >= 0:
                path.write_bytes(content[:at] + bytes(32) + content[at + 32 :])
        self.restart()
        assert self.store.lacking([digest]) == [0]
        if number in self.put_:
            self.store.put(some_pages([number]))

    @invariant()
    def everything_is_there(self) -> None:
        wanted = sorted(self.put_)
        assert list(self.store.read(hashes_of(wanted))) == [content_of(n) for n in wanted]


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# --- SIGKILL and power loss ---------------------------------------------------------------------


def start(directory: Path, count: int, **environment: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.vmm.power_loss_pages", str(directory), str(count)]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment}
    )


def check_promises(directory: Path, lines: str) -> None:
    """What the child was told is safe and still holds is there."""
    kept: set[int] = set()
    for line in lines.splitlines():
        kind, number = line.split()
        (kept.add if kind == "kept" else kept.discard)(int(number))
    with closing(PageStore(directory, LIMIT_BYTES)) as store:
        for round_ in kept:
            wanted = hashes_of(pages_of(round_))
            assert store.held_by(f"round{round_}") == wanted
            assert store.check(wanted) == []
        store.collect()
        for round_ in kept:
            assert store.check(hashes_of(pages_of(round_))) == []


def test_sigkill(tmp_path: Path) -> None:
    for lines in (5, 23):
        child = start(tmp_path, 1000)
        assert child.stdout is not None
        with child.stdout:
            said = b"".join(child.stdout.readline() for _ in range(lines))
            child.send_signal(signal.SIGKILL)
            said += child.stdout.read().rpartition(b"\n")[0]
        assert child.wait() == -signal.SIGKILL
        check_promises(tmp_path, said.decode())


def test_power_loss(tmp_path: Path) -> None:
    """At every step of a recorded run, unsynced writes lost or partly there."""
    library = build_recorder(tmp_path / "record.so")
    root, recording = tmp_path / "store", tmp_path / "recording"
    child = start(
        root, 8, LD_PRELOAD=str(library), RECORD_ROOT=str(root), RECORD_LOG=str(recording)
    )
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    records = list(read_recording(recording.read_bytes()))
    disk, said, chance = Disk(), "", random.Random(5050)
    for step, record in enumerate(records):
        if record.kind == "o":
            said += record.data.decode()
        disk.apply(record)
        if step % 3 == 0 or step == len(records) - 1:
            for torn in (None, chance):
                image = tmp_path / f"{step}-{'lost' if torn is None else 'torn'}"
                disk.image(image, torn)
                check_promises(image / str(root).lstrip("/"), said)
    assert said == out.decode()
    assert "freed" in said
