"""Who is at the other end: the key exchange between two members, without I/O.

SIGMA-I (Krawczyk 2003), with the MAC under the signature, out of libsodium's primitives:

    I → R   E_i, MAC(mesh key; E_i)
    R → I   E_r, {chain_R, port_R, sign_R("session responder"; h1, MAC_r(chain_R, port_R))}
    I → R   {chain_I, port_I, sign_I("session initiator"; h2, MAC_i(chain_I, port_I))}

E are X25519 ephemerals, {…} is ChaCha20-Poly1305 under keys that come from the ephemerals'
shared secret, the mesh key and the transcript h1 (both ephemerals) or h2 (and the second message).
The session's two keys come from h3, the whole transcript.

What may never happen, and what prevents it:
- A peer that is not who it says: each signature covers both ephemerals, hence one run, and a MAC
  that only the two who share the secret can make over its own identity (no identity misbinding).
- Reflection: the two roles sign under different contexts and use different keys; equal
  ephemerals are refused.
- Replay: each side's ephemeral is fresh and in everything the other signs.
- The initiator's identity shown to a stranger: it goes last, after the responder has proved to be
  a member, and the expected one if one is expected.
- Work for strangers: without the mesh key the first message is dropped before any curve operation.
  The mesh key proves nothing else: a holder of it alone fails at the signatures and chains. It is
  that of epoch 0, whatever seals datagrams now: who was away must get in to fetch the newest.
- A recorded session opened with keys stolen later: ephemerals live as long as the handshake.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from nacl import bindings
from nacl.exceptions import CryptoError

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import SIGNATURE_BYTES, verify
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.membership import CHAIN_MAX_BYTES

# The first bytes of a member's stream; the last one is the version.
SESSION_MAGIC = b"RDs\x01"
EPHEMERAL_BYTES = 32
_MAC_BYTES = 16
HELLO_BYTES = EPHEMERAL_BYTES + _MAC_BYTES
# Ephemeral, AEAD tag, chain, port, signature and msgpack's heads.
MESSAGE_MAX_BYTES = CHAIN_MAX_BYTES + 256

_RESPONDER, _INITIATOR = "session responder", "session initiator"


@dataclass(frozen=True)
class Established:
    """What a finished handshake proved, and the keys of both directions.

    `listen_port` is where the peer says that it listens, 0 if nowhere.
    """

    peer: NodeId
    chain: bytes
    listen_port: int
    send_key: bytes = field(repr=False)
    receive_key: bytes = field(repr=False)


class Ephemeral:
    """A key pair for one exchange."""

    def __init__(self) -> None:
        self._secret = bindings.randombytes(EPHEMERAL_BYTES)
        self.public: bytes = bindings.crypto_scalarmult_base(self._secret)

    def shared_with(self, public: bytes) -> bytes:
        """X25519; PeerError for a point that would make the secret predictable."""
        if public == self.public:
            raise PeerError("our own ephemeral key came back")
        try:
            return bindings.crypto_scalarmult(self._secret, public)
        except (CryptoError, RuntimeError) as error:
            raise PeerError("an ephemeral key of small order") from error


def digest(label: str, *parts: bytes, key: bytes = b"", length: int = 32) -> bytes:
    """BLAKE2b over a label and length-prefixed parts: no two inputs look alike."""
    state = hashlib.blake2b(key=key, digest_size=length)
    for part in (label.encode("ascii"), *parts):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.digest()


def encrypt(key: bytes, message: bytes, transcript: bytes) -> bytes:
    """AEAD under a key that is used once, so the nonce is zero."""
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(message, transcript, bytes(12), key)


def decrypt(key: bytes, sealed: bytes, transcript: bytes) -> bytes:
    """Inverse of `encrypt`; PeerError when it was not sealed for this run with this key."""
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            sealed, transcript, bytes(12), key
        )
    except (CryptoError, ValueError) as error:
        raise PeerError("the key exchange does not hold") from error


class _Keys:
    """The key schedule: everything hangs on the shared secret, the mesh key and h1."""

    def __init__(self, mesh_key: bytes, initiator: bytes, responder: bytes, shared: bytes) -> None:
        self.h1 = digest("h1", SESSION_MAGIC, initiator, responder)
        self._root = digest("root", shared, self.h1, key=mesh_key, length=64)
        self.responder_seal = self.derive("responder seal")
        self.initiator_seal = self.derive("initiator seal")

    def derive(self, label: str, transcript: bytes = b"") -> bytes:
        return digest(label, transcript, key=self._root)

    def claim(self, context: str, transcript: bytes, chain: bytes, listen_port: int) -> bytes:
        """What a party signs: the run so far and the MAC of its own identity."""
        identity = pack([chain, listen_port])
        return transcript + digest("identity", identity, key=self.derive(context))

    def prove(self, me: Me, context: str, transcript: bytes, listen_port: int) -> bytes:
        claim = self.claim(context, transcript, me.chain, listen_port)
        return pack([me.chain, listen_port, me.identity.sign(context, claim)])

    def check(self, me: Me, context: str, transcript: bytes, proof: bytes) -> _Proved:
        """WireError or PeerError unless `proof` is a member's, for this run and role."""
        fields = Fields.parse(proof, "session proof", limit_bytes=MESSAGE_MAX_BYTES)
        chain = fields.blob(limit=CHAIN_MAX_BYTES)
        listen_port = fields.integer(0, 65535)
        signature = fields.blob(SIGNATURE_BYTES)
        fields.end()
        member = me.verifier.member(chain, me.clock.wall())
        verify(
            member.public, context, self.claim(context, transcript, chain, listen_port), signature
        )
        if member.public == me.identity.public:
            raise PeerError("this is our own key")
        return _Proved(member.node_id, chain, listen_port)


