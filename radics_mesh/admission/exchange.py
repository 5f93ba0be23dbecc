"""The admission protocols without I/O.

Token. Its holder knows the inviter's public key and a secret:

    S → M   E_s
    M → S   E_m, sign_M("admission inviter"; h)             h = hash of mesh id, E_s, E_m
    S → M   {public key, name, token id, MAC(secret; h, public key), sign_S(h)}
    M → S   {chain, mesh, addresses} or {why not}

The secret is used only after M has proved that it is the inviter, inside the encryption, as the key
of a MAC: nobody ever holds anything to guess it from.

Knock. Nobody knows anybody; a person compares eight characters on two screens:

    S → M   commitment = hash(S's key, E_s, nonce_s)
    M → S   E_m, M's key, nonce_m
    S → M   S's key, E_s, nonce_s, {name, sign_S(h)}        h = hash of all of that
    M → S   {chain, mesh, addresses}, after approval

The code is 40 bits of h. Who sits in between needs the same code in two runs. To the member he must
commit before he sees its nonce, to the stranger he must show his nonce before the stranger's
commitment opens: whichever run he finishes first, the other one's code is out of his hands, one
chance in 2^40 a knock. A stranger therefore opens a commitment to one set of the member's values
only; if others come back when it connects again, it starts over with a new nonce and a new code.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from nacl.bindings import randombytes

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.config import Address
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.handshake import EPHEMERAL_BYTES, Ephemeral, decrypt, digest, encrypt
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.keyring import LIVE_MAX, Given, parse_given
from radics_mesh.me import Me
from radics_mesh.membership import CHAIN_MAX_BYTES, Chain, Mesh, Token

KIND_TOKEN, KIND_KNOCK = 1, 2
# After the magic: kind, 32 bytes, zeros. Longer than the answer, so that none is amplified.
HELLO_BYTES = 124
ANSWER_BYTES = 96
MESSAGE_MAX_BYTES = 512
REPLY_MAX_BYTES = CHAIN_MAX_BYTES + 1024
NAME_MAX_BYTES = 64
_NONCE_BYTES = 32
_ADDRESSES_MAX = 8
_INVITER, _STRANGER = "admission inviter", "admission stranger"
# Crockford's: no i, l, o, u to mistake for something else.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TYPED = str.maketrans("oil", "011", "- ")


@dataclass(frozen=True)
class Admitted:
    """What a new member gets. `peers` is where it can dial other members."""

    mesh: Mesh
    chain: bytes
    peers: list[Address]
    # What seals datagrams now, the newest first; empty: the key in `mesh`.
    mesh_keys: list[Given] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """A stranger that holds the private half of `public` and calls itself `name`."""

    public: bytes
    name: str


def hello(kind: int, value: bytes) -> bytes:
    return (bytes((kind,)) + value).ljust(HELLO_BYTES, b"\0")


def parse_hello(data: bytes) -> tuple[int, bytes]:
    """Kind and the 32 bytes; WireError for anything else."""
    kind, value, padding = data[0], data[1:33], data[33:]
    if kind not in (KIND_TOKEN, KIND_KNOCK) or padding.strip(b"\0"):
        raise WireError("an unknown kind of admission request")
    return kind, value


def token_id(secret: bytes) -> bytes:
    """Names a token without showing its secret."""
    return digest("token id", secret, length=16)


def token_proof(secret: bytes, transcript: bytes, public: bytes) -> bytes:
    return digest("token proof", transcript, public, key=secret)


class _Seals:
    """The keys of one run: each direction's is used for one message."""

    def __init__(self, shared: bytes, transcript: bytes) -> None:
        root = digest("admission root", shared, transcript, length=64)
        self.transcript = transcript
        self.stranger = digest("stranger seal", key=root)
        self.member = digest("member seal", key=root)


def _checked_name(fields: Fields) -> str:
    name = fields.text(limit=NAME_MAX_BYTES)
    if not name or not name.isprintable():
        raise WireError("a stranger's name that cannot be shown")
    return name


def _token_transcript(mesh_id: bytes, stranger: bytes, member: bytes) -> bytes:
    return digest("token exchange", mesh_id, stranger, member)


