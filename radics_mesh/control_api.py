"""What one may ask a running node over its control socket, and what the answers look like.

The table REQUESTS is the whole contract: names, parameters with their types and defaults, and
whether the answer is one mapping or a stream of them. The control server checks every request
against it before a handler sees it; the node registers one handler for each name; command line and
status screen build on the answers' shapes (radics_mesh.control_shapes). Answers hold msgpack's
types only. Ids are in text form, moments in Unix seconds, ages in seconds, and `None` means "not
known".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from radics_mesh.errors import UsageError


@dataclass(frozen=True)
class Request:
    """One row of the table. A parameter without default must be given."""

    types: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    stream: bool = False


_TEXT = (str,)
_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, type(None))
_NAMED = Request({"name": _TEXT})

REQUESTS: Mapping[str, Request] = {
    # -> Status; watch: one Status each interval_s, the first at once.
    "status": Request(),
    "watch": Request({"interval_s": _NUMBER}, {"interval_s": 1.0}, stream=True),
    # -> {"vms": [VmRow]}: this node's first, then what the directory knows.
    "ps": Request(),
    # -> {"nodes": [NodeRow]}
    "nodes": Request(),
    # `pattern`: NAME, NAME/* or *, looked up in the mesh, `limit` names behind `after`; empty: what
    # is known here of all. -> {"sources": [SourceRow], "after": str (empty: there is no more)}
    "sources": Request(
        {"pattern": _TEXT, "after": _TEXT, "limit": (int,)},
        {"pattern": "", "after": "", "limit": 100},
    ),
    # The same. -> {"services": [ServiceRow], "after": str}
    "services": Request(
        {"pattern": _TEXT, "after": _TEXT, "limit": (int,)},
        {"pattern": "", "after": "", "limit": 100},
    ),
    # Who states what of that name, of one kind or (empty) of each: here and in the mesh.
    # `pattern`: as above; with a * only sources and services are found that this node has not
    # heard of. -> {"facts": [FactRow]}
    "find": Request({"pattern": _TEXT, "kind": _TEXT}, {"kind": ""}),
    # Stream of ChangeRow: what is known of the facts that match (each "added"), then what happens.
    "changes": Request({"pattern": _TEXT, "kind": _TEXT}, {"kind": "source"}, stream=True),
    # -> {"bundles": [BundleRow], "counts": BundleCounts}
    "bundles": Request(),
    # `id`: a bundle's identity, or the end of it. -> BundleInfo; {"id": str}; BundleWhy
    "bundle": Request({"id": _TEXT}),
    "bundle_delete": Request({"id": _TEXT}),
    "bundle_why": Request({"id": _TEXT}),
    # -> {"contacts": [ContactRow]}
    "contacts": Request(),
    # -> {"peers": [PeerRow], "health": int, "counters": {name: int}, "records": {name: int}}.
    # Health: 0 is good; by each step more the node trusts its own links less.
    "peers": Request(),
    # Contact plans that routes go by, with what is not over and begins within `hours`.
    # -> {"plans": [PlanRow]}
    "plan": Request({"hours": _NUMBER}, {"hours": 24.0}),
    # In the place of the one that is in force. `file` is an absolute path. -> PlanRow
    "plan_load": Request({"file": _TEXT}),
    # Stream of SightingRow: what is told of a bundle by whoever was asked to; ends when it was
    # delivered or deleted.
    "track": Request({"id": _TEXT}, stream=True),
    # The same so far, in the order of what happened. -> {"id": str, "sightings": [SightingRow]}
    "path": Request({"id": _TEXT}),
    # Stream of EventRow, oldest first; follow: new ones as they come.
    "events": Request({"follow": (bool,)}, {"follow": False}, stream=True),
    # -> {"knocks": [KnockRow]}
    "knocks": Request(),
    # `roles`, none: as this node has; `owner`, empty: its own. -> {"name": str, "id": str}
    "approve": Request(
        {"code": _TEXT, "roles": (list,), "owner": _TEXT}, {"roles": [], "owner": ""}
    ),
    # The same. -> {"token": str, "uses": int, "expires": Unix s, "addresses": ["host:port"]}
    "invite": Request(
        {"uses": (int,), "hours": _NUMBER, "roles": (list,), "owner": _TEXT},
        {"uses": 1, "hours": 24.0, "roles": [], "owner": ""},
    ),
    # -> {"members": [MemberRow]}
    "members": Request(),
    # `node`: a name, an id or its start. -> {"member": MemberRow, "news": whether it was none yet},
    # once that is durable here
    "revoke": Request({"node": _TEXT, "reason": _TEXT}, {"reason": ""}),
    # Another mesh key, once it is durable here; the one before ends when all have confirmed it, at
    # the latest after `overlap_s`. -> {"epoch": int, "key": hex of its id, "overlap_s": int,
    # "waiting": [names of members that have not confirmed it]}
    "rotate": Request({"overlap_s": _NUMBER}, {"overlap_s": 3600}),
    # `image` is an absolute path, or an image's digest in hex or the first digits. What is not said
    # (no memory, arguments, sources) is as the image's manifest says. -> {"vm": VmRow}
    "run": Request(
        {
            "image": _TEXT,
            "name": _TEXT,
            "sources": (list,),
            "memory_bytes": (int,),
            "pin": (bool,),
            "arguments": (list,),
            # "K=V" each.
            "environment": (list,),
            # Its descriptor 0 reads what `feed` gives; else it is at its end.
            "stdin": (bool,),
            # See CheckpointsRow.
            "checkpoint_every_s": _NUMBER,
            "commit_output": (bool,),
            # See VmInspection; empty, as the policy: what the image says, else no.
            "restart": _TEXT,
            "cpu_percent": (int,),
            "messages_s": (int,),
            "storage_bytes": (int,),
            # at-most-one, restartable[:SECONDS]; names or ids of nodes that keep its checkpoints.
            "policy": _TEXT,
            "keep_at": (list,),
            # Of a replicated one: on so many nodes.
            "count": (int,),
        },
        {
            "sources": [],
            "memory_bytes": 0,
            "pin": False,
            "arguments": [],
            "environment": [],
            "stdin": False,
            "checkpoint_every_s": 0.0,
            "commit_output": False,
            "restart": "",
            "cpu_percent": 0,
            "messages_s": 0,
            "storage_bytes": 0,
            "policy": "",
            "keep_at": [],
            "count": 1,
        },
    ),
    # -> {"name": str}, once it is durable; waits while the VM's program reads nothing.
    "feed": Request({"name": _TEXT, "data": (bytes,), "end": (bool,)}, {"end": False}),
    # -> {"snapshots": [SnapshotRow], "used": bytes, "quota": bytes}
    "snapshots": Request(),
    # `snapshot`: digest in hex or its first digits, or a VM's name.
    # -> {"snapshot": SnapshotRow, "freed": bytes}
    "snapshot_rm": Request({"snapshot": _TEXT}),
    # All of them when none is named. -> {"verdicts": [{"snapshot": SnapshotRow, "damage": [str]}]}
    "snapshot_verify": Request({"snapshot": _TEXT}, {"snapshot": ""}),
    # `file` is an absolute path. -> {"snapshot": SnapshotRow, "bytes": int}
    "snapshot_export": Request({"snapshot": _TEXT, "file": _TEXT}),
    # -> {"snapshot": SnapshotRow, "mended": whether a VM here goes on from it}
    "snapshot_import": Request({"file": _TEXT}),
    # -> {"images": [ImageRow], "used": bytes, "quota": bytes}
    "images": Request(),
    # `image` is its digest in hex or the first digits. -> ImageInfo
    "image": Request({"image": _TEXT}),
    # `file` is an absolute path. With nothing wished, what its builder signed is kept, if that lies
    # beside it. -> ImageInfo
    "image_add": Request(
        {
            "file": _TEXT,
            "name": _TEXT,
            "memory_bytes": (int,),
            "arguments": (list,),
            "sources": (list,),
            "restart": _TEXT,
            "policy": _TEXT,
            "pin": (bool,),
        },
        {
            "name": "",
            "memory_bytes": 0,
            "arguments": [],
            "sources": [],
            "restart": "",
            "policy": "",
            "pin": False,
        },
    ),
    # -> {"image": hex}; pull and push return when it is there.
    "image_rm": Request({"image": _TEXT}),
    "image_pin": Request({"image": _TEXT, "pinned": (bool,)}, {"pinned": True}),
    "image_pull": Request({"image": _TEXT, "pin": (bool,)}, {"pin": False}),
    "image_push": Request({"image": _TEXT, "to": _TEXT, "pin": (bool,)}, {"pin": False}),
    # Stream of {"data": bytes}: the guest's output, from what is kept of it on.
    "logs": Request({"name": _TEXT, "follow": (bool,)}, {"follow": False}, stream=True),
    # -> {"name": str, "threads": [[str]]}: for each thread a line about it, and its callers.
    "stack": _NAMED,
    # -> {"name": str, "image": str, "snapshot": str}: the files of a VM that is saved here.
    "saved": _NAMED,
    # -> {"vm": VmRow}
    "stop": _NAMED,
    "kill": _NAMED,
    # -> VmInspection
    "inspect": _NAMED,
    "save": _NAMED,
    "resume": _NAMED,
    # None: one now; else so often from now on, 0 not any more. -> {"name": str,
    # "checkpoints": CheckpointsRow}
    "checkpoint": Request({"name": _TEXT, "every_s": _MAYBE_NUMBER}, {"every_s": None}),
    # -> Moved
    "migrate": Request(
        {
            "name": _TEXT,
            # One of the two: a node, or the source whose publisher it is.
            "to": _TEXT,
            "near": _TEXT,
            "one_way": (bool,),
            # Bytes a second at most, and how long an answer may take; None: as configured, as ever.
            "limit": _MAYBE_NUMBER,
            "patience_s": _MAYBE_NUMBER,
        },
        {"to": "", "near": "", "one_way": False, "limit": None, "patience_s": None},
    ),
    # Give up the move that is under way. -> {"vm": VmRow}
    "migrate_cancel": _NAMED,
    # Stream of Progress while the VM moves away.
    "progress": Request({"name": _TEXT}, stream=True),
    # Bundles as files in the directory with this absolute path; `to`: nodes' names, none: for all.
    # -> Outward, Inward, {"id": str, "name": str}
    "carry_out": Request({"directory": _TEXT, "to": (list,)}, {"to": []}),
    "carry_in": Request({"directory": _TEXT}),
    "carry_card": Request({"directory": _TEXT}),
    # One way, all of it onto the stick. `key`: the target's public key in hex, else its card's.
    # -> {"moved": Moved, "carried": Outward}
    "migrate_via": Request(
        {"name": _TEXT, "to": _TEXT, "directory": _TEXT, "key": _TEXT}, {"key": ""}
    ),
    # -> {"name", "id", "holder", "epoch", "how", "policy", "state", "heard_s" (None: never),
    # "open": [str], "states": [StateRow], "ways": [str]}
    "doctor": _NAMED,
    # Without `force` an error that says what it would lose. `snapshot`: how its digest begins;
    # empty: the latest. -> {"vm": VmRow, "lost": [str]}
    "recover": Request(
        {"name": _TEXT, "force": (bool,), "snapshot": _TEXT}, {"force": False, "snapshot": ""}
    ),
    # As for run. -> {"vm": VmRow}
    "policy": Request({"name": _TEXT, "policy": _TEXT, "keep_at": (list,)}, {"keep_at": []}),
    # -> {"name": str, "snapshot": str}
    "discard": Request({"name": _TEXT, "snapshot": _TEXT}),
    # -> Whereabouts
    "where": _NAMED,
    # -> {"name": str, "lines": [str]}: the last decision with its cost terms.
    "why": _NAMED,
    # `file` is an absolute path, `rate` messages a second. -> {"source": SourceRow}
    "publish": Request({"name": _TEXT, "file": _TEXT, "rate": _MAYBE_NUMBER}, {"rate": None}),
    # Withdraws it, and forgets its subscribers. -> {"name": str}
    "unpublish": _NAMED,
    # `destination`: an EID, or NAME/SERVICE with a node's name or id or a VM's name.
    # -> {"id": str}, once durable
    # The payload is in the request, or in the `file` with this absolute path. `report`: on which
    # things, as in SightingRow; `priority`: as in BundleInfo.
    "send": Request(
        {
            "destination": _TEXT,
            "payload": (bytes,),
            "file": _TEXT,
            "lifetime_s": (int, type(None)),
            "custody": (bool,),
            "report": (list,),
            # Only the destination node can read it; an error where its key is not known.
            "encrypt": (bool,),
            "priority": _TEXT,
        },
        {
            "payload": b"",
            "file": "",
            "lifetime_s": None,
            "custody": False,
            "report": [],
            "encrypt": False,
            "priority": "normal",
        },
    ),
    # Stream of {"number", "id", "rtt_s" (None: no echo in time), "bytes", "intact", "from"}.
    "ping": Request(
        {
            "destination": _TEXT,
            "count": (int,),
            "interval_s": _NUMBER,
            "timeout_s": _NUMBER,
            "size": (int,),
        },
        {"count": 5, "interval_s": 1.0, "timeout_s": 60.0, "size": 56},
        stream=True,
    ),
    # As send, and waits for the reply. -> Received; an error after `timeout_s`.
    "request": Request(
        {"destination": _TEXT, "payload": (bytes,), "timeout_s": _NUMBER}, {"timeout_s": 60.0}
    ),
    # Stream of Received; ends after `count`, None: never.
    "recv": Request(
        {"service": _TEXT, "count": (int, type(None))},
        {"count": None},
        stream=True,
    ),
}


def checked(name: str, params: object) -> dict[str, Any]:
    """The parameters of a request, complete and of the right types; UsageError otherwise."""
    request = REQUESTS.get(name)
    if request is None:
        raise UsageError(f"this node knows no request {name[:40]!r}; are both of one version?")
    if not isinstance(params, dict):
        raise UsageError(f"{name}: parameters must be a mapping")
    unknown = sorted(str(key) for key in params if key not in request.types)
    if unknown:
        raise UsageError(f"{name}: unknown parameter {unknown[0][:40]!r}")
    complete = {**request.defaults, **params}
    for key, types in request.types.items():
        if key not in complete:
            raise UsageError(f"{name}: parameter {key!r} is missing")
        if not _is_one_of(complete[key], types):
            raise UsageError(f"{name}: {key} must not be {repr(complete[key])[:40]}")
    return complete


def _is_one_of(value: object, types: tuple[type, ...]) -> bool:
    """isinstance, but True is no number, nor NaN or infinity, and a list is a list of texts."""
    if isinstance(value, bool) and bool not in types:
        return False
    if isinstance(value, list):
        return list in types and all(isinstance(item, str) for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, types)