@dataclass(frozen=True)
class _Proved:
    peer: NodeId
    chain: bytes
    listen_port: int

    def established(self, send_key: bytes, receive_key: bytes) -> Established:
        return Established(self.peer, self.chain, self.listen_port, send_key, receive_key)


def _hello_mac(mesh_key: bytes, ephemeral: bytes) -> bytes:
    return digest("hello", SESSION_MAGIC, ephemeral, key=mesh_key, length=_MAC_BYTES)


class Initiator:
    """The dialling side: `hello`, then `answer` what comes back and read `established`."""

    def __init__(self, me: Me, *, expect: NodeId | None, listen_port: int = 0) -> None:
        self._me = me
        self._expect = expect
        self._listen_port = listen_port
        self._ephemeral = Ephemeral()
        self.established: Established | None = None

    def hello(self) -> bytes:
        """SESSION_MAGIC and HELLO_BYTES more."""
        public = self._ephemeral.public
        return SESSION_MAGIC + public + _hello_mac(self._me.mesh.key, public)

    def answer(self, message: bytes) -> bytes:
        """Our proof, the last message; WireError or PeerError when theirs does not hold."""
        theirs, sealed = message[:EPHEMERAL_BYTES], message[EPHEMERAL_BYTES:]
        if len(theirs) != EPHEMERAL_BYTES or not sealed:
            raise WireError("key exchange: answer too short")
        mine = self._ephemeral.public
        shared = self._ephemeral.shared_with(theirs)
        keys = _Keys(self._me.mesh.key, mine, theirs, shared)
        proof = decrypt(keys.responder_seal, sealed, keys.h1)
        proved = keys.check(self._me, _RESPONDER, keys.h1, proof)
        if self._expect is not None and proved.peer != self._expect:
            raise PeerError(f"{proved.peer.short} answers where {self._expect.short} should")
        h2 = digest("h2", keys.h1, sealed)
        proof = keys.prove(self._me, _INITIATOR, h2, self._listen_port)
        last = encrypt(keys.initiator_seal, proof, h2)
        h3 = digest("h3", h2, last)
        self.established = proved.established(
            keys.derive("to responder", h3), keys.derive("to initiator", h3)
        )
        return last


class Responder:
    """The listening side: `answer` the hello, then `finish` with the last message."""

    def __init__(self, me: Me, *, listen_port: int = 0) -> None:
        self._me = me
        self._listen_port = listen_port
        self._keys: _Keys | None = None
        self._h2 = b""

    def answer(self, hello: bytes) -> bytes:
        """Takes HELLO_BYTES (after the magic); PeerError for an outsider, who costs one hash."""
        if len(hello) != HELLO_BYTES:
            raise WireError("key exchange: hello of a wrong length")
        theirs, mac = hello[:EPHEMERAL_BYTES], hello[EPHEMERAL_BYTES:]
        if not hmac.compare_digest(mac, _hello_mac(self._me.mesh.key, theirs)):
            raise PeerError("a caller without the mesh key")
        ephemeral = Ephemeral()
        keys = _Keys(self._me.mesh.key, theirs, ephemeral.public, ephemeral.shared_with(theirs))
        proof = keys.prove(self._me, _RESPONDER, keys.h1, self._listen_port)
        sealed = encrypt(keys.responder_seal, proof, keys.h1)
        self._keys, self._h2 = keys, digest("h2", keys.h1, sealed)
        return ephemeral.public + sealed

    def finish(self, message: bytes) -> Established:
        """WireError or PeerError unless the initiator is a member."""
        keys = self._keys
        if keys is None:
            raise WireError("key exchange: out of order")
        proof = decrypt(keys.initiator_seal, message, self._h2)
        proved = keys.check(self._me, _INITIATOR, self._h2, proof)
        h3 = digest("h3", self._h2, message)
        return proved.established(keys.derive("to initiator", h3), keys.derive("to responder", h3))
