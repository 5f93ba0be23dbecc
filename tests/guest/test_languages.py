"""Programs in other languages than C++: what their runtimes need, and the same errand in each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.languages import rust
from tests.guest.channel_host import Host, journey
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World

LANGUAGES = Path(__file__).parent / "languages"
CHECKOUT = Path(__file__).parents[2]
EXAMPLES = CHECKOUT / "examples"

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("languages")

    @cache
    def build(source: Path, arch: str = "x86_64") -> Path:
        output = folder / f"{source.name}.{arch}.img"
        return build_image([source], output, arch=arch, name=source.name).output

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


# Rust comes from its own installer, and no part of RaDiCS needs it.
without_rust = pytest.mark.skipif(shutil.which("rustc") is None, reason="no rustc on this machine")


def rust_targets() -> set[str]:
    return {arch for arch in ("x86_64", "aarch64") if rust.target(arch)}


RUST = pytest.param("errand.rs", marks=without_rust)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", ["errand.go", "errand.py", RUST])
def test_an_errand(image: Build, name: str, arch: str) -> None:
    if name.endswith(".rs") and arch not in rust_targets():
        pytest.skip(f"rustc on this machine has no standard library for {arch}")
    world = World()
    with Host(
        image(LANGUAGES / name, arch),
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


# --- the examples ---


def test_the_go_example_over_a_move(image: Build) -> None:
    world = World()
    with journey(image(EXAMPLES / "relay.go"), world, args=("relay", "dtn://base/x")) as go:
        first = go()
        text = first.until_subscribed("text")
        for n in range(15):
            world.publish(text, b"x" * n)
        first.until(lambda: bool(world.served) and bool(world.sent))
        second = go()
        for n in range(15, 25):
            world.publish(text, b"x" * (n if n < 20 else 5))
        second.until(lambda: len(world.sent) == 2)
        world.publish(next(iter(world.served)), b"?", sender="dtn://vm.a/~1", to="longest")
        second.until(lambda: len(world.sent) == 3)
        world.publish(text, b"", end=True)
        second.finish()
    assert world.stdout == b"25 lines; longest: " + b"x" * 19 + b"\n"
    assert ("dtn://vm.a/~1", b"x" * 19) in world.sent
    assert ("dtn://base/x", b"x" * 19) in world.sent


def test_the_python_example_over_a_move(image: Build) -> None:
    world = World()
    with journey(image(EXAMPLES / "watch.py"), world, args=("watch", "dtn://base/alarms")) as go:
        first = go()
        weather = first.until_subscribed("weather")
        for celsius in (20, 21, 22, 30):
            world.publish(weather, b'{"station": "roof", "celsius": %d}' % celsius)
        world.publish(weather, b"nonsense")
        first.until(lambda: bool(world.sent))
        second = go()
        second.until_ready()
        service = next(iter(world.served))
        world.publish(service, b"", sender="dtn://vm.a/~1", to="means")
        second.until(lambda: len(world.sent) == 2)
        world.publish(weather, b'{"station": "roof", "celsius": 0}')
        world.publish(weather, b"", end=True)
        second.finish()
    assert world.stdout == b"roof: 5 readings, mean 18.60\n"
    assert [to for to, _ in world.sent] == [
        *("dtn://base/alarms", "dtn://vm.a/~1"),
        "dtn://base/alarms",
    ]
    assert b'"host": "host1"' in world.sent[2][1]
    assert world.sent[1][1] in (b'{"roof": 21.0}', b'{"roof": 23.25}')


def test_the_c_example_over_a_move(image: Build) -> None:
    world = World()
    with journey(
        image(EXAMPLES / "beacon.c"), world, args=("beacon", "dtn://base/x", "0.05")
    ) as go:
        go().until(lambda: len(world.sent) > 1)
        second = go()
        second.until(lambda: world.sent[-1][1].endswith(b" on host1"))
        world.publish(0, b"text")
        second.until(lambda: bool(world.hints))
        world.publish(0, b"")
        second.finish()
    assert world.hints == [(1, "text")]
    assert [text.split()[1] for _, text in world.sent] == [
        b"%d" % (n + 1) for n in range(len(world.sent))
    ]
    assert world.stdout == b"%d beats\n" % len(world.sent)


@without_rust
def test_the_rust_example_over_a_move(image: Build) -> None:
    world = World()
    with journey(image(EXAMPLES / "echo.rs"), world) as go:
        first = go()
        first.until(lambda: bool(world.served))
        [service] = world.served
        world.publish(service, b"hey", sender="dtn://vm.a/~1", to="shout")
        first.until(lambda: bool(world.sent))
        second = go()
        world.publish(service, b"stop", sender="dtn://vm.a/~2", to="shout")
        second.finish()
    assert world.stdout == b"vm listens at dtn://vm/shout\nasked 2 times\n"
    assert world.sent == [
        ("dtn://vm.a/~1", b"HEY (1, on host0)"),
        ("dtn://vm.a/~2", b"STOP (2, on host1)"),
    ]


# --- Java ---


@pytest.mark.skipif(
    not (CHECKOUT / ".cache" / "sysroot" / "java-x86_64").is_dir(),
    reason="OpenJDK (120 MB) is not in the cache; build examples/Tally.java puts it there",
)
def test_the_java_example_over_a_move(image: Build) -> None:
    world = World()
    with journey(
        image(EXAMPLES / "Tally.java"), world, memory_mb=96, args=("tally", "dtn://base/x")
    ) as go:
        first = go()
        text = first.until_subscribed("text")
        for line in (b"a b c", b"b", b"a"):
            world.publish(text, line)
        first.until(lambda: bool(world.served) and world.done.get(text) == 3)
        second = go()
        second.until_ready()
        [service] = world.served
        world.publish(service, b"a", sender="dtn://vm.a/~1", to="count")
        second.until(lambda: bool(world.sent))
        world.publish(text, b"c")
        world.publish(text, b"", end=True)
        second.finish()
    assert world.sent == [("dtn://vm.a/~1", b"2 on host1"), ("dtn://base/x", b"{a=2, b=1, c=1}")]
    assert world.stdout == b"{a=2, b=1, c=1}\n"
    assert world.exit == (0, 0, "")


# --- what build says ---


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.c", '#include <stdio.h>\nint main(void) { puts("hello"); }'),
        ("a.go", 'package main\nfunc main() { println("hello") }'),
        ("a.py", 'import json, random, threading\nprint("hello")'),
    ],
)
def test_the_memory_that_it_takes_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    monkeypatch.chdir(tmp_path)  # some languages' tools run elsewhere; these names are from here
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / name).write_text(source)
    report = build_image([Path("there", name)], Path("a.img"), arch="x86_64")
    assert run_plain(tmp_path / "a.img", report.memory_bytes >> 20).stdout == b"hello\n"
    assert report.memory_bytes < report.image_bytes + (10 << 20)


# --- Rust ---


@without_rust
def test_rusts_runtime(tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text(
        """\
