"""A data mule: A and B are never up together, and M goes to and fro between them.

Real processes on this machine. A sends with custody and asks for a report; it spreads copies
(`join --route '*=epidemic'`), so whoever comes by gets one. M comes by and takes it over, with
custody; A is switched off, M goes to B, B gets the message and gives M its report (`*=static:M`); M
goes back, and A learns that it was delivered. What is printed are the commands as a user types
them, with what they answered.

Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio

from radics_mesh.errors import MeshError
from scenarios.peers import Peer, stop_all, until

GIVE_UP_S = 240.0
TEXT = "the well is dry"


class Stage:
    """The three, and how their commands are shown."""

    def __init__(self, directory: Path) -> None:
        self.a, self.mule, self.b = (Peer(name, directory) for name in "AMB")
        self.letter = directory / "letter.txt"
        self.letter.write_text(TEXT)

    @property
    def peers(self) -> tuple[Peer, Peer, Peer]:
        return self.a, self.mule, self.b

    async def type(self, peer: Peer, *words: str) -> str:
        """Run a command on a peer, show it with its output, and return that."""
        shown = " ".join(words).replace(str(self.letter), self.letter.name)
        print(f"{peer.name}$ radics-mesh {shown}", flush=True)
        done = await trio.run_process(
            [sys.executable, "-m", "radics_mesh", *words],
            env={**os.environ, "RADICS_STATE": str(peer.state), "COLUMNS": "100"},
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode()
        for line in text.splitlines():
            print(f"   {line}", flush=True)
        if done.returncode:
            raise MeshError(f"{shown}: exit status {done.returncode}")
        return text


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


async def admit(stage: Stage) -> str:
    """M lets in A and B, one after the other; the endpoint at B that A will write to."""
    await stage.mule.start("--no-scheduler")
    token = (await stage.mule.call("invite", uses=2, hours=1.0))["token"]
    for peer in (stage.a, stage.b):
        await peer.start("--invite", token, "--neighbours", stage.mule.address, "--no-scheduler")
        if peer is stage.b:
            rows = (await peer.call("nodes"))["nodes"]
            me = next(row["id"] for row in rows if row["name"] == peer.name)
            destination = f"dtn://{me}/post"
        peer.stop()
    stage.mule.stop()
    return destination


async def rows_of(peer: Peer, destination: str) -> list[dict[str, Any]]:
    """The bundles for an endpoint that a peer holds."""
    rows: list[dict[str, Any]] = (await peer.call("bundles"))["bundles"]
    return [row for row in rows if row["destination"] == destination]


async def holds(peer: Peer, destination: str, count: int) -> None:
    async def so_many() -> bool | None:
        return True if len(await rows_of(peer, destination)) == count else None

    await until(so_many)


async def told(peer: Peer, bundle_id: str, what: str) -> None:
    """Until a report about a bundle has come."""

    async def heard() -> bool | None:
        sightings = (await peer.call("path", id=bundle_id))["sightings"]
        return True if any(row["what"] == what for row in sightings) else None

    await until(heard)


async def act(stage: Stage) -> dict[str, bool]:
    """The whole journey; what must hold of it."""
    a, mule, b = stage.a, stage.mule, stage.b
    destination = await admit(stage)
    near = ("--neighbours", mule.address, "--no-scheduler")
    say("A is alone. It writes to B, of which it knows nothing but the address.")
    await a.start(*near, "--route", "*=epidemic")
    asked = ("--custody", "--report", "delivered")
    bundle_id = (await stage.type(a, "send", destination, str(stage.letter), *asked)).strip()
    await stage.type(a, "bundles")
    say("M comes by. It takes the letter, and custody of it; A is told so, and lets go.")
    await mule.start()
    await holds(mule, destination, 1)
    await holds(a, destination, 0)
    await stage.type(mule, "bundles", "list")
    taken = (await mule.call("bundles"))["counts"]["counters"].get("custody_taken", 0)
    a.stop()
    mule.stop()
    say("A is switched off. M goes over the hills, switched off, to B, which is switched on.")
    await b.start(*near, "--route", f"*=static:{mule.name}")
    alone_at_b = await rows_of(b, destination)
    await mule.start()
    got = await stage.type(b, "recv", "post", "--count", "1", "--timeout", "60")
    await holds(mule, destination, 0)
    await holds(mule, bundle_id.partition(" ")[0], 1)
    await stage.type(mule, "bundles", "list")
    b.stop()
    say("B is switched off. M is back at A, with B's report.")
    await a.start()
    await told(a, bundle_id, "delivered")
    await stage.type(a, "bundles", "why", bundle_id)
    met_a = await _met(a)
    a.stop()
    say("Once more at B: nothing comes twice.")
    await b.start()
    await until(lambda: _in_contact(b))
    met_b = await _met(b)
    again = await rows_of(b, destination)
    return {
        "the letter reached B": got.strip() == TEXT,
        "nothing of it was at B before M came, and nothing comes again": not alone_at_b + again,
        "M had custody on the way": taken == 1,
        "A and B met M only": met_a == met_b == {mule.name},
    }


async def _met(peer: Peer) -> set[str]:
    """With whom it has had a session."""
    rows = (await peer.call("contacts"))["contacts"]
    return {row["node"] for row in rows if row["contacts"]}


async def _in_contact(peer: Peer) -> bool | None:
    return bool(await _met(peer)) or None


async def play(directory: Path) -> bool:
    stage, checks = Stage(directory), dict[str, bool]()
    try:
        with trio.move_on_after(GIVE_UP_S):
            checks = await act(stage)
    except MeshError as error:
        print(f"failed: {error}")
    finally:
        await stop_all(stage.peers)
    print()
    for name, held in checks.items():
        print(f"  {'yes' if held else 'NO '}  {name}")
    if not checks:
        for peer in stage.peers:
            print(f"--- last words of {peer.name}\n{peer.last_words()}")
    return bool(checks) and all(checks.values())


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="radics-mule-") as directory:
        return 0 if trio.run(play, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
