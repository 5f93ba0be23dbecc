"""Who is a member: certificates, the chain up to the mesh's genesis key, invite tokens.

A mesh is named by the hash of its genesis key. A certificate says that a key is a member until a
wall time, in which roles and in whose name, how deep it may invite, and is signed by its inviter. A
chain runs from the certificate that the genesis key signed down to the member's own; whoever has
the mesh id checks it offline. The mesh key is an outer seal only: holding it makes
nobody a member. The one in Mesh is that of epoch 0 (radics_mesh.rotations).

Nobody gives what it lacks: each certificate's roles are among its inviter's, it is less deep, and
it names its inviter's owner unless the inviter may OPERATE. A certificate that has expired counts
for GRACE_S more, since whoever could renew it may be out of reach; it is stale then, and lets
nobody in.

Wire forms (msgpack):
  certificate  [2, mesh id, public key, expiry (Unix s), roles, depth, name, owner, signature]
  before 0.5   [1, mesh id, public key, expiry (Unix s), may invite, depth, name, signature]
               its inviter's owner and roles, INVITE only if it may; the first one's: all of them
  chain        [certificate, ...] from genesis down, at most CHAIN_MAX_BYTES
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from radics_mesh.clock import Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId
from radics_mesh.roles import ALL_ROLES, NO_ROLE, Role, names

VERSION = 2
# Without roles and owner.
_OLD = 1
OWNER_MAX_BYTES = 32
CHAIN_MAX_BYTES = 1000
CHAIN_MAX_LENGTH = 6
CONTEXT = "membership certificate"
# Where a token says that its inviter can be dialled, besides the first one.
TOKEN_HOSTS_MAX = 4
TOKEN_PREFIX = "radics1-"
YEAR_S = 365 * 86400
# No clock was ever set so early, so no expiry is judged by it.
_WHENEVER = Wall(0.0)
# How long an expired certificate is taken. Longer: a partition may last longer; shorter: who is
# not renewed is out sooner.
GRACE_S = 14 * 86400


@dataclass(frozen=True)
class Certificate:
    """One link of a chain. `depth` is how many levels below this one may still be invited; `owner`
    is the person or the party that its holder works for."""

    mesh_id: Digest
    public: bytes
    expiry: Wall
    roles: Role
    depth: int
    name: str
    owner: str
    signature: bytes
    version: int = VERSION

    @functools.cached_property  # every bundle of its signer asks
    def node_id(self) -> NodeId:
        return NodeId.of_key(self.public)

    @property
    def may_invite(self) -> bool:
        return Role.INVITE in self.roles and self.depth > 0

    def is_stale(self, now: Wall) -> bool:
        """Whether it has expired, and counts for its grace period only."""
        return is_plausible(now) and self.expiry <= now

    def body(self) -> list[object]:
        fixed = [bytes(self.mesh_id), self.public, int(self.expiry)]
        if self.version == _OLD:
            return [_OLD, *fixed, Role.INVITE in self.roles, self.depth, self.name]
        return [VERSION, *fixed, int(self.roles), self.depth, self.name, self.owner]

    @classmethod
    def parse(cls, value: object, above: Certificate | None = None) -> Certificate:
        """`above` is its inviter's; None: this is the first of its chain."""
        fields = Fields(value, "certificate")
        version = fields.integer(_OLD, VERSION)
        mesh_id, public = Digest(fields.blob(32)), fields.blob(KEY_BYTES)
        expiry = Wall(float(fields.integer(0, 1 << 40)))
        if version == _OLD:
            roles = _old_roles(fields.boolean(), above)
        else:
            roles = Role(fields.integer(0, int(ALL_ROLES)))
        depth, name = fields.integer(0, CHAIN_MAX_LENGTH), fields.text(limit=64)
        if version == _OLD:
            owner = above.owner if above else name
        else:
            owner = fields.text(limit=OWNER_MAX_BYTES)
        signature = fields.blob(SIGNATURE_BYTES)
        fields.end()
        return cls(mesh_id, public, expiry, roles, depth, name, owner, signature, version)


def _old_roles(may_invite: bool, above: Certificate | None) -> Role:
    roles = ALL_ROLES if above is None else above.roles
    return roles | Role.INVITE if may_invite else roles & ~Role.INVITE