use std::{panic, sync::mpsc, thread};
fn main() {
    let (to, from) = mpsc::channel();
    for i in 0..4 {
        let to = to.clone();
        thread::spawn(move || (0..100).for_each(|n| to.send(i * 100 + n).unwrap()));
    }
    drop(to);
    println!("{}", from.iter().sum::<i32>());
    println!("{}", panic::catch_unwind(|| panic!("caught")).is_err());
    let few = vec![1];
    println!("{}", few[std::env::args().count()]);
}
"""
    )
    build_image([tmp_path / "a.rs"], tmp_path / "a.img", arch="x86_64")
    done = run_plain(tmp_path / "a.img", 16)
    assert b"79800\n" in done.stdout
    assert b"caught" in done.stdout
    assert b"true\n" in done.stdout
    assert b"the len is 1 but the index is 1" in done.stdout
    assert done.returncode == plain_status(101)


# --- Go ---


@pytest.mark.parametrize(("arch", "memory_mb"), [("x86_64", 16), ("x86_64", 64), ("aarch64", 24)])
def test_gos_runtime(image: Build, arch: str, memory_mb: int) -> None:
    done = run_plain(image(LANGUAGES / "runtime.go", arch), memory_mb)
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


# --- Python ---

RUNTIME_PY = """\
['runtime.py'] (3, 11) ['/app', '/lib/python3.11'] __main__
{"a": [1, 2.5, null]} axc 841
b'\\x07\\x00\\x00\\x00' [('a', 2)] 891568578
True 2d711642
0.125 2020-01-02
threads 250 True
slept worked
kept ['__pycache__', 'radics_asyncio.py', 'runtime.py', 'runtime.pyc'] runtime.pyc
radics: fork is not possible in a RaDiCS guest: one program a VM
[Errno 38] Function not implemented
no memory for that
Traceback (most recent call last):
  File "/app/runtime.py", line 81, in <module>
    fail()
  File "/app/runtime.py", line 78, in fail
    raise ValueError("no")
