"""Whether a node could take a VM, as far as its record says: asked before anything is sent.

In the record "guests" is [1, version of its hand-off messages, [architectures it has QEMU for]].
Nodes before 0.3.0 do not say it, and speak an older hand-off. What a record cannot know, as the
memory that is free when the VM comes, the target itself says: it refuses the offer.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from radics_mesh.vmm import architecture
from radics_mesh.vmm.handoff_messages import VERSION, Terms

_GUESTS_VERSION = 1


def guests_here() -> list[object]:
    """For this node's own record."""
    found = [a.name for a in architecture.ALL.values() if shutil.which(a.binary)]
    return [_GUESTS_VERSION, VERSION, sorted(found)]


def why_not(body: Mapping[str, object], terms: Terms, *, unasked: bool) -> str | None:
    """Why the node cannot take the VM, to follow its name; None: nothing speaks against it.

    `unasked`: it will not be asked first, so that its free memory counts as well.
    """
    guests = body.get("guests")
    if guests is None:
        # A record without this and that is no node's that hosts VMs, but a test's or a relay's.
        return "runs a version of RaDiCS that takes no VM from this one" if "arch" in body else None
    if not isinstance(guests, list) or len(guests) < 3 or not isinstance(guests[2], list):
        return "does not say which guests it takes"
    if guests[1] != VERSION:
        return "runs another version of RaDiCS, which takes no VM from this one"
    if terms.arch not in guests[2]:
        return f"has no QEMU for {terms.arch} guests"
    every, free = _number(body.get("memory")), _number(body.get("memory_free"))
    if every is not None and terms.memory_bytes > every:
        return f"has {every >> 20} MiB for guests, and this one takes {terms.memory_bytes >> 20}"
    if unasked and free is not None and terms.memory_bytes > free:
        return f"has {free >> 20} MiB free, and this VM takes {terms.memory_bytes >> 20}"
    return None


def _number(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
