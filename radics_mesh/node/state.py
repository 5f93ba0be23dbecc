"""The state directory: what makes a node the same node after a restart.

identity.key   the 32-byte seed, mode 0600, refused when others can read it
membership     msgpack [genesis public key, mesh key, chain]: which mesh, and the proof of it
genesis.key    only on the node that founded the mesh; not needed once two members exist,
               but for revoking the first member
mesh-keys.msgpack     what seals datagrams after the first key, mode 0600
                      (radics_mesh.node.rekeying)
revocations.msgpack   who was revoked (radics_mesh.node.revoking)
lock           held while a node runs here

The databases in it belong to the services. What is said of them here holds for all: damage and a
full disk end the node with one line that says so, since nothing could be promised any more.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from radics_mesh.codec import Fields, pack
from radics_mesh.config import Address
from radics_mesh.errors import UsageError, WireError
from radics_mesh.identity import KEY_BYTES, Identity
from radics_mesh.membership import CHAIN_MAX_BYTES, Chain, Mesh
from radics_mesh.private import read_private, write_private

PEERS_MAX = 16
MEMBERSHIP_NAME = "membership"
# What may lie in a directory that is taken for empty: a lock without a node, a new file system's.
_NOT_SOMEBODYS = frozenset({"lock", "lost+found"})
_SQLITE_MAGIC = b"SQLite format 3\0"
# Errors of a medium, which are nobody's bug.
_MEDIUM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@dataclass(frozen=True)
class Membership:
    """A node's place in a mesh, as kept on disk."""

    mesh: Mesh
    chain: Chain
    peers: tuple[Address, ...] = ()


class StateDirectory:
    """One node's directory, made with mode 0700 when it is not there yet; UsageError if it can't.

    Secrets in it that others can read are refused, and so is a directory of somebody's other
    things: `--state ~` must not close a home directory to the world and fill it with our files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_others_things(path)
            path.chmod(0o700)
        except OSError as error:
            raise UsageError(f"cannot use {path} for the node's state: {error.strerror}") from error
        _refuse_damaged_databases(path)

    def identity(self) -> Identity:
        """The node's key; made, durably, at first use."""
        path = self.path / "identity.key"
        if not path.exists():
            write_private(path, Identity.generate().seed)
        return Identity(_read_secret(path))

    def genesis(self) -> Identity | None:
        """The mesh's genesis key, on the node that founded it; UsageError when others can read
        it."""
        path = self.path / "genesis.key"
        return Identity(_read_secret(path)) if path.exists() else None

    def membership(self) -> Membership | None:
        """The mesh this node is in; None if it has not entered one yet."""
        path = self.path / MEMBERSHIP_NAME
        if not path.exists():
            return None
        packed = read_private(path)
        try:
            fields = Fields.parse(packed, "membership")
            mesh = Mesh(fields.blob(KEY_BYTES), fields.blob(KEY_BYTES))
            chain = Chain.parse(fields.blob(limit=CHAIN_MAX_BYTES))
            return Membership(mesh, chain, tuple(map(_address, fields.items(limit=PEERS_MAX))))
        except WireError as error:
            raise UsageError(f"{path} is damaged ({error}); move it away and join again") from error

    def enter(self, membership: Membership, genesis: Identity | None = None) -> None:
        """Remember the mesh, durably; the genesis key too when this node founded it."""
        if genesis is not None:
            write_private(self.path / "genesis.key", genesis.seed)
        mesh = membership.mesh
        peers = [[peer.host, peer.port] for peer in membership.peers[:PEERS_MAX]]
        packed = pack([mesh.genesis, mesh.key, membership.chain.pack(), peers])
        write_private(self.path / MEMBERSHIP_NAME, packed)

    def renew(self, chain: Chain) -> None:
        """This node's certificate from now on, durably."""
        known = self.membership()
        if known is None:
            raise UsageError(f"{self.path} is in no mesh")
        self.enter(replace(known, chain=chain))


@contextmanager
def medium_errors(path: Path) -> Iterator[None]:
    """A full, broken or read-only medium, or a damaged database, as a UsageError."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError, BaseExceptionGroup) as error:
        faults = list(_leaves(error))
        if not all(map(_is_of_medium, faults)):
            raise
        raise UsageError(
            f"the state in {path} cannot be read or written ({faults[0]});"
            " check the disk and its space"
        ) from error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _is_of_medium(error: BaseException) -> bool:
    """Programming and constraint errors are DatabaseErrors too, but bugs."""
    if isinstance(error, sqlite3.DatabaseError):
        return not isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError))
    return isinstance(error, OSError) and error.errno in _MEDIUM


def _refuse_others_things(path: Path) -> None:
    if (path / "identity.key").exists():
        return
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in _NOT_SOMEBODYS)
    if others:
        raise UsageError(
            f"{path} is no node's state: there is {others[0]!r}, but no identity.key;"
            " give --state an empty or a new directory"
        )


def _refuse_damaged_databases(path: Path) -> None:
    """Only what a look at each file's start tells; SQLite finds the rest when it reads."""
    for file in (*path.glob("*.sqlite"), *path.glob("*/*.sqlite")):
        with file.open("rb") as opened:
            start = opened.read(len(_SQLITE_MAGIC))
        if start not in (b"", _SQLITE_MAGIC):
            raise UsageError(f"{file} is damaged: no database; move it away and start again")


def _address(value: object) -> Address:
    fields = Fields(value, "peer address")
    return Address(fields.text(), fields.integer(1, 65535))


def _read_secret(path: Path) -> bytes:
    seed = read_private(path)
    if len(seed) != KEY_BYTES:
        raise UsageError(f"{path} is damaged: {len(seed)} bytes where a key has {KEY_BYTES}")
    return seed
