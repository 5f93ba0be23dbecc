"""Loopback addresses of a mesh's own, so that no port of one is taken by another mesh or program.

127.0.0.0/8 is cut into blocks of 16 addresses. A mesh takes one by listening at a fixed port of the
block's first address, for as long as it is there. The other ports lie below those that the kernel
gives to whoever asks for any.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from ipaddress import IPv4Address

from radics_mesh.errors import CapacityError

SIZE = 16
PORT = 7000
_TAKEN_PORT = 6999
# 127.0.0.0/16 is where other programs listen.
_FIRST, _LAST = int(IPv4Address("127.1.0.0")), int(IPv4Address("127.255.255.0"))
_TRIES = 1000


class Block:
    """CapacityError when none is free."""

    def __init__(self) -> None:
        # No part of a run: which block it is changes nothing that a seed decides.
        chance = random.Random(os.urandom(8))
        self._lock = socket.socket()
        for _ in range(_TRIES):
            self._first = chance.randrange(_FIRST, _LAST, SIZE)
            with suppress(OSError):
                self._lock.bind((self.host(0), _TAKEN_PORT))
                self._lock.listen(1)
                return
        raise CapacityError("no loopback addresses are free")

    def host(self, number: int) -> str:
        assert 0 <= number < SIZE
        return str(IPv4Address(self._first + number))

    def release(self) -> None:
        self._lock.close()