class TokenBearer:
    """The stranger's side of a token exchange: `hello`, `prove`, `admitted`."""

    def __init__(self, token: Token, identity: Identity, name: str) -> None:
        self._token = token
        self._identity = identity
        self._name = name
        self._ephemeral = Ephemeral()
        self._seals: _Seals | None = None

    def hello(self) -> bytes:
        return hello(KIND_TOKEN, self._ephemeral.public)

    def prove(self, answer: bytes) -> bytes:
        """PeerError when it is not the inviter who answers: then nothing is shown to it."""
        theirs, signature = answer[:EPHEMERAL_BYTES], answer[EPHEMERAL_BYTES:]
        token = self._token
        transcript = _token_transcript(token.mesh_id, self._ephemeral.public, theirs)
        verify(token.inviter, _INVITER, transcript, signature)
        self._seals = _Seals(self._ephemeral.shared_with(theirs), transcript)
        public = self._identity.public
        claim = [
            public,
            self._name,
            token_id(token.secret),
            token_proof(token.secret, transcript, public),
            self._identity.sign(_STRANGER, transcript),
        ]
        return encrypt(self._seals.stranger, pack(claim), transcript)

    def admitted(self, reply: bytes, now: Wall) -> Admitted:
        """UsageError with the inviter's reason when it declines."""
        assert self._seals is not None
        content = decrypt(self._seals.member, reply, self._seals.transcript)
        admitted = _parse_reply(content, self._identity, self._token.inviter, now)
        if admitted.mesh.mesh_id != self._token.mesh_id:
            raise PeerError("the inviter admits to another mesh than the token's")
        return admitted


class TokenTaker:
    """The member's side: `answer`, `open`, then `reply`."""

    def __init__(self, me: Me) -> None:
        self._me = me
        self._seals: _Seals | None = None

    def answer(self, theirs: bytes) -> bytes:
        ephemeral = Ephemeral()
        transcript = _token_transcript(self._me.mesh.mesh_id, theirs, ephemeral.public)
        self._seals = _Seals(ephemeral.shared_with(theirs), transcript)
        return ephemeral.public + self._me.identity.sign(_INVITER, transcript)

    def open(self, message: bytes) -> tuple[Claim, bytes, bytes]:
        """Who asks, the token's id, and the proof to hold against `expected_proof`."""
        assert self._seals is not None
        transcript = self._seals.transcript
        fields = Fields.parse(decrypt(self._seals.stranger, message, transcript), "token claim")
        public, name = fields.blob(KEY_BYTES), _checked_name(fields)
        identifier, proof = fields.blob(16), fields.blob(32)
        signature = fields.blob(SIGNATURE_BYTES)
        fields.end()
        verify(public, _STRANGER, transcript, signature)
        return Claim(public, name), identifier, proof

    def is_proof(self, secret: bytes, claim: Claim, proof: bytes) -> bool:
        assert self._seals is not None
        expected = token_proof(secret, self._seals.transcript, claim.public)
        return hmac.compare_digest(expected, proof)

    def reply(self, content: bytes) -> bytes:
        assert self._seals is not None
        return encrypt(self._seals.member, content, self._seals.transcript)


def _commitment(public: bytes, ephemeral: bytes, nonce: bytes) -> bytes:
    return digest("knock commitment", public, ephemeral, nonce)


def code_of(transcript: bytes) -> str:
    """Eight characters in two groups."""
    bits = int.from_bytes(digest("knock code", transcript, length=5), "big")
    text = "".join(_ALPHABET[bits >> shift & 31] for shift in range(35, -5, -5))
    return f"{text[:4]}-{text[4:]}"


def typed_code(text: str) -> str:
    """A code as a person types it: case, hyphens, blanks and look-alikes do not matter."""
    plain = text.lower().translate(_TYPED)
    if len(plain) != 8 or set(plain) - set(_ALPHABET):
        raise UsageError(f"not a code: {text[:40]} (want eight characters, like k7qf-2m9x)")
    return f"{plain[:4]}-{plain[4:]}"


