"""A transmission that broke off where both sides have agreed on reactive fragmentation."""

from __future__ import annotations

from radics_mesh.errors import LinkError


class BrokenOff(LinkError):
    """The session ended; the first `acked_bytes` of the bundle, as it was sent, are with the
    neighbour for good and become a fragment there. Never all of them."""

    def __init__(self, acked_bytes: int) -> None:
        super().__init__(f"the session ended after {acked_bytes} bytes of the bundle")
        self.acked_bytes = acked_bytes


class PayloadBegun(LinkError):
    """The same, in bytes of the bundle's payload."""

    def __init__(self, payload_bytes: int) -> None:
        super().__init__(f"the session ended after {payload_bytes} bytes of the payload")
        self.payload_bytes = payload_bytes