@dataclass(frozen=True)
class Chain:
    """A verified or yet unverified list of certificates; the last one is the member's own."""

    certificates: tuple[Certificate, ...]

    @property
    def member(self) -> Certificate:
        return self.certificates[-1]

    @property
    def until(self) -> Wall:
        """When the first of them expires, and the chain with it."""
        return min(certificate.expiry for certificate in self.certificates)

    def pack(self) -> bytes:
        return pack([[*c.body(), c.signature] for c in self.certificates])

    @classmethod
    def parse(cls, data: bytes) -> Chain:
        """WireError for all that is not a chain; says nothing about signatures."""
        fields = Fields.parse(data, "chain", limit_bytes=CHAIN_MAX_BYTES)
        certificates: list[Certificate] = []
        for _ in range(CHAIN_MAX_LENGTH + 1):
            try:
                item = fields.any()
            except WireError:
                break
            certificates.append(Certificate.parse(item, certificates[-1] if certificates else None))
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
    roles: Role,
    depth: int,
    name: str,
    owner: str,
) -> Certificate:
    """Sign a certificate for `public`."""
    unsigned = Certificate(mesh_id, public, expiry, roles, depth, name, owner, b"")
    return replace(unsigned, signature=issuer.sign(CONTEXT, pack(unsigned.body())))


@dataclass(frozen=True)
class Mesh:
    """What every member knows of its mesh.

    `genesis` is the genesis public key, `key` the mesh key of epoch 0 (32 bytes): by it members
    find sessions, and it seals datagrams until there is another one.
    """

    genesis: bytes
    key: bytes

    @property
    def mesh_id(self) -> Digest:
        return Digest.of(self.genesis)

    def verify(self, chain: Chain, now: Wall) -> Certificate:
        """The member's certificate, if the chain holds; PeerError with the reason otherwise.

        A wall clock that has never been set judges no expiry; another one leaves GRACE_S.
        """
        signer, depth, above = self.genesis, CHAIN_MAX_LENGTH + 1, None
        for certificate in chain.certificates:
            if certificate.mesh_id != self.mesh_id:
                raise PeerError("certificate of another mesh")
            verify(signer, CONTEXT, pack(certificate.body()), certificate.signature)
            if certificate.depth >= depth:
                raise PeerError("certificate deeper than its inviter may go")
            _check_given(certificate, above)
            signer, above = certificate.public, certificate
            depth = certificate.depth if Role.INVITE in certificate.roles else 0
        refuse_expired(chain.member, chain.until, now)
        return chain.member


def _check_given(certificate: Certificate, above: Certificate | None) -> None:
    """PeerError when an inviter gave roles or a name that were not its own."""
    if above is None:
        return
    more = certificate.roles & ~above.roles
    if more:
        lacking = ", ".join(names(more))
        raise PeerError(f"certificate with roles that its inviter lacks: {lacking}")
    if certificate.owner != above.owner and Role.OPERATE not in above.roles:
        raise PeerError("certificate for another owner, by an inviter that may not operate")


def refuse_expired(member: Certificate, until: Wall, now: Wall) -> None:
    if is_plausible(now) and until + GRACE_S <= now:
        days = GRACE_S // 86400
        raise PeerError(
            f"certificate of {member.node_id.short} has expired more than {days} days ago"
        )


def demand(member: Certificate | None, role: Role, deed: str) -> None:
    """PeerError unless that member may do this; its user reads the words."""
    if member is None:
        raise PeerError(f"a member whose certificate is not known may not {deed}")
    if role not in member.roles:
        [name] = names(role)
        raise PeerError(
            f"{member.name} ({member.node_id.short}) may not {deed}: its certificate does not"
            f" give the role {name}"
        )


