"""The invite tokens that this node has given out: durable, counted, each use once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from nacl.bindings import randombytes

from radics_mesh.admission.exchange import token_id
from radics_mesh.clock import Wall, is_plausible
from radics_mesh.errors import UsageError
from radics_mesh.membership import Grant
from radics_mesh.private import make_private
from radics_mesh.roles import Role

SECRET_BYTES = 16
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id BLOB PRIMARY KEY, secret BLOB NOT NULL, uses_left INTEGER NOT NULL, expiry INTEGER NOT NULL,
    roles INTEGER, owner TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS admitted (
    token BLOB NOT NULL, public BLOB NOT NULL, chain BLOB NOT NULL, PRIMARY KEY (token, public)
) WITHOUT ROWID;
"""


class TokenBook:
    """Commits are in milliseconds and rare, so they are made in place. UsageError when others can
    read the file."""

    def __init__(self, path: Path) -> None:
        make_private(path)  # SQLite gives its other files the same mode
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._grow()

    def close(self) -> None:
        self._db.close()

    def _grow(self) -> None:
        """A book from before 0.5 says of no token what it gives: what the inviter has."""
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(tokens)")}
        for name, kind in (("roles", "INTEGER"), ("owner", "TEXT")):
            if name not in columns:
                self._db.execute(f"ALTER TABLE tokens ADD COLUMN {name} {kind}")

    def make(self, uses: int, expiry: Wall, grant: Grant | None = None) -> bytes:
        """The secret of a new token."""
        secret = randombytes(SECRET_BYTES)
        given = grant or Grant()
        roles = None if given.roles is None else int(given.roles)
        row = (token_id(secret), secret, uses, int(expiry), roles, given.owner)
        self._db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", row)
        return secret

    def redeem(
        self,
        identifier: bytes,
        is_proof: Callable[[bytes], bool],
        public: bytes,
        now: Wall,
        issue: Callable[[Grant], bytes],
    ) -> bytes:
        """The packed chain that `issue` made for this key, now or when it asked before.

        On return the use is counted for good. UsageError, with a reason that its bearer may see,
        when the token is unknown, not proved, used up or expired.
        """
        query = "SELECT secret, uses_left, expiry, roles, owner FROM tokens WHERE id = ?"
        row = self._db.execute(query, (identifier,)).fetchone()
        if row is None or not is_proof(row[0]):
            raise UsageError("the inviter does not know this token")
        earlier = self._earlier(identifier, public)
        if earlier is not None:
            return earlier
        if is_plausible(now) and row[2] <= now:
            raise UsageError("this token has expired")
        if row[1] <= 0:
            raise UsageError("this token is used up")
        roles = None if row[3] is None else Role(row[3])
        chain = issue(Grant(roles, row[4]))
        self._count(identifier, public, chain)
        return chain

    def _earlier(self, identifier: bytes, public: bytes) -> bytes | None:
        query = "SELECT chain FROM admitted WHERE token = ? AND public = ?"
        row = self._db.execute(query, (identifier, public)).fetchone()
        return None if row is None else bytes(row[0])

    def _count(self, identifier: bytes, public: bytes, chain: bytes) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # commits, or rolls back when anything raises
            self._db.execute(
                "UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ?", (identifier,)
            )
            self._db.execute("INSERT INTO admitted VALUES (?, ?, ?)", (identifier, public, chain))
