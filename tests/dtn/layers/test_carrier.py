"""Bundles by way of a directory between agents that are never connected."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from radics_mesh.config import Foreign
from radics_mesh.dtn.layers import carried, carrier
from radics_mesh.dtn.layers.carrier import Carrier
from radics_mesh.dtn.layers.stick import Stick
from radics_mesh.errors import CapacityError, LinkError, UsageError
from radics_mesh.ids import Eid, NodeId
from tests.dtn.bundles import plain
from tests.dtn.world import Members, Node, carry, running, until

IBR = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("echo",))
Known = dict[NodeId, bytes]


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick"
    path.mkdir()
    return path


def carrier_of(node: Node, learned: Known | None = None) -> Carrier:
    known: Known = {} if learned is None else learned

    def learn(who: NodeId, card: bytes) -> bool:
        known[who] = card
        return card.startswith(b"card of")

    return Carrier(
        me=node.me,
        agent=node.agent,
        store=node.store,
        foreign=[IBR],
        card=lambda: b"card of " + node.id,
        learn=learn,
    )


def files(stick: Path, suffix: str = carried.BUNDLE) -> list[Path]:
    return sorted(path for path in stick.iterdir() if path.name.endswith(suffix))


async def test_a_stick_there_and_back(members: Members, tmp_path: Path, stick: Path) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        for number in range(3):
            await a.agent.send(b.id.service("in"), b"%d" % number)
        went = await carrier_of(a).write(stick)
        assert (went.written, went.left, went.problems) == (3, 0, [])
        assert len(a.store) == 3  # until somebody says that he has them
        came = await carrier_of(b).take(stick)
        assert (came.taken, came.known, came.problems) == (3, 0, [])
        assert [d.payload for d in await b.received(3)] == [b"0", b"1", b"2"]
        assert files(stick) == []
        back = await carrier_of(a).write(stick)
        assert (back.confirmed, back.written) == (3, 0)
        assert len(a.store) == 0
        assert files(stick, carried.RECEIPT) == []


async def test_read_twice_and_written_twice_it_delivers_once(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    copy = tmp_path / "copy"
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        await a.agent.send(b.id.service("in"), b"once")
        await carrier_of(a).write(stick)
        assert (await carrier_of(a).write(stick)).there == 1
        shutil.copytree(stick, copy)
        await carrier_of(b).take(stick)
        await b.received(1)
        again = await carrier_of(b).take(copy)
        assert (again.taken, again.known) == (0, 1)
        shutil.rmtree(stick)  # lost with the receipt
        stick.mkdir()
        assert (await carrier_of(a).write(stick)).written == 1
        third = await carrier_of(b).take(stick)
        assert (third.taken, third.known) == (0, 1)
        assert (await carrier_of(a).write(stick)).confirmed == 1
    assert len(b.delivered) == 1


async def test_a_relay_takes_what_is_for_others_and_leaves_the_file(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("m"), tmp_path / "m") as m,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        await a.agent.send(b.id.service("in"), b"by mule")
        await carrier_of(a).write(stick)
        assert (await carrier_of(m).take(stick)).taken == 1
        assert len(files(stick)) == 1
        m.agent.contact_up(b.id, carry(b, m.id))
        await until(lambda: len(m.store) == 0)
        # It has left M, and is not news there any more.
        assert (await carrier_of(m).take(stick)).taken == 0
        assert (await carrier_of(b).take(stick)).known == 1
        assert len(b.delivered) == 1
        assert (await carrier_of(a).write(stick)).confirmed == 1


async def test_only_what_a_node_would_be_handed(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    b, c = members.me("b").node_id, members.me("c").node_id
    async with running(members.me("a"), tmp_path / "a") as a:
        for node in (b, c, b):
            await a.agent.send(node.service("in"), b"x")
        assert (await carrier_of(a).write(stick, {c})).written == 1
        assert (await carrier_of(a).write(stick)).written == 2
        assert (await carrier_of(a).write(stick)).there == 3


async def test_a_receipt_is_for_one_arrival_of_a_bundle(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    """A bundle that has come back since is not dropped by an old word about it."""
    copy = tmp_path / "copy"
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
        running(members.me("c"), tmp_path / "c") as c,
    ):
        sent = await c.agent.send(b.id.service("in"), b"to and fro")
        raw = await c.agent.departing(c.agent.outgoing()[0])
        assert raw is not None
        await a.agent.receive(raw, c.id)
        await carrier_of(a).write(stick)
        await carrier_of(b).take(stick)
        shutil.copytree(stick, copy)
        assert (await carrier_of(a).write(stick)).confirmed == 1
    async with running(members.me("a"), tmp_path / "a") as a:  # its store is empty, and reopened
        await a.agent.receive(raw, c.id)
        assert (await carrier_of(a).write(copy)).confirmed == 0
        assert a.store.holds(sent)


async def test_a_receipt_counts_as_its_taker_signed_it_or_not_at_all(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
        running(members.me("c"), tmp_path / "c") as c,
    ):
        await a.agent.send(b.id.service("in"), b"x")
        await carrier_of(a).write(stick)
        await carrier_of(b).take(stick)
        (receipt,) = files(stick, carried.RECEIPT)
        renamed = receipt.with_name(receipt.name.replace(b.id.text, c.id.text))
        receipt.rename(renamed)
        went = await carrier_of(a).write(stick)
        assert went.confirmed == 0
        assert "another node signed" in went.problems[0]
        renamed.rename(receipt)
        good = receipt.read_bytes()
        what = carried.Receipt(((1, next(iter(a.store)).bundle_id),)).pack()
        begin = good.index(what)
        for place in range(begin, begin + len(what), 5):
            receipt.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
            went = await carrier_of(a).write(stick)
            assert (went.confirmed, len(went.problems)) == (0, 1)
        assert len(a.store) == 1
        receipt.write_bytes(good)
        assert (await carrier_of(a).write(stick)).confirmed == 1


async def test_every_damage_is_one_line_and_the_rest_goes_on(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        for number in range(4):
            await a.agent.send(b.id.service("in"), b"payload %d" % number)
        await carrier_of(a).write(stick)
        flipped, cut, empty, good = files(stick)
        content = flipped.read_bytes()
        at = content.index(b"payload")
        flipped.write_bytes(content[:at] + b"P" + content[at + 1 :])
        cut.write_bytes(cut.read_bytes()[:-5])
        empty.write_bytes(b"")
        (stick / "holiday.bundle").write_bytes(os.urandom(3000))
        (stick / "folder.bundle").mkdir()
        (stick / "link.bundle").symlink_to(tmp_path / "a" / "bundles.db")
        os.mkfifo(stick / "pipe.bundle")
        (stick / f"{a.id.text}.1.2.3.receipt").write_bytes(b"thanks")
        (stick / "nonsense.card").write_bytes(b"ace of spades")
        came = await carrier_of(b).take(stick)
        assert came.taken == 1
        assert len(came.problems) == 8
        assert all(any(name in p for p in came.problems) for name in (flipped.name, cut.name))
        assert len(await b.received(1)) == 1
        # A finds what is damaged and writes it anew.
        went = await carrier_of(a).write(stick)
        assert (went.confirmed, went.written, went.there) == (1, 3, 0)
        for name in ("holiday", "link", "pipe"):
            (stick / f"{name}.bundle").unlink()
        (stick / "folder.bundle").rmdir()
        assert (await carrier_of(b).take(stick)).taken == 3
        assert sorted(d.payload[-1] for d in await b.received(4)) == sorted(b"0123")
        assert not good.exists()


async def test_another_implementations_bundle_reaches_what_is_open_to_it(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with running(members.me("b"), tmp_path / "b") as b:
        b.agent.register(b.id.service("echo"), b.collect)
        for name, source, service in [
            ("open", "dtn://ibr/app", "echo"),
            ("closed", "dtn://ibr/app", "handoff"),
            ("stranger", "dtn://elsewhere/app", "echo"),
        ]:
            raw = plain(source=Eid(source), destination=b.id.service(service)).encode()
            (stick / f"{name}.bundle").write_bytes(raw)
        came = await carrier_of(b).take(stick)
        assert came.taken == 1
        assert [p.partition(":")[0] for p in sorted(came.problems)] == [
            "closed.bundle",
            "stranger.bundle",
        ]
        assert (await b.received(1))[0].source == "dtn://ibr/app"
        assert files(stick, carried.RECEIPT) == []


async def test_a_full_stick_takes_what_fits_and_no_halves(
    members: Members, tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(members.me("a"), tmp_path / "a") as a:
        b = members.me("b").node_id
        for _ in range(3):
            await a.agent.send(b.service("in"), b"x" * 5000)
        left = [carried.RESERVE_BYTES + 12_000]
        monkeypatch.setattr(Stick, "free_bytes", lambda self: left[0] - 8192 * len(files(stick)))
        went = await carrier_of(a).write(stick)
        assert (went.written, went.left) == (1, 2)
        assert went.left_bytes > 10_000
        assert len(files(stick)) == 1
        assert len(a.store) == 3
        left[0] += 1 << 20
        went = await carrier_of(a).write(stick)
        assert (went.there, went.written, went.left) == (1, 2, 0)


def test_a_medium_that_is_really_full(tmp_path: Path) -> None:
    """/dev/full is no directory, so the limit on a file's size stands for it."""
    import resource
    import signal

    stick = Stick(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(CapacityError):
            stick.write("big.bundle", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


async def test_what_a_crash_left_half_is_cleared_and_never_read(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with running(members.me("a"), tmp_path / "a") as a:
        half = stick / f".{a.id.text}.1.2.bundle.77.tmp"
        half.write_bytes(b"half")
        another = stick / f".{members.me('b').node_id.text}.1.2.bundle.77.tmp"
        another.write_bytes(b"half of another's that is being written")
        assert (await carrier_of(a).take(stick)).problems == []
        await carrier_of(a).write(stick)
        assert (half.exists(), another.exists()) == (False, True)


async def test_no_stick_no_directory(members: Members, tmp_path: Path) -> None:
    async with running(members.me("a"), tmp_path / "a") as a:
        with pytest.raises(UsageError, match="is the stick in"):
            await carrier_of(a).write(tmp_path / "none")
        assert not (tmp_path / "none").exists()


async def test_files_of_bundles_that_left_by_a_link_are_cleared(
    members: Members, tmp_path: Path, stick: Path
) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        await a.agent.send(b.id.service("in"), b"x")
        await carrier_of(a).write(stick)
        a.agent.contact_up(b.id, carry(b, a.id))
        await b.received(1)
        await until(lambda: len(a.store) == 0)
        await carrier_of(a).write(stick)
        assert files(stick) == []


async def test_cards_are_left_and_learned(members: Members, tmp_path: Path, stick: Path) -> None:
    known: Known = {}
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        await carrier_of(b).leave_card(stick)
        await carrier_of(b, known).take(stick)
        assert known == {}  # its own
        assert await carrier_of(a, known).learn_cards(stick) == 1
    assert known == {b.id: b"card of " + b.id}


async def test_a_watched_stick_works_by_itself_whenever_it_is_in(
    members: Members, tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "WATCH_EVERY_S", 0.01)
    away, told = tmp_path / "away", list[str]()
    stick.rename(away)
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
        trio.open_nursery() as nursery,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        await a.agent.send(b.id.service("in"), b"by itself")
        nursery.start_soon(carrier_of(a).watch, stick, told.append)
        away.rename(stick)
        await until(lambda: told == [f"{stick}: 1 bundles written"])
        stick.rename(away)
        await carrier_of(b).take(away)
        assert len(await b.received(1)) == 1
        away.rename(stick)
        await until(lambda: len(a.store) == 0)
        await a.agent.send(b.id.service("in"), b"and again, while it is in")
        await until(lambda: len(told) == 3)
        nursery.cancel_scope.cancel()
    assert told[1:] == [
        f"{stick}: 0 bundles taken, 1 of ours have arrived",
        f"{stick}: 1 bundles written",
    ]


async def test_a_stick_that_cannot_be_written_is_read_all_the_same(
    members: Members, tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        await a.agent.send(b.id.service("in"), b"x")
        await carrier_of(a).write(stick)

        def refuse(self: Stick, name: str, content: bytes) -> None:
            raise LinkError("Read-only file system")

        monkeypatch.setattr(Stick, "write", refuse)
        came = await carrier_of(b).take(stick)
        assert came.taken == 1
        assert any("Read-only" in problem for problem in came.problems)
        assert len(files(stick)) == 1
