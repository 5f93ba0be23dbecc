"""A new mesh in a state directory, without a node that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from radics_mesh.clock import SystemClock, Wall, is_plausible
from radics_mesh.control import state_lock
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import OWNER_MAX_BYTES, found
from radics_mesh.node.state import Membership, StateDirectory, medium_errors


def found_here(
    state: StateDirectory, identity: Identity, name: str, now: Wall, owner: str = ""
) -> Membership:
    """Durable on return. UsageError when nobody can say until when its certificates are good."""
    if not is_plausible(now):
        # Its certificates would have expired for every node whose clock is right.
        raise UsageError("this machine's clock was never set; set it before you make a mesh")
    genesis, mesh, chain = found(identity, name, now, owner)
    membership = Membership(mesh, chain)
    state.enter(membership, genesis)
    return membership


def found_at(path: Path, name: str, owner: str) -> Mapping[str, str]:
    """{"mesh", "id", "name", "owner", "state"}; UsageError when it is in a mesh, or a node runs."""
    if len(owner.encode("utf-8", "surrogatepass")) > OWNER_MAX_BYTES:
        raise UsageError(f"an owner's name has 1 to {OWNER_MAX_BYTES} bytes")
    state = StateDirectory(path)
    with state_lock(path), medium_errors(path):
        known = state.membership()
        if known is not None:
            raise UsageError(f"{path} is in mesh {known.mesh.mesh_id.text[:8]} already")
        identity = state.identity()
        made = found_here(state, identity, name, SystemClock().wall(), owner)
    return {
        "mesh": made.mesh.mesh_id.text,
        "id": identity.node_id.text,
        "name": name,
        "owner": made.chain.member.owner,
        "state": str(path),
    }
