"""The state directory: what makes a node the same node after a restart.

identity.key   the 32-byte seed, mode 0600, refused when others can read it
membership     msgpack [genesis public key, mesh key, chain]: which mesh, and the proof of it
genesis.key    only on the node that founded the mesh; not needed once two members exist
lock           held while a node runs here
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.codec import Fields, pack
from radics_mesh.config import Address
from radics_mesh.durable import write_durably
from radics_mesh.errors import UsageError, WireError
from radics_mesh.identity import KEY_BYTES, Identity
from radics_mesh.membership import CHAIN_MAX_BYTES, Chain, Mesh

PEERS_MAX = 16


@dataclass(frozen=True)
class Membership:
    """A node's place in a mesh, as kept on disk."""

    mesh: Mesh
    chain: Chain
    peers: tuple[Address, ...] = ()


class StateDirectory:
    """One node's directory, made with mode 0700 when it is not there yet; UsageError if it can't.

    Secrets in it that others can read are refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)
        except OSError as error:
            raise UsageError(f"cannot use {path} for the node's state: {error.strerror}") from error

    def identity(self) -> Identity:
        """The node's key; made, durably, at first use."""
        path = self.path / "identity.key"
        if not path.exists():
            write_durably(path, Identity.generate().seed, mode=0o600)
        return Identity(_read_secret(path))

    def membership(self) -> Membership | None:
        """The mesh this node is in; None if it has not entered one yet."""
        path = self.path / "membership"
        if not path.exists():
            return None
        _refuse_loose(path)
        try:
            fields = Fields.parse(path.read_bytes(), "membership")
            mesh = Mesh(fields.blob(KEY_BYTES), fields.blob(KEY_BYTES))
            chain = Chain.parse(fields.blob(limit=CHAIN_MAX_BYTES))
            return Membership(mesh, chain, tuple(map(_address, fields.items(limit=PEERS_MAX))))
        except WireError as error:
            raise UsageError(f"{path} is damaged ({error}); move it away and join again") from error

    def enter(self, membership: Membership, genesis: Identity | None = None) -> None:
        """Remember the mesh, durably; the genesis key too when this node founded it."""
        if genesis is not None:
            write_durably(self.path / "genesis.key", genesis.seed, mode=0o600)
        mesh = membership.mesh
        peers = [[peer.host, peer.port] for peer in membership.peers[:PEERS_MAX]]
        packed = pack([mesh.genesis, mesh.key, membership.chain.pack(), peers])
        write_durably(self.path / "membership", packed, mode=0o600)


def _address(value: object) -> Address:
    fields = Fields(value, "peer address")
    return Address(fields.text(), fields.integer(1, 65535))


def _refuse_loose(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UsageError(f"{path} can be read by others (mode {mode:o}); run: chmod 600 {path}")


def _read_secret(path: Path) -> bytes:
    _refuse_loose(path)
    seed = path.read_bytes()
    if len(seed) != KEY_BYTES:
        raise UsageError(f"{path} is damaged: {len(seed)} bytes where a key has {KEY_BYTES}")
    return seed
