"""Programs in other languages than C++: what their runtimes need, and the same errand in each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_image
from tests.guest.channel_host import Host, World, plain_status, run_plain
from tests.guest.conftest import missing

LANGUAGES = Path(__file__).parent / "languages"
EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} on this machine")

Build = Callable[[Path], Path]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("languages")

    @cache
    def build(source: Path) -> Path:
        return build_image([source], folder / f"{source.name}.img").output

    return build


# --- the same errand in each language ---

MESH = (
    b"node\tlaptop\tdtn://l/\tx86_64\t8\t0.25\t123456789\t3\t0.004\t1.5\there\n"
    b"planet\tmars\n"
    b"node\tpi\tdtn://p/\taarch64\t4\t0.5\t1000\t0\t-\t2\t-\tlater\n"
    b"source\ttext\tlaptop\t2.5\n"
)
ERRAND = """\
vm dtn://vm/ here dtn://here/ 1
true 1.1 0 32
go,there blue text,more
none: true
one 5000 2
erased: true
pong from dtn://server/
in time: false
laptop x86_64 8 0.25 123456789 0.004 true
pi aarch64 4 0.5 1000 -1 false
text laptop 2.5
timer: true true
mail: false
set back: false
asked for ab at echo
read 6 and the end: true
forty-two 42 dtn://source/
too long: true
"""


@pytest.mark.parametrize("name", ["errand.go"])
def test_an_errand(image: Build, name: str) -> None:
    world = World()
    with Host(
        image(LANGUAGES / name),
        world,
        args=(name, "go", "there"),
        env=("COLOUR=blue",),
        sources=("text", "more"),
    ) as h:
        h.until(lambda: bool(world.requests))
        world.reply(world.requests[0][0], b"pong")
        h.until(lambda: any(to == ":mesh" for _, to, _, _ in world.requests))
        world.reply(world.requests[-1][0], MESH)
        h.until(lambda: bool(world.checkpoints))
        h.checkpoint = (world.checkpoints[0], 0)
        h.say_hello()
        h.until(lambda: bool(world.served))
        [service] = world.served
        world.publish(service, b"ab", sender="dtn://vm.a/~1", to="echo")
        text = h.until_subscribed("text")
        for line in (b"one", b"two"):
            world.publish(text, line)
        world.publish(text, b"", end=True)
        later = h.until_subscribed("later")
        world.messages[later] = [(0, b"never", "", "")] * 41
        world.publish(later, b"forty-two")
        h.finish()
    assert world.stdout.decode() == ERRAND
    assert world.stderr == b""
    assert world.exit == (0, 7, "")
    assert world.sent == [("dtn://vm.a/~1", b"abab"), ("dtn://base/reports", b"done")]
    assert [to for _, to, _, _ in world.requests] == ["dtn://far/x", "dtn://far/y", ":mesh"]
    assert world.hints == [(1, "text"), (2, "laptop"), (3, ""), (0, "")]
    assert (4, "on an errand") in world.logs


# --- Go ---


@pytest.mark.parametrize("memory_mb", [16, 64])
def test_gos_runtime(image: Build, memory_mb: int) -> None:
    done = run_plain(image(LANGUAGES / "runtime.go"), memory_mb)
    assert done.stdout.decode().splitlines() == [
        "sum 4950",
        "ticks true",
        "collects true",
        "piped <nil>",
        "threads 5",
        "<nil>",
        "kept <nil>",
        "true",
        "recovered true",
    ]
    assert done.returncode == plain_status(3)
