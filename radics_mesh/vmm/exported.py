"""A VM's whole state in one file, with the proof of whose it is: to be mailed, carried, kept.

  magic 8 | length of the ownership u32 | ownership | snapshot in one piece
Integers are little-endian. The file proves a state; it gives nobody a right to run it: only the
ownership's own links do, and a file cannot add one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError, WireError
from radics_mesh.membership import Verifier
from radics_mesh.ownership import CHAIN_MAX_BYTES, Ownership
from radics_mesh.vmm.snapshot import Snapshot

_MAGIC = b"RdCSvm01"
_FRAME = struct.Struct("<8sI")


@dataclass(frozen=True)
class Exported:
    """`chain`: as its exporter knew it."""

    chain: Ownership
    snapshot: Snapshot

    def pack(self) -> bytes:
        chain = self.chain.pack()
        return b"".join((_FRAME.pack(_MAGIC, len(chain)), chain, self.snapshot.pack()))

    @classmethod
    def unpack(cls, data: bytes, verifier: Verifier, now: Wall) -> Exported:
        """One whose every page, signature and link holds, and that belong together.

        WireError: malformed, cut off, altered. PeerError: foreign, or of two VMs.
        """
        if len(data) < _FRAME.size or not data.startswith(_MAGIC):
            raise WireError("not an exported VM")
        _, length = _FRAME.unpack_from(data)
        start = _FRAME.size + length
        if length > CHAIN_MAX_BYTES or start > len(data):
            raise WireError("exported VM: truncated")
        chain = Ownership.parse(data[_FRAME.size : start])
        exported = cls(chain, Snapshot.unpack(data[start:], verifier, now))
        exported._check()
        return exported

    def _check(self) -> None:
        manifest, chain = self.snapshot.manifest, self.chain
        if manifest.vm != chain.vm_id:
            raise PeerError("exported VM: the state is another VM's")
        if manifest.epoch > chain.epoch:
            raise PeerError("exported VM: the state is later than its ownership")
        # Who holds a VM in an epoch is who writes its states then; who took it over with exactly
        # this state may vouch for it, when its writer is no member any more.
        writers = [chain.birth.holder, *(link.holder for link in chain.links)]
        epochs = [1, *(link.epoch for link in chain.links)]
        took = {link.holder for link in chain.links if link.snapshot == manifest.digest}
        written = (manifest.epoch, self.snapshot.signer) in zip(epochs, writers, strict=True)
        if not written and self.snapshot.signer not in took:
            raise PeerError("exported VM: the state is signed by another node than held it")
        self.snapshot.check_fits(chain.birth.image)
