"""A node's key: who holds it is the node.

Everything that is signed in a mesh is signed over a context string first, so that a signature for
one purpose (a record, a certificate, a hand-off) can never be passed off as one for another.
Bundles are the exception: their signature form is RFC 6257's (radics_mesh.dtn.trust.security).
"""

from __future__ import annotations

import functools

import nacl.bindings
from nacl.exceptions import BadSignatureError, CryptoError

from radics_mesh.errors import PeerError, WireError
from radics_mesh.ids import Eid, NodeId

KEY_BYTES = 32
SIGNATURE_BYTES = 64
SEAL_BYTES: int = nacl.bindings.crypto_box_SEALBYTES


class Identity:
    """An Ed25519 signing key and the names that follow from it.

    `seed` is the 32-byte private seed. It is kept in memory only here; `repr` never shows it.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise WireError(f"a key seed has {KEY_BYTES} bytes, not {len(seed)}")
        self.public, self.secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.node_id = NodeId.of_key(self.public)

    @classmethod
    def generate(cls) -> Identity:
        return cls(nacl.bindings.randombytes(KEY_BYTES))

    @property
    def eid(self) -> Eid:
        return self.node_id.eid

    def sign(self, context: str, message: bytes) -> bytes:
        """A 64-byte signature of `message` for one purpose only."""
        signed = nacl.bindings.crypto_sign(_framed(context, message), self.secret)
        return signed[:SIGNATURE_BYTES]

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to this key; PeerError when it was not, or was altered."""
        public, secret = self._box_keys
        try:
            return nacl.bindings.crypto_box_seal_open(sealed, public, secret)
        except (CryptoError, TypeError) as error:
            raise PeerError("sealed to another key, or altered") from error

    @functools.cached_property
    def _box_keys(self) -> tuple[bytes, bytes]:
        """Public and secret; every sealed message asks."""
        secret = nacl.bindings.crypto_sign_ed25519_sk_to_curve25519(self.secret)
        return _box_key(self.public), secret

    def __repr__(self) -> str:
        return f"Identity({self.node_id.short})"


def verify(public: bytes, context: str, message: bytes, signature: bytes) -> None:
    """PeerError unless `signature` is the key holder's for this message and purpose."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise WireError("a public key or a signature has the wrong length")
    try:
        nacl.bindings.crypto_sign_open(signature + _framed(context, message), public)
    except (BadSignatureError, ValueError) as error:
        raise PeerError(f"bad signature on a {context}") from error


def seal(public: bytes, message: bytes) -> bytes:
    """Only the holder of the key can read it (libsodium's sealed box over the X25519 form of the
    key). Who sealed it is not said: the signature around it must say that. PeerError: no key."""
    try:
        box_key = _box_key(public)
    except (CryptoError, TypeError) as error:
        raise PeerError("not a public key") from error
    return nacl.bindings.crypto_box_seal(message, box_key)


@functools.lru_cache(maxsize=1024)
def _box_key(public: bytes) -> bytes:
    return nacl.bindings.crypto_sign_ed25519_pk_to_curve25519(public)


def _framed(context: str, message: bytes) -> bytes:
    return b"radics " + context.encode("ascii") + b"\0" + message
