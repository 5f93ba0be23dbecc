"""What a node answers, as short cells of text: one wording for the command line and the screen.

Everything that reaches a terminal goes through `printable` first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from radics_mesh.control_shapes.bundles import BundleCounts, BundleRow
from radics_mesh.control_shapes.contacts import ContactRow
from radics_mesh.control_shapes.directory import FactRow, ServiceRow
from radics_mesh.control_shapes.mesh import EventRow, KnockRow, NodeInfo, NodeRow, SourceRow
from radics_mesh.control_shapes.vms import VmRow
from radics_mesh.wording import duration as duration
from radics_mesh.wording import memory as memory
from radics_mesh.wording import printable as printable
from radics_mesh.wording import size as size

Row = list[str]


def round_trip(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def clock_time(moment: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


NODE_COLUMNS = ["NODE", "ID", "LINK", "STATE", "LOAD", "CORES", "FREE", "VMS", "SEEN"]


def node_row(row: NodeRow) -> Row:
    if row["self"]:
        link = "this node"
    elif row["connected"]:
        link = round_trip(row["rtt_s"])
    else:
        link = "no link"
    return [
        printable(row["name"]),
        printable(row["id"][:8]),
        link,
        _standing(row),
        f"{row['load'] * 100:.0f} %",
        f"{row['cores']:g}",
        memory(row["memory_free"]),
        str(row["vms"]),
        _seen(row["age_s"], row["stale"]),
    ]


def _standing(row: NodeRow) -> str:
    """As its failure detector sees it; since when, unless it is there."""
    if row["state"] is None or row["state_for_s"] is None:
        return "-"
    if row["state"] == "alive":
        return "alive"
    return f"{row['state']} {duration(row['state_for_s'])}"


def _checkpoints(row: VmRow) -> str:
    """How often, and for how long the last one stopped it."""
    kept = row["checkpoints"]
    if kept is None or not (kept["every_s"] or kept["commit_output"]):
        return ""
    often = f"every {kept['every_s']:g} s" if kept["every_s"] else "as it speaks"
    paused = "" if kept["pause_s"] is None else f", the last took {kept['pause_s'] * 1000:.0f} ms"
    return f"checkpoints {often}{paused}"


def _choices(row: VmRow) -> str:
    """What its user wants of it, other than usual."""
    policy = row["policy"] or "at-most-one"
    choices = ["pinned" if row["pinned"] else "", "" if policy == "at-most-one" else policy]
    return ", ".join(filter(None, [*choices, _checkpoints(row)]))


VM_COLUMNS = ["VM", "STATE", "NODE", "EPOCH", "MEMORY", "SOURCES", "IN", "MOVES", "UP", "NOTE"]


def vm_row(row: VmRow) -> Row:
    state = row["state"]
    if row["moved_share"] is not None:
        state = f"{state} {row['moved_share'] * 100:.0f} %"
    if row["status"] is not None:
        state = f"{state} ({row['status']})"
    return [
        printable(row["name"]),
        printable(state),
        printable(row["node"]),
        str(row["epoch"]),
        memory(row["memory"]),
        printable(", ".join(row["sources"])) or "-",
        f"{size(row['rate'])}/s",
        str(row["moves"]),
        duration(row["uptime_s"]),
        printable(row["note"] or _choices(row)),
    ]


SOURCE_COLUMNS = ["SOURCE", "PUBLISHER", "RATE", "MESSAGES", "SUBSCRIBERS", "SEEN"]


def source_row(row: SourceRow) -> Row:
    return [
        printable(row["name"]),
        printable(row["publisher"]) + (" (here)" if row["local"] else ""),
        "-" if row["rate"] is None else f"{size(row['rate'])}/s",
        _count(row["messages"]),
        _count(row["subscribers"]),
        _seen(row["age_s"], row["stale"]),
    ]


SERVICE_COLUMNS = ["SERVICE", "NODE", "VM", "ENDPOINT", "SEEN"]


def service_row(row: ServiceRow) -> Row:
    return [
        printable(row["name"]),
        printable(row["node"]) + (" (here)" if row["local"] else ""),
        printable(row["vm"]) or "-",
        printable(row["endpoint"]),
        _seen(row["age_s"], row["stale"]),
    ]


FACT_COLUMNS = ["KIND", "NAME", "NODE", "WHAT", "SEEN"]


def fact_row(row: FactRow) -> Row:
    return [
        printable(row["kind"]),
        printable(row["subject"]),
        printable(row["publisher"]),
        printable(row["what"]) or "-",
        _seen(row["age_s"], row["stale"]),
    ]


def change_line(at: float, change: str, fact: FactRow) -> str:
    what = f"  {printable(fact['what'])}" if fact["what"] else ""
    which = f"{printable(fact['subject'])}  {printable(fact['publisher'])}"
    return f"{clock_time(at)}  {change:<9}  {which}{what}  {_seen(fact['age_s'], fact['stale'])}"


BUNDLE_COLUMNS = ["BUNDLE", "TO", "SIZE", "AGE", "EXPIRES", "STATE"]


def bundle_row(row: BundleRow) -> Row:
    return [
        printable(row["id"]),
        printable(row["destination"]),
        size(row["payload_bytes"]),
        duration(row["age_s"]),
        duration(row["expires_in_s"]),
        printable(row["state"]),
    ]


CONTACT_COLUMNS = [
    *("NODE", "STATE", "SINCE", "IN", "OUT", "IN/s", "OUT/s", "RTT", "BUNDLES OUT", "ADDRESS"),
]


def contact_row(row: ContactRow) -> Row:
    since = "-" if row["since"] is None else duration(abs(time.time() - row["since"]))
    return [
        printable(row["node"]),
        printable(row["state"]),
        since,
        size(row["bytes_in"]),
        size(row["bytes_out"]),
        size(row["rate_in"]),
        size(row["rate_out"]),
        round_trip(row["rtt_s"]),
        str(row["bundles_out"]),
        printable(row["address"]),
    ]


KNOCK_COLUMNS = ["CODE", "NAME", "ADDRESS", "WAITS"]


def knock_row(row: KnockRow) -> Row:
    return [
        printable(row["code"]),
        printable(row["name"]),
        printable(row["address"]),
        duration(row["age_s"]),
    ]


def event_line(row: EventRow) -> str:
    mark = {"warning": "! ", "error": "!! "}.get(row["level"], "")
    return f"{clock_time(row['time'])}  {mark}{printable(row['text'])}"


def node_line(info: NodeInfo) -> str:
    """The heading of a status: which node, which mesh, since when, how much traffic."""
    return printable(
        f"{info['name']}  mesh {info['mesh'][:8]}{_key_words(info)}"
        f"  up {duration(info['uptime_s'])}"
        f"  in {size(info['bytes_in'])}  out {size(info['bytes_out'])}"
    )


def _key_words(info: NodeInfo) -> str:
    """Nothing while the mesh has the key that it was founded with."""
    if not info["key_epoch"] and info["keys_live"] == 1:
        return ""
    waits = len(info["key_waits"])
    return f"  key {info['key_epoch']}" + (f" (not yet at {waits})" if waits else "")


# What a person looks for first, zero or not; the rest follows when there is something to tell.
_HEADLINES = (("sent", "received"), ("forwarded", "delivered"))


def bundle_lines(counts: BundleCounts) -> list[str]:
    """What is stored; what came, went and was refused; then each other counter that is not zero."""
    counted = counts["counters"]
    first = f"stored {counts['stored']}, {size(counts['stored_bytes'])}"
    refused = sum(value for name, value in counted.items() if name.startswith("refused"))
    lines = [f"{first} of {size(counts['quota_bytes'])}"]
    for pair in _HEADLINES:
        lines.append(", ".join(f"{name} {counted.get(name, 0)}" for name in pair))
    lines.append(f"refused {refused}")
    told = {name for pair in _HEADLINES for name in pair}
    others = sorted(name for name, value in counted.items() if value and name not in told)
    return lines + [_counter_line(name, counted[name]) for name in others]


def _counter_line(name: str, value: int) -> str:
    shown = size(value) if "bytes" in name.split("_") else str(value)
    return f"  {printable(name)} {shown}"


def plain_table(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Left-aligned columns, two spaces apart."""
    lines = [list(columns), *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _seen(age_s: float, stale: bool) -> str:
    return f"{duration(age_s)} ago" + (" (stale)" if stale else "")


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
