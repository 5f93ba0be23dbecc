"""Control groups of the kernel's own, version 2, where there are any that may be written.

Each test makes a group of its own and runs the node's part in a process in there, as a node's
service would be. What a machine does not offer is said in the reason for the skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from radics_mesh.vmm import cgroup
from radics_mesh.vmm.cgroup import Groups
from tests.patience import PATIENCE_S

MEMORY_BYTES = 32 << 20
# It ends once it has been held to less than it wanted.
SPINS = """
import os, sys, time
sys.stdin.readline()
while True:
    for _ in range(100_000):
        pass
    with open(sys.argv[1]) as stat:
        if any(line.split()[0] == "nr_throttled" and int(line.split()[1]) > 2 for line in stat):
            print("throttled", flush=True)
            break
"""
GROWS = """
import sys
sys.stdin.readline()
print(len(b"x" * int(sys.argv[1])), flush=True)
"""
# Started in the group that is to be divided: whether it may be, and what of it.
NODE = """
import sys
from radics_mesh.vmm.cgroup import Groups
made = Groups.here()
print(made is not None and " ".join(sorted(made._controllers)), flush=True)
sys.stdin.readline()
for line in sys.stdin:
    pid, memory_bytes, share = line.split()
    print(made.enclose(int(pid), int(memory_bytes), float(share)), flush=True)
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A new group below this process's own, with what is offered there."""
    own = cgroup._own()
    if own is None:
        pytest.skip("no control groups of version 2 are mounted here")
    path = own[0] / f"radics-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group may be made here: {error}")
    yield path
    for folder in sorted(path.rglob("*/"), reverse=True):
        folder.rmdir()
    path.rmdir()


@pytest.fixture
def limits(group: Path) -> Path:
    offered = set((group / "cgroup.controllers").read_text().split())
    if missing := {"cpu", "memory"} - offered:
        pytest.skip(f"the kernel offers no {' and no '.join(sorted(missing))} controller here")
    return group


class Child:
    """A program that waits for a line before it does anything."""

    def __init__(self, program: str, *words: str, within: Path | None = None) -> None:
        join = f"echo 0 > {within}/cgroup.procs; " if within else ""
        command = ["sh", "-c", f'{join}exec "$@"', "sh", sys.executable, "-c", program, *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


def groups_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def test_each_process_is_in_a_group_of_its_own_until_it_ends(group: Path) -> None:
    made = Groups(group, frozenset())
    with Child(GROWS, "1") as one, Child(GROWS, "1") as other:
        for child in (one, other):
            assert made.enclose(child.process.pid, MEMORY_BYTES, 0.5) is False  # nothing limits it
        names = [f"radics-qemu-{child.process.pid}" for child in (one, other)]
        assert [groups_of(child.process.pid).split("/")[-1] for child in (one, other)] == names
        made.sweep()
        assert sorted(path.name for path in group.iterdir() if path.is_dir()) == sorted(names)
        one.tell("")
        assert one.says() == "1"
        one.process.communicate(timeout=PATIENCE_S)
        made.sweep()
        assert [path.name for path in group.iterdir() if path.is_dir()] == names[1:]
    made.sweep()
    assert not any(path.is_dir() for path in group.iterdir())


def test_one_that_is_gone_gets_none(group: Path) -> None:
    with Child(GROWS, "1") as child:
        child.tell("")
        child.process.communicate(timeout=PATIENCE_S)
        assert Groups(group, frozenset()).enclose(child.process.pid, MEMORY_BYTES, 0) is False


def test_a_node_that_is_offered_no_controller_makes_no_groups(group: Path) -> None:
    if {"cpu", "memory"} & set((group / "cgroup.controllers").read_text().split()):
        pytest.skip("the kernel offers controllers here")
    with Child(NODE, within=group) as node:
        assert node.says() == "False"


def test_a_share_and_an_amount_of_memory_are_kept_to(limits: Path) -> None:
    with Child(NODE, within=limits) as node:
        assert node.says() == "cpu memory"
        assert groups_of(node.process.pid).endswith("radics-node")
        node.tell("")
        stat = f"{limits}/radics-qemu-{{}}/cpu.stat"
        with Child(
            "import os, sys; sys.argv[1] = sys.argv[1].format(os.getpid())" + SPINS, stat
        ) as it:
            node.tell(f"{it.process.pid} {MEMORY_BYTES} 0.1")
            assert node.says() == "True"
            it.tell("")
            assert it.says() == "throttled"
        most = cgroup._OWN_BYTES + MEMORY_BYTES
        with Child(GROWS, str(most + (64 << 20))) as greedy, Child(GROWS, "1000") as modest:
            for child in (greedy, modest):
                node.tell(f"{child.process.pid} {MEMORY_BYTES} 0")
                assert node.says() == "True"
            modest.tell("")
            assert modest.says() == "1000"
            greedy.tell("")
            greedy.says()  # unless the kernel ends it; where there is swap it need not
            events = limits / f"radics-qemu-{greedy.process.pid}" / "memory.events"
            counts = dict(line.split() for line in events.read_text().splitlines())
            assert int(counts["max"]) > 0
