"""Who is a member: certificates, the chain up to the mesh's genesis key, invite tokens.

A mesh is named by the hash of its genesis key. A certificate says that a key is a member until a
wall time, whether and how deep it may invite, and is signed by its inviter. A chain runs from the
certificate that the genesis key signed down to the member's own; whoever has the mesh id checks it
offline. The mesh key is an outer seal for datagrams only: holding it makes nobody a member.

Wire forms (msgpack):
  certificate  [version, mesh id, public key, expiry (Unix s), may invite, depth, name, signature]
  chain        [certificate, ...] from genesis down, at most CHAIN_MAX_BYTES
"""

from __future__ import annotations

import base64
import binascii
import functools
from dataclasses import dataclass

from radics_mesh.clock import Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId

VERSION = 1
CHAIN_MAX_BYTES = 1000
CHAIN_MAX_LENGTH = 6
CONTEXT = "membership certificate"
# Where a token says that its inviter can be dialled, besides the first one.
TOKEN_HOSTS_MAX = 4
TOKEN_PREFIX = "radics1-"
YEAR_S = 365 * 86400
# No clock was ever set so early, so no expiry is judged by it.
_WHENEVER = Wall(0.0)


@dataclass(frozen=True)
class Certificate:
    """One link of a chain. `depth` is how many levels below this one may still be invited."""

    mesh_id: Digest
    public: bytes
    expiry: Wall
    may_invite: bool
    depth: int
    name: str
    signature: bytes

    @functools.cached_property  # every bundle of its signer asks
    def node_id(self) -> NodeId:
        return NodeId.of_key(self.public)

    def body(self) -> list[object]:
        return [
            VERSION,
            bytes(self.mesh_id),
            self.public,
            int(self.expiry),
            self.may_invite,
            self.depth,
            self.name,
        ]

    @classmethod
    def parse(cls, value: object) -> Certificate:
        fields = Fields(value, "certificate")
        fields.integer(VERSION, VERSION)
        certificate = cls(
            mesh_id=Digest(fields.blob(32)),
            public=fields.blob(KEY_BYTES),
            expiry=Wall(float(fields.integer(0, 1 << 40))),
            may_invite=fields.boolean(),
            depth=fields.integer(0, CHAIN_MAX_LENGTH),
            name=fields.text(limit=64),
            signature=fields.blob(SIGNATURE_BYTES),
        )
        fields.end()
        return certificate


@dataclass(frozen=True)
class Chain:
    """A verified or yet unverified list of certificates; the last one is the member's own."""

    certificates: tuple[Certificate, ...]

    @property
    def member(self) -> Certificate:
        return self.certificates[-1]

    def pack(self) -> bytes:
        return pack([[*c.body(), c.signature] for c in self.certificates])

    @classmethod
    def parse(cls, data: bytes) -> Chain:
        """WireError for all that is not a chain; says nothing about signatures."""
        fields = Fields.parse(data, "chain", limit_bytes=CHAIN_MAX_BYTES)
        certificates = []
        for _ in range(CHAIN_MAX_LENGTH + 1):
            try:
                item = fields.any()
            except WireError:
                break
            certificates.append(Certificate.parse(item))
        fields.end()
        if not certificates:
            raise WireError("chain: empty")
        return cls(tuple(certificates))


def issue(
    issuer: Identity,
    mesh_id: Digest,
    public: bytes,
    *,
    expiry: Wall,
    may_invite: bool,
    depth: int,
    name: str,
) -> Certificate:
    """Sign a certificate for `public`."""
    unsigned = Certificate(mesh_id, public, expiry, may_invite, depth, name, b"")
    signature = issuer.sign(CONTEXT, pack(unsigned.body()))
    return Certificate(mesh_id, public, expiry, may_invite, depth, name, signature)


@dataclass(frozen=True)
class Mesh:
    """What every member knows of its mesh.

    `genesis` is the genesis public key, `key` the 32-byte outer seal of datagrams.
    """

    genesis: bytes
    key: bytes

    @property
    def mesh_id(self) -> Digest:
        return Digest.of(self.genesis)

    def verify(self, chain: Chain, now: Wall) -> Certificate:
        """The member's certificate, if the chain holds; PeerError with the reason otherwise.

        A wall clock that has never been set judges no expiry.
        """
        signer, depth = self.genesis, CHAIN_MAX_LENGTH + 1
        for certificate in chain.certificates:
            if certificate.mesh_id != self.mesh_id:
                raise PeerError("certificate of another mesh")
            verify(signer, CONTEXT, pack(certificate.body()), certificate.signature)
            if certificate.depth >= depth:
                raise PeerError("certificate deeper than its inviter may go")
            if is_plausible(now) and certificate.expiry <= now:
                raise PeerError(f"certificate of {certificate.node_id.short} has expired")
            signer = certificate.public
            depth = certificate.depth if certificate.may_invite else 0
        return chain.member


