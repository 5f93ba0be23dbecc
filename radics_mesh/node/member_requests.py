"""Requests about members: who is known, by whose invitation, and who is none any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from radics_mesh.clock import is_plausible
from radics_mesh.control_shapes.mesh import MemberRow
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.membership import GRACE_S, Chain
from radics_mesh.node.services import Services
from radics_mesh.node.state import StateDirectory
from radics_mesh.revocations import Revocation, is_above, revoke
from radics_mesh.roles import Role, names

Answer = Mapping[str, Any]


class _Key(TypedDict):
    key_epoch: int | None
    has_key: bool


class MemberRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def members(self) -> Answer:
        return {"members": member_rows(self._node)}

    async def revoke(self, node: str, reason: str) -> Answer:
        target = self._target(node)
        member = _chains(self._node)[target]
        signer, chain = self._signer(member)
        when = self._node.me.clock.wall()
        statement = revoke(signer, chain, member.member, when=when, reason=reason)
        known = [one.publisher for one in self._node.directory.members()]
        news = await self._node.revoking.publish(statement, known)
        [row] = [row for row in member_rows(self._node) if row["id"] == target.text]
        return {"member": row, "news": news}

    def _target(self, text: str) -> NodeId:
        """A member by name, id or its start, revoked or not; UsageError if not just one."""
        known = sorted(_chains(self._node))
        named = [one for one in known if self._node.names.last_of(one) == text]
        found = named or [n for n in known if len(text) >= 4 and n.text.startswith(text.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(one.text for one in found)
            raise UsageError(f"{text} may be any of {ids}; give the id")
        raise UsageError(f"no member called {text} is known here; `members` lists them")

    def _signer(self, member: Chain) -> tuple[Identity, bytes]:
        """Whose word counts against this member: this node's, or that of the genesis key if this
        node founded the mesh. UsageError when neither does."""
        me = self._node.me
        if is_above(me.identity.public, member, me.mesh):
            return me.identity, me.chain
        genesis = StateDirectory(self._node.config.state).genesis()
        if genesis is not None and genesis.public == me.mesh.genesis:
            return genesis, b""
        called = self._node.names.last_of(member.member.node_id)
        above = [one for one in member.certificates[:-1] if Role.OPERATE in one.roles]
        who = [self._node.names.last_of(one.node_id) for one in above]
        raise UsageError(
            f"only who stands above {called} with the role operate can revoke it, or it itself:"
            f" {', '.join([*who, called])}, or the holder of the mesh's genesis key"
        )


def _chains(node: Services) -> dict[NodeId, Chain]:
    """By their last statements; this node's own is always there."""
    said = {one.publisher: Chain.parse(one.chain) for one in node.directory.members()}
    return {**said, node.me.node_id: Chain.parse(node.me.chain)}


def member_rows(node: Services) -> list[MemberRow]:
    chains = _chains(node)
    statements = node.revoking.known.all()
    rows = [_row(node, chains[one], statements) for one in sorted(chains)]
    # Who was put out before anything of it came here.
    strange = {one.node_id for one in statements} - chains.keys()
    return rows + [_strange(node, one, statements) for one in sorted(strange)]


def _row(node: Services, chain: Chain, statements: list[Revocation]) -> MemberRow:
    member, now = chain.member, node.me.judged()
    out = node.me.verifier.revoked_in(chain)
    above = chain.certificates[-2].node_id if len(chain.certificates) > 1 else None
    counting = [
        one
        for one in statements
        if out is not None
        and one.revoked == out.public
        and is_above(one.signer, chain, node.me.mesh)
    ]
    return MemberRow(
        id=member.node_id.text,
        name=node.names.last_of(member.node_id),
        invited_by="" if above is None else node.names.last_of(above),
        until=float(chain.until),
        may_invite=member.may_invite,
        roles=names(member.roles),
        owner=member.owner,
        stale=is_plausible(now) and chain.until <= now,
        grace_until=float(chain.until + GRACE_S),
        revoked=out is not None,
        revoked_by=[_signer_name(node, one) for one in counting],
        through="" if out in (None, member) else node.names.last_of(out.node_id),
        reason=next((one.reason for one in counting if one.reason), ""),
        self=member.node_id == node.me.node_id,
        **_key(node, member.node_id, counting),
    )


def _strange(node: Services, who: NodeId, statements: list[Revocation]) -> MemberRow:
    about = [one for one in statements if one.node_id == who]
    return MemberRow(
        id=who.text,
        name=about[0].called or who.short,
        invited_by="",
        until=None,
        may_invite=False,
        roles=[],
        owner="",
        stale=False,
        grace_until=None,
        revoked=True,
        revoked_by=[_signer_name(node, one) for one in about],
        through="",
        reason=next((one.reason for one in about if one.reason), ""),
        self=False,
        **_key(node, who, about),
    )


def _key(node: Services, who: NodeId, against: list[Revocation]) -> _Key:
    """Which mesh key a member has; a revoked one may have any that was made without knowing."""
    ring = node.rekeying.ring
    if who == node.me.node_id:
        return {"key_epoch": ring.newest.epoch, "has_key": True}
    said = next((one for one in node.directory.members() if one.publisher == who), None)
    epoch = None if said is None else node.rekeying.epoch_of(said)
    if against:
        return {"key_epoch": epoch, "has_key": ring.newest.knows.isdisjoint(r.tag for r in against)}
    return {"key_epoch": epoch, "has_key": said is not None and node.rekeying.holds_newest(said)}


def _signer_name(node: Services, one: Revocation) -> str:
    return "genesis" if one.signer == node.me.mesh.genesis else node.names.last_of(one.by)
