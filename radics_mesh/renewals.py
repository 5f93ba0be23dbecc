"""Certificates that go on before they end: who asks when, and what is given. Sans-IO.

A member asks whoever stands above it in its chain, its inviter first, later those above that one
too. What it gets has the roles, the owner and the name that it had, as far as the giver can still
give them; only the end is later, and a chain that came from higher up is shorter. Nobody gives a
certificate that outlives its own, so a renewal goes down the chain step by step.
"""

from __future__ import annotations

from radics_mesh.clock import Wall, is_plausible
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.membership import CHAIN_MAX_LENGTH, YEAR_S, Certificate, Chain, Mesh, issue
from radics_mesh.roles import ALL_ROLES, Role

# A member asks from so long before its chain ends.
BEFORE_S = 30 * 86400
# What makes it so little later is not worth all the new signatures.
GAIN_MIN_S = 86400
FOUNDER_YEARS = 10


def is_due(chain: Chain, now: Wall) -> bool:
    """Not while nobody knows what time it is."""
    return is_plausible(now) and chain.until - now < BEFORE_S


def above(chain: Chain) -> list[NodeId]:
    """Whom its member may ask: its inviter first."""
    return [one.node_id for one in reversed(chain.certificates[:-1])]


def renew(giver: Identity, own: Chain, theirs: Chain, now: Wall) -> Chain:
    """The chain of the member of `theirs` from now on, by the holder of `own`; both hold.

    PeerError: it is not the giver's to give; UsageError: the giver cannot give, or no longer one.
    """
    wanted, mine = theirs.member, own.member
    keys = [one.public for one in theirs.certificates]
    if giver.public not in keys[:-1]:
        raise PeerError(f"{wanted.name} was invited by others")
    is_guest = keys[-2] == giver.public
    if not is_guest and Role.OPERATE not in mine.roles:
        # Its inviter may have revoked it: see radics_mesh.node.renewing.
        raise PeerError("only who may operate renews the guests of others")
    if not mine.may_invite or mine.is_stale(now):
        raise UsageError("this node's certificate lets it renew none")
    if wanted.owner != mine.owner and Role.OPERATE not in mine.roles:
        raise PeerError(f"{wanted.name} works for another owner")
    expiry = min(Wall(now + YEAR_S), own.until)
    if expiry < theirs.until + GAIN_MIN_S:
        raise UsageError("this node's own certificate ends too soon")
    certificate = issue(
        giver,
        mine.mesh_id,
        wanted.public,
        expiry=expiry,
        roles=wanted.roles & mine.roles,
        depth=min(wanted.depth, mine.depth - 1),
        name=wanted.name,
        owner=wanted.owner,
    )
    return Chain((*own.certificates, certificate))


def renew_founder(genesis: Identity, chain: Chain, now: Wall) -> Chain:
    """Its own certificate, by the founder itself; UsageError: the key is of another mesh, or it was
    not the founder's."""
    if len(chain.certificates) != 1:
        raise UsageError("only the first member is renewed by the genesis key")
    old = chain.member
    expiry = Wall(now + FOUNDER_YEARS * YEAR_S)
    certificate = issue(
        genesis,
        old.mesh_id,
        old.public,
        expiry=expiry,
        roles=ALL_ROLES,
        depth=CHAIN_MAX_LENGTH - 1,
        name=old.name,
        owner=old.owner,
    )
    return Chain((certificate,))


def check_given(mesh: Mesh, chain: Chain, given: Chain, by: NodeId, now: Wall) -> Certificate:
    """What a member accepts in the place of its `chain`; PeerError otherwise."""
    member = mesh.verify(given, now)
    if member.public != chain.member.public:
        raise PeerError("a certificate for another key")
    if len(given.certificates) < 2 or given.certificates[-2].node_id != by:
        raise PeerError("a certificate by another than who brought it")
    if given.until <= chain.until:
        raise PeerError("a certificate that ends no later")
    return member