ValueError: no
"""


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_pythons_runtime(image: Build, arch: str) -> None:
    done = run_plain(image(LANGUAGES / "runtime.py", arch))
    assert done.stdout.decode() == RUNTIME_PY
    assert done.returncode == plain_status(1)


def build_python(folder: Path, *flags: str, **sources: str) -> list[str]:
    """What `build` says meanwhile."""
    said: list[str] = []
    for name, text in sources.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    build_image(
        [folder / "app.py"], folder / "app.img", flags=flags, arch="x86_64", on_progress=said.append
    )
    return said


def test_a_program_of_several_modules(tmp_path: Path) -> None:
    build_python(
        tmp_path,
        "by_name",
        app="import kit.tool, importlib\nprint(kit.tool.answer())\n"
        "print(importlib.import_module('by_name').word)\n",
        by_name="word = 'named'\n",
        unused="import numpy\n",
        **{
            "kit/__init__": "",
            "kit/tool": "from . import part\nfrom .part import half\n"
            "def answer(): return half + part.half\n",
            "kit/part": "half = 21\n",
        },
    )
    done = run_plain(tmp_path / "app.img", 16)
    assert (done.stdout, done.returncode) == (b"42\nnamed\n", plain_status(0))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os\nimport numpy", "app.py:2 imports numpy, and there is no such module"),
        ("import mmap", "app.py:1 imports mmap, a shared object; a guest's Python is static"),
        ("import sqlite3", "dbapi2.py:27 imports _sqlite3, a shared object"),
        ("import", "reading app.py failed"),
    ],
)
def test_what_a_guests_python_cannot_have(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_python(tmp_path, app=source)
    assert not (tmp_path / "app.img").exists()


def test_imports_that_may_fail_are_no_error(tmp_path: Path) -> None:
    said = build_python(
        tmp_path,
        app="try:\n    import numpy\nexcept ImportError:\n    numpy = None\n"
        "import socket\n"
        "def never():\n    import sqlite3\n"
        "print(numpy)\n"
        "try:\n    socket.socket()\nexcept OSError as error:\n    print(error)\n",
    )
    assert "warning: app.py imports socket: there are no sockets in a guest" in said
    done = run_plain(tmp_path / "app.img")
    assert done.stdout.startswith(b"None\nradics: sockets are not possible in a RaDiCS guest")
    assert b"\n[Errno " in done.stdout


# --- what build refuses ---


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('package main\nimport "C"\nfunc main() {}', "a.go imports C; a guest's Go is without cgo"),
        ("package other", "package other is no main package"),
        ("package main\nfunc main() { x }", "compiling a.go failed"),
    ],
)
def test_go_that_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "a.go").write_text(source)
    with pytest.raises(UsageError, match=message):
        build_image([tmp_path / "a.go"], tmp_path / "a.img", arch="x86_64")


def test_a_folder_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match="built only if it holds a Go package"):
        build_image([tmp_path / "x"], tmp_path / "x.img", arch="x86_64")


def test_a_folder_of_go_files_without_a_module(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_text("package main\nfunc main() { println(answer) }\n")
    (tmp_path / "b.go").write_text("package main\nconst answer = 42\n")
    (tmp_path / "b_test.go").write_text("package main\nthis is no program\n")
    build_image([tmp_path], tmp_path / "x.img", arch="x86_64")
    assert run_plain(tmp_path / "x.img").stdout == b"42\n"


def test_a_go_module_of_several_packages(tmp_path: Path) -> None:
    for name, text in {
        "go.mod": "module example.org/app\n\ngo 1.19\n",
        "main.go": 'package main\nimport ("example.org/app/part"; "net"; "radics")\n'
        'func main() { println(part.Answer, radics.ABI()); net.Listen("tcp", ":1") }',
        "part/part.go": "package part\nconst Answer = 42\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    said: list[str] = []
    build_image([tmp_path], tmp_path / "x.img", arch="x86_64", on_progress=said.append)
    assert any(line.endswith("imports net: there are no sockets in a guest") for line in said)
    assert run_plain(tmp_path / "x.img").stdout.startswith(b"42 1.2\n")
