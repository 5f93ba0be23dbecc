"""What a publisher's node says to the host of a VM that it feeds: come here.

Wire form (msgpack): [1, VM EID, source, facts of the sender as in its node record]. It is a hint
with fresh facts. The host decides, and the hand-off reserves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, VmId

_VERSION = 1
_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True)
class Invite:
    vm_id: VmId
    source: str
    facts: Mapping[str, object]

    def encode(self) -> bytes:
        return pack([_VERSION, str(self.vm_id.eid), self.source, dict(self.facts)])

    @classmethod
    def parse(cls, payload: bytes) -> Invite:
        fields = Fields.parse(payload, "invitation", limit_bytes=_LIMIT_BYTES)
        fields.integer(_VERSION, _VERSION)
        vm_id = Eid(fields.text()).vm_id
        if vm_id is None:
            raise WireError("invitation: of no VM")
        invite = cls(vm_id, fields.text(), fields.mapping())
        fields.end()
        return invite
