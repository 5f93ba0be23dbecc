"""What asyncio's event loop wakes itself with: a pipe, for a guest has no pair of sockets. The
interpreter imports this first where a program imports asyncio."""

import os
from asyncio.selector_events import BaseSelectorEventLoop


class _End:
    """As much of a socket as the event loop uses."""

    def __init__(self, descriptor):
        self._descriptor = descriptor

    def fileno(self):
        return self._descriptor

    def recv(self, n):
        return os.read(self._descriptor, n)

    def send(self, data):
        return os.write(self._descriptor, data)

    def close(self):
        os.close(self._descriptor)


def _make_self_pipe(self):
    self._ssock, self._csock = map(_End, os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
    self._internal_fds += 1
    self._add_reader(self._ssock.fileno(), self._read_from_self)


BaseSelectorEventLoop._make_self_pipe = _make_self_pipe
