"""The outer seal of datagrams under several mesh keys at once. Sans-IO.

While the mesh goes from one key to the next, a node opens what is sealed under any key that is
live here. What it sends goes under the newest alone to addresses that have used that one; to all
others it goes once under each live key, since nobody knows yet what they can open. That is twice
the bytes, to those addresses, until they have been heard under the newest key or it is the only
one. Two nodes with one live key in common can therefore always talk.

The seal names no sender: that an address has used the newest key may be the lie of whoever replays
a member's datagram from there. The next datagram of the true one under an older key corrects it;
for the same reason the newest key's copy goes out last.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

# A numeric host and a port. IPv4 is never written as a mapped IPv6 address.
SocketAddress = tuple[str, int]

# Addresses that are known to have the newest key; what goes to others has copies.
_HOLDERS_MAX = 4096
# Datagrams whose copy under another key may still come.
_COPIES_MAX = 512


class Seals:
    """`keys` (32 bytes each) are the live ones, the newest first; at least one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._boxes: dict[bytes, SecretBox] = {}
        self._newest = b""
        self._holders: OrderedDict[SocketAddress, None] = OrderedDict()
        # What was opened last, by source and content, and under which keys.
        self._opened: OrderedDict[bytes, set[bytes]] = OrderedDict()
        self.use(keys)

    def use(self, keys: Sequence[bytes]) -> None:
        """From now on these are live."""
        if keys[0] != self._newest:
            self._holders.clear()
        self._newest = keys[0]
        self._boxes = {key: SecretBox(key) for key in keys}

    def open(self, sealed: bytes, source: SocketAddress) -> tuple[bytes, bool] | None:
        """The content, and whether it is the copy of a datagram that was opened before; None when
        no live key opens it."""
        for key, box in self._boxes.items():
            try:
                content = bytes(box.decrypt(sealed))
            except (CryptoError, ValueError):
                continue
            if len(self._boxes) == 1:
                return content, False
            self._heard(source, key)
            return content, self._is_copy(content, source, key)
        return None

    def seal(self, content: bytes, address: SocketAddress) -> list[bytes]:
        """What to send, in this order, so that this address can open one of it."""
        if len(self._boxes) == 1 or address in self._holders:
            return [bytes(self._boxes[self._newest].encrypt(content))]
        return [bytes(box.encrypt(content)) for box in reversed(self._boxes.values())]

    def _heard(self, source: SocketAddress, key: bytes) -> None:
        self._holders.pop(source, None)
        if key == self._newest:
            self._holders[source] = None
        if len(self._holders) > _HOLDERS_MAX:
            self._holders.popitem(last=False)

    def _is_copy(self, content: bytes, source: SocketAddress, key: bytes) -> bool:
        """The same under another key is a copy; under the same key it is the sender's repetition,
        made because no answer came."""
        where = f"{source[0]} {source[1]} ".encode()
        name = hashlib.blake2b(where + content, digest_size=16).digest()
        under = self._opened.pop(name, set())
        is_copy = bool(under) and key not in under
        self._opened[name] = under | {key} if is_copy else {key}
        if len(self._opened) > _COPIES_MAX:
            self._opened.popitem(last=False)
        return is_copy