class Verifier:
    """Checks chains and remembers the ones that held, since one chain signs thousands of things."""

    _REMEMBERED = 4096

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._held: dict[bytes, Certificate] = {}
        # Keys that were revoked, and by whose keys (radics_mesh.revocations).
        self._revoked: dict[bytes, frozenset[bytes]] = {}
        self._out: dict[bytes, bool] = {}

    def member(self, packed_chain: bytes, now: Wall) -> Certificate:
        """The member whose chain this is; WireError or PeerError otherwise."""
        remembered = self._held
        held = remembered.get(packed_chain)
        if held is None:
            chain = Chain.parse(packed_chain)
            held = self.mesh.verify(chain, now)
            self._refuse_revoked(chain)
            if len(remembered) >= self._REMEMBERED:
                # All at one stroke: large bundles are checked in other threads.
                remembered.clear()
            remembered[packed_chain] = held
        if is_plausible(now) and held.expiry <= now:
            raise PeerError(f"certificate of {held.node_id.short} has expired")
        return held

    def was_member(self, packed_chain: bytes) -> Certificate:
        """Whose chain this is or was: neither dates nor revocations count. Errors as `member`."""
        return self.mesh.verify(Chain.parse(packed_chain), _WHENEVER)

    def revoke(self, public: bytes, by: bytes) -> None:
        """From now on no chain holds in which `public` comes after the key `by`, or is it."""
        self._revoked[public] = self._revoked.get(public, frozenset()) | {by}
        # Others, not these ones cleared: a thread that began before may still write to it.
        self._held = {}
        self._out = {}

    def is_out(self, packed_chain: bytes) -> bool:
        """Whether somebody in this chain was revoked, whether or not it holds. WireError."""
        if not self._revoked:
            return False
        remembered = self._out
        out = remembered.get(packed_chain)
        if out is None:
            out = self.revoked_in(Chain.parse(packed_chain)) is not None
            if len(remembered) >= self._REMEMBERED:
                remembered.clear()
            remembered[packed_chain] = out
        return out

    def revoked_in(self, chain: Chain) -> Certificate | None:
        """The first of a chain that somebody revoked who stands above it there, or it itself."""
        above = {self.mesh.genesis}
        for certificate in chain.certificates:
            above.add(certificate.public)
            if not above.isdisjoint(self._revoked.get(certificate.public, ())):
                return certificate
        return None

    def _refuse_revoked(self, chain: Chain) -> None:
        revoked = self.revoked_in(chain)
        if revoked is not None:
            raise PeerError(f"{revoked.node_id.short} has been revoked")


def found(first: Identity, name: str, now: Wall) -> tuple[Identity, Mesh, Chain]:
    """A new mesh: its genesis identity, what members know of it, the first member's chain."""
    genesis = Identity.generate()
    mesh = Mesh(genesis.public, Identity.generate().seed)
    certificate = issue(
        genesis,
        mesh.mesh_id,
        first.public,
        expiry=Wall(now + 10 * YEAR_S),
        may_invite=True,
        depth=CHAIN_MAX_LENGTH - 1,
        name=name,
    )
    return genesis, mesh, Chain((certificate,))


def invite(inviter: Identity, chain: Chain, public: bytes, name: str, expiry: Wall) -> Chain:
    """The chain of a new member, invited by the holder of `chain`; UsageError if it may not."""
    own = chain.member
    if not own.may_invite or own.depth < 1:
        raise UsageError("this node's certificate does not let it invite")
    certificate = issue(
        inviter,
        own.mesh_id,
        public,
        expiry=min(expiry, own.expiry),
        may_invite=own.depth > 1,
        depth=own.depth - 1,
        name=name,
    )
    grown = Chain((*chain.certificates, certificate))
    if len(grown.pack()) > CHAIN_MAX_BYTES:
        raise UsageError("the chain of invitations is too long; invite from a node nearer its root")
    return grown


@dataclass(frozen=True)
class Token:
    """What lets its holder join at once: where to dial, whom to trust there, and a secret.

    The secret is 16 bytes and known to the inviter alone, who counts its uses and its expiry.
    """

    mesh_id: Digest
    inviter: bytes
    secret: bytes
    host: str
    port: int
    # Where else the inviter can be dialled, at the same port: not every interface of a node leads
    # to every stranger.
    others: tuple[str, ...] = ()

    def text(self) -> str:
        where = [self.host, self.port, list(self.others)]
        packed = pack([bytes(self.mesh_id), self.inviter, self.secret, *where])
        return TOKEN_PREFIX + base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Token:
        """UsageError for what is no token: it was typed or pasted by a person."""
        text = text.strip()
        if not text.startswith(TOKEN_PREFIX):
            raise UsageError(f"an invite token starts with {TOKEN_PREFIX}")
        encoded = text[len(TOKEN_PREFIX) :]
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            fields = Fields.parse(raw, "token", limit_bytes=1024)
            token = cls(
                Digest(fields.blob(32)),
                fields.blob(KEY_BYTES),
                fields.blob(16),
                fields.text(),
                fields.integer(1, 65535),
                _hosts(fields.items(limit=TOKEN_HOSTS_MAX)),
            )
            fields.end()
        except (WireError, binascii.Error, ValueError) as error:
            raise UsageError("this invite token is damaged; copy it again, whole") from error
        return token


def _hosts(items: list[object]) -> tuple[str, ...]:
    hosts = Fields(items, "token")
    return tuple(hosts.text() for _ in items)