class Verifier:
    """Checks chains and remembers the ones that held, since one chain signs thousands of things."""

    _REMEMBERED = 4096

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._held: dict[bytes, tuple[Certificate, Wall]] = {}
        self._standing: dict[NodeId, Certificate] = {}
        # What time certificates are judged by, when the wall clock says `now`.
        self.judged: Callable[[Wall], Wall] = lambda now: now
        # Keys that were revoked, and by whose keys (radics_mesh.revocations).
        self._revoked: dict[bytes, frozenset[bytes]] = {}
        self._out: dict[bytes, bool] = {}

    def member(self, packed_chain: bytes, now: Wall) -> Certificate:
        """The member whose chain this is; WireError or PeerError otherwise."""
        now = self.judged(now)
        remembered = self._held
        found = remembered.get(packed_chain)
        if found is None:
            chain = Chain.parse(packed_chain)
            found = self.mesh.verify(chain, now), chain.until
            self._refuse_revoked(chain)
            if len(remembered) >= self._REMEMBERED:
                # All at one stroke: large bundles are checked in other threads.
                remembered.clear()
                self._standing.clear()
            remembered[packed_chain] = found
            self._note(found[0])
        held, until = found
        refuse_expired(held, until, now)
        return held

    def was_member(self, packed_chain: bytes) -> Certificate:
        """Whose chain this is or was: neither dates nor revocations count. Errors as `member`."""
        return self.mesh.verify(Chain.parse(packed_chain), _WHENEVER)

    def standing(self, node: NodeId) -> Certificate | None:
        """The latest certificate of a member that showed one; None: none is in mind."""
        return self._standing.get(node)

    def _note(self, certificate: Certificate) -> None:
        known = self._standing.get(certificate.node_id)
        if known is None or known.expiry <= certificate.expiry:
            self._standing[certificate.node_id] = certificate

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
        """The first of a chain that somebody revoked who stands above it there and may operate, or
        it itself."""
        above = {self.mesh.genesis}
        for certificate in chain.certificates:
            if not {*above, certificate.public}.isdisjoint(
                self._revoked.get(certificate.public, ())
            ):
                return certificate
            if Role.OPERATE in certificate.roles:
                above.add(certificate.public)
        return None

    def _refuse_revoked(self, chain: Chain) -> None:
        revoked = self.revoked_in(chain)
        if revoked is not None:
            raise PeerError(f"{revoked.node_id.short} has been revoked")


def found(first: Identity, name: str, now: Wall, owner: str = "") -> tuple[Identity, Mesh, Chain]:
    """A new mesh: its genesis identity, what members know of it, the first member's chain. Without
    an owner it is called as its node is."""
    genesis = Identity.generate()
    mesh = Mesh(genesis.public, Identity.generate().seed)
    certificate = issue(
        genesis,
        mesh.mesh_id,
        first.public,
        expiry=Wall(now + 10 * YEAR_S),
        roles=ALL_ROLES,
        depth=CHAIN_MAX_LENGTH - 1,
        name=name,
        owner=owner or cut(name, OWNER_MAX_BYTES),
    )
    return genesis, mesh, Chain((certificate,))


@dataclass(frozen=True)
class Grant:
    """What an inviter gives; None: as many of the roles, the same owner, as it has itself."""

    roles: Role | None = None
    owner: str | None = None


def check_grant(own: Certificate, grant: Grant) -> None:
    """UsageError when the holder of `own` cannot give this."""
    if Role.INVITE not in own.roles or own.depth < 1:
        raise UsageError("this node's certificate does not let it invite")
    more = NO_ROLE if grant.roles is None else grant.roles & ~own.roles
    if more:
        raise UsageError(
            f"this node's certificate lacks what it would give: {', '.join(names(more))}"
        )
    if grant.owner in (None, own.owner):
        return
    if Role.OPERATE not in own.roles:
        raise UsageError(f"only a node that may operate invites for another owner than {own.owner}")
    if not 0 < len((grant.owner or "").encode("utf-8", "surrogatepass")) <= OWNER_MAX_BYTES:
        raise UsageError(f"an owner's name has 1 to {OWNER_MAX_BYTES} bytes")


def invite(
    inviter: Identity,
    chain: Chain,
    public: bytes,
    name: str,
    expiry: Wall,
    grant: Grant | None = None,
) -> Chain:
    """The chain of a new member, invited by the holder of `chain`; UsageError if it may not."""
    own, grant = chain.member, grant or Grant()
    check_grant(own, grant)
    roles = own.roles if grant.roles is None else grant.roles
    certificate = issue(
        inviter,
        own.mesh_id,
        public,
        expiry=min(expiry, own.expiry),
        roles=roles if own.depth > 1 else roles & ~Role.INVITE,
        depth=own.depth - 1,
        name=name,
        owner=own.owner if grant.owner is None else grant.owner,
    )
    grown = Chain((*chain.certificates, certificate))
    if len(grown.pack()) > CHAIN_MAX_BYTES:
        raise UsageError("the chain of invitations is too long; invite from a node nearer its root")
    return grown


def cut(text: str, limit_bytes: int) -> str:
    """The beginning of a text that fits, whole letters only."""
    return text.encode("utf-8", "replace")[:limit_bytes].decode("utf-8", "ignore")


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
