"""Real processes in network namespaces: A -- B -- C -- D, each cable a subnet of its own.

Nothing forwards IP, so A and D reach each other by what B and C store and forward only. The
nodes listen on all interfaces, and cables fail as cables do: without a word to anybody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from radics_mesh.errors import MeshError, UsageError
from scenarios.peers import Peer, stop_all, until
from tests.patience import PATIENCE_S

UP_WITHIN_S = 30.0
PORT = 5050


def why_not() -> str | None:
    """Why namespaces cannot be made here; None when they can."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"radics{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if tried.returncode:
        return f"the kernel gives no network namespace: {tried.stderr.decode().strip()}"
    ip("netns", "del", name)
    return None


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class RemotePeer(Peer):
    """A peer with a network stack of its own. Its control socket is a file, so we reach it."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self.port = PORT
        self.namespace = f"radics{os.getpid()}{name}"

    async def start(self, *arguments: str) -> None:
        if arguments:
            self._arguments = list(arguments)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", self.namespace),
                    *(sys.executable, "-m", "radics_mesh", "join", "--accelerator", "tcg"),
                    *("--state", str(self.state), "--name", self.name),
                    *("--listen", f"0.0.0.0:{PORT}", "--no-scheduler", *self._arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with trio.move_on_after(UP_WITHIN_S):
            while self._process.poll() is None:
                try:
                    await self.call("nodes")
                except MeshError:
                    await trio.sleep(0.05)
                else:
                    return
        raise UsageError(f"peer {self.name} did not come up:\n{self.last_words()}")

    def interface(self, verb: str, *words: str) -> None:
        ip("-n", self.namespace, verb, *words)


@contextmanager
def namespaces(peers: list[RemotePeer]) -> Iterator[None]:
    made: list[str] = []
    try:
        for peer in peers:
            ip("netns", "add", peer.namespace)
            made.append(peer.namespace)
            peer.interface("link", "set", "lo", "up")
        yield
    finally:
        for namespace in made:
            ip("netns", "del", namespace)


class Cable:
    """A subnet of two. Taken down on one side, the other side only loses its carrier."""

    def __init__(self, one: RemotePeer, other: RemotePeer, subnet: str) -> None:
        self.one, self.other = one, other
        ends = ["netns", one.namespace, "type", "veth", "peer", "name", f"to{one.name}"]
        ip("link", "add", f"to{other.name}", *ends, "netns", other.namespace)
        self.address(one, f"{subnet}.1")
        self.address(other, f"{subnet}.2")

    def end(self, of: RemotePeer) -> str:
        return f"to{(self.other if of is self.one else self.one).name}"

    def address(self, of: RemotePeer, host: str) -> None:
        """Give one end an address instead of what it had."""
        of.interface("addr", "flush", "dev", self.end(of))
        of.interface("addr", "add", f"{host}/24", "dev", self.end(of))
        of.interface("link", "set", self.end(of), "up")

    def plug(self, state: str) -> None:
        self.one.interface("link", "set", self.end(self.one), state)


Line = tuple[list[RemotePeer], list[Cable]]


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    """Four members, started, that have heard of each other."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    peers = [RemotePeer(name, tmp_path) for name in "ABCD"]
    with namespaces(peers):
        pairs = pairwise(peers)
        cables = [Cable(one, other, f"10.77.{n}") for n, (one, other) in enumerate(pairs)]
        a, b, c, d = peers
        try:
            await b.start("--verbose")
            for inviter, newcomer in ((b, a), (b, c), (c, d)):
                token = (await inviter.call("invite", uses=1, hours=1.0))["token"]
                await newcomer.start("--invite", token)
            yield peers, cables
        finally:
            await stop_all(peers)


async def rows(peer: Peer) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in (await peer.call("nodes"))["nodes"]}


async def all_know_all(peers: list[RemotePeer], younger_than_s: float) -> bool | None:
    for peer in peers:
        known = await rows(peer)
        ages = [row["age_s"] for row in known.values() if not row["stale"]]
        if len(ages) < len(peers) or max(ages) > younger_than_s:
            return None
    return True


async def receive(peer: Peer, count: int) -> list[bytes]:
    taken: list[bytes] = []
    async with aclosing(peer.client.stream("recv", service="mail", count=count)) as stream:
        async for item in stream:
            taken.append(item["payload"])
    return taken


async def nothing_held(peers: list[RemotePeer]) -> bool | None:
    held = [(await peer.call("bundles"))["counts"]["stored"] for peer in peers]
    return True if not any(held) else None


async def test_what_is_sent_over_failing_links_arrives_once(line: Line) -> None:
    peers, cables = line
    a, d = peers[0], peers[-1]
    random = Random(7)
    count = 120

    async def send(sender: Peer, to: str) -> None:
        for number in range(count):
            await sender.call("send", destination=to, payload=b"%d" % number)
            await trio.sleep(0.05)

    async def pull_cables() -> None:
        for _ in range(8):
            cable = random.choice(cables)
            cable.plug("down")
            await trio.sleep(random.uniform(0.05, 1.0))
            cable.plug("up")
            await trio.sleep(random.uniform(0.0, 0.3))

    with trio.fail_after(PATIENCE_S):
        await until(lambda: all_know_all(peers, 60))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, a, "D/mail")
            nursery.start_soon(send, d, "A/mail")
            nursery.start_soon(pull_cables)
        for receiver in (d, a):
            assert sorted(map(int, await receive(receiver, count))) == list(range(count))
        await until(lambda: nothing_held(peers))
    with trio.fail_after(PATIENCE_S):  # two publish periods, and a poll
        await until(lambda: all_know_all(peers, 20))


async def test_a_node_that_moves_to_another_address_is_found_again(line: Line) -> None:
    """B's end of the cable to C is renumbered in place: sessions break without a word."""
    peers, cables = line
    a, b, c, d = peers
    with trio.fail_after(PATIENCE_S):
        await until(lambda: all_know_all(peers, 60))
        cables[1].address(b, "10.77.1.77")
        await a.call("send", destination="D/mail", payload=b"after the move")
        assert await receive(d, 1) == [b"after the move"]

        async def renumbered() -> bool | None:
            return "10.77.1.77:5050" in (await rows(c))["B"]["addresses"] or None

        await until(renumbered)
