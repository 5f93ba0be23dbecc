"""Datagrams of all kinds against the receive path: no exception out of it, bounded memory.

    python -m tests.hostile.fuzz 1000000 --seed 1

A third goes in from outside (what is not sealed is refused before any parser), a third sealed with
the mesh key, a third straight into the DHT. Random bytes, and true calls and answers with bits
turned, bytes cut out, put in, repeated, and numbers and lengths made large. The same seed gives the
same datagrams.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from random import Random

import trio
from kademlia.node import Node
from nacl.secret import SecretBox
from trio.testing import MockClock

from radics_mesh.codec import pack
from radics_mesh.dht import rpc
from radics_mesh.dht.checks import WAITING_MAX
from radics_mesh.dht.contacts import HEARD_MAX
from radics_mesh.dht.server import Dht
from radics_mesh.dht.store import TOTAL_MAX
from radics_mesh.link import TAG_DHT, SealedDatagrams, SocketAddress
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.records import Kind, dht_key, sign
from tests.dht.world import TrioClock, at
from tests.hostile.world import SignedRecords
from tests.members import MESH, member

_NAMES = ("ping", "stun", "store", "find_node", "find_value", "seek", "__class__", "")
_EDGES = (b"\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\x90" * 64, b"")


class Datagrams:
    """An endless supply; `seed` decides all of it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        identity, chain = member(1)
        self._key = dht_key(Kind.SOURCE, "fuzz")
        record = sign(
            identity, chain, Kind.SOURCE, "fuzz", sequence=1, ttl_s=60, body={"rate": 1}
        ).pack(0.0)
        self._record = rpc.pack_values([record])

    def make(self) -> bytes:
        choice = self._random.random()
        if choice < 0.15:
            return self._random.randbytes(self._random.choice((0, 1, 20, 21, 22, 80, 1400, 9000)))
        true = self._call() if choice < 0.75 else self._answer()
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 4, 16))):
            true = self._mutated(true)
        return true

    def _call(self) -> bytes:
        random = self._random
        own = bytes(member(random.randrange(1, 40))[0].node_id)
        arguments: list[object] = [own, random.choice((self._key, random.randbytes(20)))]
        arguments += random.choice(([], [self._record], [random.randrange(9)], [None, {}, -1]))
        return rpc.pack_call(
            random.randbytes(20),
            random.choice(_NAMES),
            arguments[: random.randrange(5)],
            flags=random.choice((0, 0, 1, 2, 3, 255)),
            room=random.choice((0, 0, 384, 896)),
        )

    def _answer(self) -> bytes:
        random = self._random
        nodes = [[random.randbytes(20), f"10.0.0.{n + 1}", 5050] for n in range(8)]
        value = random.choice((nodes, {"value": self._record}, random.randbytes(20), True, None))
        return rpc.pack_answer(random.randbytes(20), value) + random.choice((b"", pack([b"", b""])))

    def _mutated(self, data: bytes) -> bytes:
        random = self._random
        at_byte = random.randrange(len(data) + 1)
        match random.randrange(6):
            case 0 if data:
                turned = bytearray(data)
                turned[at_byte % len(data)] ^= 1 << random.randrange(8)
                return bytes(turned)
            case 1:
                return data[:at_byte]
            case 2:
                return data[:at_byte] + data[at_byte + random.randrange(1, 9) :]
            case 3:
                return data[:at_byte] + random.randbytes(random.randrange(1, 9)) + data[at_byte:]
            case 4:
                return data[:at_byte] + random.choice(_EDGES) + data[at_byte + 1 :]
            case _:
                return data[:at_byte] + data[random.randrange(len(data) + 1) :]


class Target:
    """A member behind its seal, with nobody else but these datagrams."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        identity, chain = member(0)
        verifier = Verifier(MESH)
        self.network = MemoryNetwork(Random(seed))
        self.link = self.network.link(at(0))
        self.sealed = SealedDatagrams(self.link, MESH.key)
        self.dht = Dht(
            link=self.sealed.channel(TAG_DHT),
            node_id=identity.node_id,
            clock=TrioClock(),
            random=Random(seed),
            me=Me(identity, verifier, chain, TrioClock()),
        )
        self.dht.serve(SignedRecords(verifier))
        self._box = SecretBox(MESH.key)
        self._datagrams = Datagrams(self.random)

    def sender(self) -> SocketAddress:
        random = self.random
        return random.choice((at(1), at(random.randrange(1, 4000)), ("::1", 7), ("0.0.0.0", 0)))

    async def fire(self, count: int) -> None:
        """So many, then time for what they set off."""
        for number in range(count):
            datagram, sender = self._datagrams.make(), self.sender()
            if number % 3 == 0:
                self.network.forge(datagram, sender, self.link.local)
            elif number % 3 == 1:
                tag = TAG_DHT if self.random.random() < 0.9 else self.random.randrange(256)
                self.network.forge(
                    bytes(self._box.encrypt(bytes((tag,)) + datagram)), sender, self.link.local
                )
            else:
                answer = self.dht.protocol.handle(datagram, sender)
                proved = self.dht.protocol.checks.is_proved(sender, trio.current_time())
                assert answer is None or proved or len(answer) <= len(datagram)
            if number % 100 == 0:
                await trio.sleep(1)

    def check_bounds(self) -> None:
        """AssertionError when anything has grown beyond what it may."""
        protocol = self.dht.protocol
        assert len(self.dht.storage) <= TOTAL_MAX
        assert len(protocol.checks) <= WAITING_MAX
        assert len(protocol.contacts.heard) <= HEARD_MAX
        assert not self.dht.contacts(), "nobody has proved to be anybody"
        assert not protocol.router.find_neighbors(Node(bytes(20)))


async def run(count: int, seed: int) -> Counter[str]:
    """What was counted; any exception out of the receive path ends this."""
    target = Target(seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.sealed.run)
        await nursery.start(target.dht.run)
        await target.fire(count)
        await trio.sleep(10)
        target.check_bounds()
        nursery.cancel_scope.cancel()
    return target.dht.counters + Counter(
        {f"seal_{name}": number for name, number in target.sealed.counters.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counted = trio.run(run, given.count, given.seed, clock=MockClock(autojump_threshold=0))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{given.count} datagrams, seed {given.seed}: no exception;"
        f" {time.monotonic() - began:.0f} s"
    )
    print(f"most memory {before >> 10} MB before, {after >> 10} MB after")
    for name, number in sorted(counted.items()):
        print(f"  {name} {number}")


if __name__ == "__main__":
    main()
