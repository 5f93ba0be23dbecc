"""Names of nodes, virtual machines and contents, and the endpoint identifiers made from them.

A node is its Ed25519 key: its id is the SHA-1 of the public key (the 160 bits that Kademlia
routes by), its endpoint identifier `dtn://<base32 of the id>/`. A VM's id is a hash of its birth
certificate (radics_mesh.ownership), its endpoint `dtn://vm.<base32 of the id>/`, wherever it runs.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from typing import Self, TypeVar

from radics_mesh.errors import WireError

ID_BYTES = 20
DIGEST_BYTES = 32
_VM_LABEL = "vm."
_GROUP = "dtn://group."
# RFC 3986 section 2: the characters a URI may hold. Upper bound: RFC 5050 section 4.4 dictionary
# strings are short in practice, and one EID must fit the guest's RADICS_NAME_MAX.
_EID = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[!#-;=?-\[\]_a-z~%]*")
EID_MAX_BYTES = 255


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def _unbase32(text: str, length: int) -> bytes:
    try:
        raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise WireError(f"not a base32 id: {text[:60]!r}") from error
    if len(raw) != length or _base32(raw) != text:
        raise WireError(f"not the base32 form of a {length}-byte id: {text[:60]!r}")
    return raw


class _FixedBytes(bytes):
    """An immutable byte string of one length, checked when made (WireError otherwise)."""

    LENGTH = ID_BYTES

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != cls.LENGTH:
            raise WireError(f"{cls.__name__} takes {cls.LENGTH} bytes, not {len(raw)}")
        return super().__new__(cls, raw)

    @property
    def text(self) -> str:
        """Lower-case base32 without padding."""
        return _base32(self)

    @property
    def short(self) -> str:
        """The first eight characters of the text form: for people, never for look-ups."""
        return self.text[:8]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `text`; WireError for anything else."""
        return cls(_unbase32(text, cls.LENGTH))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short})"


_Id = TypeVar("_Id", bound=_FixedBytes)


class NodeId(_FixedBytes):
    """SHA-1 of a node's public key, 20 bytes."""

    @classmethod
    def of_key(cls, public_key: bytes) -> Self:
        return cls(hashlib.sha1(public_key, usedforsecurity=False).digest())

    @property
    def eid(self) -> Eid:
        return Eid(f"dtn://{self.text}/")

    def service(self, name: str) -> Eid:
        """The endpoint of one of the node's services, `dtn://<node>/<name>`."""
        return Eid(f"dtn://{self.text}/{name}")


class VmId(_FixedBytes):
    """The first 20 bytes of the SHA-256 of a VM's birth certificate."""

    @property
    def eid(self) -> Eid:
        return Eid(f"dtn://{_VM_LABEL}{self.text}/")


class Digest(_FixedBytes):
    """SHA-256 of a content: image, snapshot, object. 32 bytes."""

    LENGTH = DIGEST_BYTES

    @classmethod
    def of(cls, content: bytes) -> Self:
        return cls(hashlib.sha256(content).digest())


class Eid(str):
    """An endpoint identifier: any URI (RFC 5050 section 4.4), compared as text."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if len(text) > EID_MAX_BYTES or not _EID.fullmatch(text):
            raise WireError(f"not an endpoint identifier: {text[:80]!r}")
        return super().__new__(cls, text)

    @property
    def scheme(self) -> str:
        return self.partition(":")[0]

    @property
    def ssp(self) -> str:
        """The scheme-specific part, all after the first colon."""
        return self.partition(":")[2]

    @property
    def authority(self) -> str:
        """`a` in `dtn://a/b`, empty when there is none."""
        ssp = self.ssp
        return ssp[2:].partition("/")[0] if ssp.startswith("//") else ""

    @property
    def service_name(self) -> str:
        """`b/c` in `dtn://a/b/c`."""
        return self.ssp[2:].partition("/")[2] if self.ssp.startswith("//") else ""

    @property
    def node_id(self) -> NodeId | None:
        """The node that this EID names, None if it names no node of a mesh."""
        return _node_in(self)

    @property
    def is_group(self) -> bool:
        """Whether it may have many receivers, `dtn://group.NAME/...`."""
        return self.startswith(_GROUP)

    @property
    def vm_id(self) -> VmId | None:
        """The VM that this EID names, None if it names none."""
        return _vm_in(self)


def same_node(one: Eid, other: Eid) -> bool:
    """Whether two endpoints are named as of one node: `dtn://a/x` and `dtn://a/`, `ipn:1.2` and
    `ipn:1.0`. Of other schemes nothing is known, so they must be equal."""
    if one.scheme != other.scheme:
        return False
    if one.scheme == "ipn":
        return one.partition(".")[0] == other.partition(".")[0]
    return one == other or (bool(one.authority) and one.authority == other.authority)


# Every bundle and record asks for the same few names again and again.
@functools.lru_cache(maxsize=4096)
def _node_in(eid: Eid) -> NodeId | None:
    return _id_in(eid, NodeId, "")


@functools.lru_cache(maxsize=4096)
def _vm_in(eid: Eid) -> VmId | None:
    return _id_in(eid, VmId, _VM_LABEL)


def _id_in(eid: Eid, kind: type[_Id], label: str) -> _Id | None:
    if eid.scheme != "dtn" or not eid.authority.startswith(label):
        return None
    try:
        return kind.parse(eid.authority[len(label) :])
    except WireError:
        return None


NONE_EID = Eid("dtn:none")