class Knocker:
    """The stranger's side of a knock: `hello`, `open`, `admitted`; the same on each connection."""

    def __init__(self, identity: Identity, name: str) -> None:
        self._identity = identity
        self._name = name
        self._ephemeral = Ephemeral()
        self._nonce = randombytes(_NONCE_BYTES)
        self._answer: bytes | None = None
        self._seals: _Seals | None = None
        self._inviter = b""
        self.code = ""

    @property
    def _commitment(self) -> bytes:
        return _commitment(self._identity.public, self._ephemeral.public, self._nonce)

    def hello(self) -> bytes:
        return hello(KIND_KNOCK, self._commitment)

    def fits(self, answer: bytes) -> bool:
        """False: these are other values than those that our commitment was opened to. Opening it
        to them, too, would let whoever chose them choose the code."""
        return self._answer in (None, answer)

    def open(self, answer: bytes) -> bytes:
        if not self.fits(answer):
            raise PeerError("a knock is answered with other values than before")
        self._answer = answer
        theirs, inviter = answer[:32], answer[32:64]
        opening = self._identity.public + self._ephemeral.public + self._nonce
        transcript = digest("knock", self._commitment, answer, opening)
        self._seals = _Seals(self._ephemeral.shared_with(theirs), transcript)
        self._inviter = inviter
        self.code = code_of(transcript)
        claim = pack([self._name, self._identity.sign(_STRANGER, transcript)])
        return opening + encrypt(self._seals.stranger, claim, transcript)

    def admitted(self, reply: bytes, now: Wall) -> Admitted:
        assert self._seals is not None
        content = decrypt(self._seals.member, reply, self._seals.transcript)
        return _parse_reply(content, self._identity, self._inviter, now)


class KnockTaker:
    """The member's side of one knock, kept as long as the knock: `answer`, `open`, `reply`."""

    def __init__(self, inviter: bytes, commitment: bytes) -> None:
        self._ephemeral = Ephemeral()
        self._commitment = commitment
        self._seals: _Seals | None = None
        self.answer = self._ephemeral.public + inviter + randombytes(_NONCE_BYTES)
        self.code = ""

    def open(self, message: bytes) -> Claim:
        """PeerError unless it opens the commitment and is signed by the key in it."""
        opening, sealed = message[:ANSWER_BYTES], message[ANSWER_BYTES:]
        public, theirs, nonce = opening[:32], opening[32:64], opening[64:]
        if len(opening) != ANSWER_BYTES:
            raise WireError("a knock that opens too short")
        if not hmac.compare_digest(_commitment(public, theirs, nonce), self._commitment):
            raise PeerError("a knock with another key than it committed to")
        transcript = digest("knock", self._commitment, self.answer, opening)
        seals = _Seals(self._ephemeral.shared_with(theirs), transcript)
        fields = Fields.parse(decrypt(seals.stranger, sealed, transcript), "knock")
        name, signature = _checked_name(fields), fields.blob(SIGNATURE_BYTES)
        fields.end()
        verify(public, _STRANGER, transcript, signature)
        self._seals, self.code = seals, code_of(transcript)
        return Claim(public, name)

    def reply(self, content: bytes) -> bytes:
        """For one content only: the key is used once."""
        assert self._seals is not None
        return encrypt(self._seals.member, content, self._seals.transcript)


def welcome(
    mesh: Mesh, chain: Chain, peers: Sequence[Address], mesh_keys: Sequence[Given] = ()
) -> bytes:
    """The content of a reply that admits."""
    addresses = [[address.host, address.port] for address in peers[:_ADDRESSES_MAX]]
    keys = [list(key) for key in mesh_keys]
    return pack(["", chain.pack(), mesh.genesis, mesh.key, addresses, keys])


def decline(reason: str) -> bytes:
    return pack([reason])


def _parse_reply(content: bytes, identity: Identity, inviter: bytes, now: Wall) -> Admitted:
    fields = Fields.parse(content, "admission", limit_bytes=REPLY_MAX_BYTES)
    reason = fields.text()
    if reason:
        raise UsageError(f"not admitted: {reason}")
    chain = fields.blob(limit=CHAIN_MAX_BYTES)
    mesh = Mesh(fields.blob(KEY_BYTES), fields.blob(KEY_BYTES))
    peers = [_parse_address(item) for item in fields.items(limit=_ADDRESSES_MAX)]
    # A member from before 0.5 knows of one key only, and says nothing.
    mesh_keys = parse_given(fields.items(limit=LIVE_MAX)) if fields.has_more else []
    fields.end()
    parsed = Chain.parse(chain)
    if mesh.verify(parsed, now).public != identity.public:
        raise PeerError("admitted under another key")
    if len(parsed.certificates) < 2 or parsed.certificates[-2].public != inviter:
        raise PeerError("admitted by another node than the one that answered")
    return Admitted(mesh, chain, peers, mesh_keys)


def _parse_address(item: object) -> Address:
    fields = Fields(item, "address")
    address = Address(fields.text(), fields.integer(1, 65535))
    fields.end()
    return address
