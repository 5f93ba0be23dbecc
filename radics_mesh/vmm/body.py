"""The body of a frame that a guest sent, whatever its bytes are."""

from __future__ import annotations

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi


class Body:
    """A frame's body, taken apart from the front; WireError when it is too short."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        """Whether fields of a later minor version may follow."""
        return self._at < len(self._data)

    def raw(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise WireError("frame: too short")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def integer(self, length: int) -> int:
        return int.from_bytes(self.raw(length), "little")

    def text(self) -> str:
        try:
            text = self.raw(self.integer(2)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("frame: a string is not UTF-8") from error
        if "\0" in text:
            raise WireError("frame: NUL in a string")
        return text

    def name(self) -> str:
        text = self.text()
        if len(text.encode("utf-8")) > abi.NAME_MAX:
            raise WireError("frame: a name is too long")
        return text

    def blob(self) -> bytes:
        return self.raw(self.integer(4))

    def stream(self) -> int:
        stream = self.integer(2)
        if stream >= abi.STREAMS_MAX:
            raise WireError("frame: stream out of range")
        return stream
