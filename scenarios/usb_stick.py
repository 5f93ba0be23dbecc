"""A VM goes from A to B in a directory, one trip, while A and B are never connected.

Each of the two runs in a network namespace of its own, in which there is nothing but a loopback
interface. Both are members of one mesh: a third peer let them in, one while the other was away, and
is gone since; they have never heard of each other. What is printed are the commands as a user types
them, with what they answered. At the end the counter's lines on A and on B must be the numbers from
1 on without a gap and without one twice.

Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from radics_mesh.dtn.layers.carried import BUNDLE
from radics_mesh.errors import MeshError
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, stop_all, until

ROOT = Path(__file__).resolve().parent.parent
GIVE_UP_S = 180.0
PROGRAM = "counter"
COUNT = re.compile(r"^count (\d+) on (\S+)$", re.MULTILINE)
COUNTS_FIRST = 12
SHOWN_LINES = 4
# Root of a user namespace of its own may make network namespaces, whoever runs this.
_ALONE = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")
ALONE = (*_ALONE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


class Stage:
    """The peers, the stick, and how their commands are shown."""

    def __init__(self, directory: Path) -> None:
        self.stick = directory / "stick"
        self.first, self.a, self.b = (Peer(name, directory) for name in "FAB")
        self.image = directory / f"{PROGRAM}.img"

    @property
    def peers(self) -> tuple[Peer, Peer, Peer]:
        return self.first, self.a, self.b

    def short(self, text: str) -> str:
        return text.replace(str(self.stick), "/media/usb").replace(str(self.image), self.image.name)

    async def type(
        self, peer: Peer, *words: str, lines: slice = slice(None), refused: bool = False
    ) -> str:
        """Run a command on a peer, show it with (some of) its output, and return all of that."""
        shown = " ".join(self.short(word) for word in words)
        print(f"{peer.name}$ radics-mesh {shown}", flush=True)
        done = await trio.run_process(
            [sys.executable, "-m", "radics_mesh", *words],
            env={**os.environ, "RADICS_STATE": str(peer.state), "COLUMNS": "100"},
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode()
        self.show(text.splitlines()[lines])
        if bool(done.returncode) != refused:
            raise MeshError(f"{shown}: exit status {done.returncode}")
        return text

    def show(self, lines: list[str]) -> None:
        for line in lines:
            print(f"   {self.short(line)}", flush=True)

    async def links_of(self, peer: Peer) -> str:
        """The network interfaces that a peer's process sees."""
        print(f"{peer.name}$ ip -brief link", flush=True)
        enter = ["nsenter", "--target", str(peer.pid), "--net", "--user", "--preserve-credentials"]
        if os.geteuid() == 0:
            enter = enter[:4]
        done = await trio.run_process([*enter, "ip", "-brief", "link"], capture_stdout=True)
        self.show(done.stdout.decode().splitlines())
        return done.stdout.decode()


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


async def log_of(peer: Peer) -> str:
    parts = [item["data"] async for item in peer.client.stream("logs", name=PROGRAM)]
    return b"".join(parts).decode()


async def counted(peer: Peer, count: int) -> str:
    """The log, once it has that many counts."""

    async def enough() -> str | None:
        try:
            text = await log_of(peer)
        except MeshError:
            return None
        return text if len(COUNT.findall(text)) >= count else None

    return await until(enough)


def holds(secret: bytes, directory: Path) -> list[Path]:
    """The files in which a secret can be read."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if secret in path.read_bytes()]


async def admit(stage: Stage) -> None:
    """Make the mesh; A and B join one after the other, and the founder goes."""
    await stage.first.start("--no-scheduler")
    token = (await stage.first.call("invite", uses=2, hours=1.0))["token"]
    for peer in (stage.a, stage.b):
        near = ("--neighbours", stage.first.address, "--no-scheduler")
        await peer.start("--invite", token, *near)
        peer.stop()
    stage.first.stop()


async def act(stage: Stage) -> dict[str, bool]:
    """The whole journey; what must hold of it."""
    a, b, stick = stage.a, stage.b, str(stage.stick)
    say("A and B were let into one mesh, one while the other was away. Who did it is gone.")
    await admit(stage)
    for peer in (a, b):
        peer.within = ALONE
        peer.log.unlink()
        await peer.start("--no-scheduler")
    say("Each starts in a network namespace of its own: nothing leads from one to the other.")
    links = [await stage.links_of(peer) for peer in (a, b)]
    say("A counter runs on A, and keeps a page of random bytes in memory.")
    await stage.type(a, "run", str(stage.image), "--name", PROGRAM, "--memory", "32", "--", "250")
    secret = bytes.fromhex((await counted(a, COUNTS_FIRST)).split()[1].rstrip("."))
    await stage.type(a, "logs", PROGRAM, lines=slice(-SHOWN_LINES, None))
    say("A has never heard of B. B leaves its card on the stick.")
    await stage.type(b, "carry", "card", stick)
    say("The stick is at A. The VM is let go, and all that B needs is written.")
    await stage.type(a, "migrate", PROGRAM, "--to", "B", "--via", stick)
    await stage.type(a, "ps")
    await stage.type(a, "migrate", PROGRAM, "--to", "B", "--via", stick, refused=True)
    files = sorted(stage.stick.glob(f"*{BUNDLE}"))
    total = sum(path.stat().st_size for path in files)
    print(f"   on the stick: {len(files)} bundles, {total} bytes")
    leaks, kept = holds(secret, stage.stick), holds(secret, a.state)
    print(f"   files in which the guest's secret can be read: {len(kept)} at A, {len(leaks)} on it")
    before = await log_of(a)
    say("The stick is at B.")
    await stage.type(b, "carry", "in", stick)
    after = await counted(b, COUNTS_FIRST)
    await stage.type(b, "logs", PROGRAM, lines=slice(0, SHOWN_LINES))
    await stage.type(b, "ps")
    say("Read once more, it says nothing new. B's acknowledgement goes back on it.")
    await stage.type(b, "carry", "in", stick)
    await stage.type(b, "carry", "out", stick)
    say("The stick is at A again.")
    await stage.type(a, "carry", "in", stick)
    await stage.type(a, "ps")
    here, there = COUNT.findall(before), COUNT.findall(after)
    numbers = [int(number) for number, _ in (*here, *there)]
    print(f"\n  counted on A: {here[0][0]} to {here[-1][0]}, on B: from {there[0][0]} on")
    logs = a.log.read_text() + b.log.read_text()
    released = (await a.vm(PROGRAM)) is None
    return {
        "no number is missing, none comes twice": numbers == list(range(1, len(numbers) + 1)),
        "its memory is what it was": "DAMAGED" not in before + after,
        "there was no interface but loopback": all(_only_loopback(text) for text in links),
        "A and B never had a session": "contact up" not in logs,
        "the secret was found at A, not on the stick": bool(kept) and not leaks,
        "A has let go of it for good": released,
    }


def _only_loopback(links: str) -> bool:
    return [line.split()[0] for line in links.splitlines() if line] == ["lo"]


async def play(directory: Path) -> bool:
    stage, checks = Stage(directory), dict[str, bool]()
    stage.stick.mkdir()
    build_image([ROOT / "examples" / f"{PROGRAM}.c"], stage.image)
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
    with tempfile.TemporaryDirectory(prefix="radics-usb-") as directory:
        return 0 if trio.run(play, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
