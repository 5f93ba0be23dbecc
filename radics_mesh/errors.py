"""Who erred, as an exception type.

Every error that this project raises on purpose is a MeshError, and its class says whose fault it
is, because that decides what happens next: a peer's failure ends that peer's task, a user's
mistake becomes one line on a terminal, neither ends the node.
"""


class MeshError(Exception):
    """The root of every error raised on purpose."""


class WireError(MeshError):
    """Bytes from outside are malformed. Parsers of untrusted bytes raise this and nothing else."""


class PeerError(MeshError):
    """Well-formed, but the sender may not do this: bad signature, no member, replay, stale."""


class UsageError(MeshError):
    """The caller or the user asked for something that cannot be; the text says what to do."""


class CapacityError(MeshError):
    """A store, a quota or a reservation is full; the same request may succeed later."""


class LinkError(MeshError):
    """A link, a session or a control connection is down or broke off."""


class GuestError(MeshError):
    """A virtual machine, its QEMU or its image failed or broke the channel's contract."""
