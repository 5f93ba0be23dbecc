"""Images between real nodes, by the commands that people type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from radics_mesh.ids import Digest
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows
from tests.patience import PATIENCE_S

PROGRAM = """
#include <stdio.h>
int main(int count, char **words) { printf("%s runs\\n", count > 1 ? words[1] : "nothing"); }
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    (folder / "says.c").write_text(PROGRAM)
    build_image([folder / "says.c"], folder / "says.img")
    return folder / "says.img"


async def command(peer: Peer, *words: str, status: int = 0) -> str:
    """What a command prints, both streams."""
    line = [sys.executable, "-m", "radics_mesh", *words, "--state", str(peer.state)]
    done = await trio.run_process(line, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == status, done.stdout.decode()
    return done.stdout.decode()


async def shown(peer: Peer, what: str, *words: str) -> None:
    """Until a command prints this; the nodes tell each other when it suits them."""
    while what not in await command(peer, *words):  # noqa: ASYNC110 - another process knows
        await trio.sleep(0.2)


async def test_an_image_is_added_here_and_run_there(make_peer: MakePeer, image: Path) -> None:
    a, b = make_peer("A"), make_peer("B")
    digits = Digest.of(image.read_bytes()).hex()[:10]
    with trio.fail_after(PATIENCE_S):
        await a.start("--no-scheduler")
        token = (await a.call("invite"))["token"]
        await b.start("--invite", token, "--no-scheduler")
        await knows(a, "B", connected=True)
        said = await command(a, "image", "add", str(image), "--memory", "16", "greeting")
        assert "signed by  A" in said
        await shown(b, digits, "image", "ls")
        await command(b, "image", "pull", digits, "--pin")
        assert "signed by  A" in await command(b, "image", "inspect", digits)
        await command(b, "run", digits, "--name", "says")
        await shown(b, "greeting runs", "logs", "says")
        assert "16 MiB" in await command(b, "ps")
        assert "is pinned" in await command(b, "image", "rm", digits, status=1)
        await command(b, "image", "pin", "--off", digits)
        await command(b, "image", "rm", digits)
        await command(a, "image", "push", digits, "B")
        assert " here " in await command(b, "image", "ls")
        assert "no image" in await command(b, "image", "pull", "abcd12", status=1)
        await _built_there(a, b, image)


async def _built_there(a: Peer, b: Peer, image: Path) -> None:
    """Signed by its builder, who says how it is to be run; its user may say otherwise."""
    source, other = image.with_suffix(".c"), image.with_name("other.img")
    wishes = ("--argument", "hello", "--restart", "on-failure:2", "--policy", "restartable:60")
    said = await command(b, "build", str(source), "-o", str(other), "-g", *wishes)
    assert said.rstrip().endswith(", signed")
    said = await command(a, "image", "add", str(other))
    assert "signed by  B" in said
    assert "policy     restartable:60" in said
    await command(a, "run", str(other), "--name", "wished")
    assert "on-failure:2" in await command(a, "inspect", "wished")
    await shown(a, "hello runs", "logs", "wished")
    answer = await a.call("doctor", name="wished")
    assert answer["policy"] == "restartable:60"
    digits = Digest.of(other.read_bytes()).hex()[:10]
    await command(a, "run", digits, "--name", "own", "--policy", "at-most-one")
    assert (await a.call("doctor", name="own"))["policy"] == "at-most-one"
