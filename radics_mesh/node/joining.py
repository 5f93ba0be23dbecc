"""How this node becomes a member: it is one already, founds a mesh, shows a token, or knocks."""

from __future__ import annotations

from collections.abc import Callable

from radics_mesh.admission.exchange import Admitted
from radics_mesh.admission.join import join_with_token, knock
from radics_mesh.clock import Clock, Wall, is_plausible
from radics_mesh.config import Config
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import Chain, Mesh, Token
from radics_mesh.node.founding import found_here
from radics_mesh.node.rekeying import keep_given
from radics_mesh.node.state import MEMBERSHIP_NAME, Membership, StateDirectory

Announce = Callable[[str], None]


async def enter(
    config: Config, state: StateDirectory, identity: Identity, clock: Clock, announce: Announce
) -> Membership:
    """This node's membership, kept durably. Waits as long as a knock is not answered.

    UsageError when the token is refused, or is for another mesh than this node is in.
    """
    known = state.membership()
    token = Token.parse(config.invite) if config.invite is not None else None
    if known is not None:
        _refuse_other_mesh(known.mesh, token)
        _warn_of_expiry(known, clock.wall(), announce)
        return known
    if token is not None:
        admitted = await join_with_token(token, identity, config.name)
        return _entered(state, admitted, clock)
    if config.bootstrap:
        return _entered(state, await _knock(config, identity, announce), clock)
    membership = found_here(state, identity, config.name, clock.wall())
    announce(f"made a new mesh, {membership.mesh.mesh_id.text[:8]}")
    return membership


def _entered(state: StateDirectory, admitted: Admitted, clock: Clock) -> Membership:
    membership = Membership(admitted.mesh, Chain.parse(admitted.chain), tuple(admitted.peers))
    # Before the membership: a node that has that one does not ask again.
    keep_given(state.path, admitted.mesh, admitted.mesh_keys, clock)
    state.enter(membership)
    return membership


async def _knock(config: Config, identity: Identity, announce: Announce) -> Admitted:
    address = config.bootstrap[0]

    def show(code: str) -> None:
        announce(f"knocking at {address}; on a member run: python -m radics_mesh approve {code}")

    return await knock(address, identity, config.name, show)


def _warn_of_expiry(known: Membership, now: Wall, announce: Announce) -> None:
    """The node runs on: perhaps it is its clock that is wrong."""
    if is_plausible(now) and any(link.expiry <= now for link in known.chain.certificates):
        announce(
            "warning: this node's certificate has expired, others will refuse it; if the clock is"
            f" right, move {MEMBERSHIP_NAME} out of the state directory and join again"
        )


def _refuse_other_mesh(mesh: Mesh, token: Token | None) -> None:
    if token is not None and token.mesh_id != mesh.mesh_id:
        raise UsageError(
            f"this state directory is in mesh {mesh.mesh_id.text[:8]} already, and the token is"
            f" for {token.mesh_id.text[:8]}; give another --state"
        )
