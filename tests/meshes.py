"""Members of a mesh, made quickly, for tests of whatever needs some."""

from __future__ import annotations

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.identity import Identity
from radics_mesh.me import Me
from radics_mesh.membership import YEAR_S, Chain, Mesh, Verifier, found, invite

NOW = Wall(1_800_000_000.0)
NEXT_YEAR = Wall(NOW + YEAR_S)


class HandClock:
    """A clock that a test moves by hand."""

    def __init__(self, wall: Wall = NOW) -> None:
        self.now = wall
        self.mono = Monotonic(0.0)

    def monotonic(self) -> Monotonic:
        return self.mono

    def wall(self) -> Wall:
        return self.now


def identity(seed: int) -> Identity:
    return Identity(bytes([seed]) * 32)


class World:
    """A mesh and its first member; `member` invites more."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = HandClock()
        self.first_identity = identity(seed)
        self.genesis, self.mesh, self.chain = found(self.first_identity, "first", NOW)
        self.first = self._me(self.first_identity, self.chain, self.mesh)

    def member(self, seed: int, *, expiry: Wall = NEXT_YEAR) -> Me:
        key = identity(seed)
        chain = invite(self.first_identity, self.chain, key.public, f"n{seed}", expiry)
        return self._me(key, chain, self.mesh)

    def _me(self, key: Identity, chain: Chain, mesh: Mesh) -> Me:
        return Me(key, Verifier(mesh), chain.pack(), self.clock)
