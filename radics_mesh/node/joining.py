"""How this node becomes a member: it is one already, founds a mesh, shows a token, or knocks."""

from __future__ import annotations

from collections.abc import Callable

from radics_mesh.admission.exchange import Admitted
from radics_mesh.admission.join import join_with_token, knock
from radics_mesh.clock import Clock
from radics_mesh.config import Config
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import Chain, Mesh, Token, found
from radics_mesh.node.state import Membership, StateDirectory

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
        return known
    if token is not None:
        admitted = await join_with_token(token, identity, config.name)
        return _entered(state, admitted)
    if config.bootstrap:
        return _entered(state, await _knock(config, identity, announce))
    genesis, mesh, chain = found(identity, config.name, clock.wall())
    membership = Membership(mesh, chain)
    state.enter(membership, genesis)
    announce(f"made a new mesh, {mesh.mesh_id.text[:8]}")
    return membership


def _entered(state: StateDirectory, admitted: Admitted) -> Membership:
    membership = Membership(admitted.mesh, Chain.parse(admitted.chain), tuple(admitted.peers))
    state.enter(membership)
    return membership


async def _knock(config: Config, identity: Identity, announce: Announce) -> Admitted:
    address = config.bootstrap[0]

    def show(code: str) -> None:
        announce(f"knocking at {address}; on a member run: python -m radics_mesh approve {code}")

    return await knock(address, identity, config.name, show)


def _refuse_other_mesh(mesh: Mesh, token: Token | None) -> None:
    if token is not None and token.mesh_id != mesh.mesh_id:
        raise UsageError(
            f"this state directory is in mesh {mesh.mesh_id.text[:8]} already, and the token is"
            f" for {token.mesh_id.text[:8]}; give another --state"
        )
