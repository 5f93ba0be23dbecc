"""make test-kvm: both emulated machines side by side, then a table; exit 0 only if all is good.

  .venv/bin/python -m tests.kvm [x86_64] [aarch64]

The first time fetches about 75 MB of Debian packages a machine; all stays in .cache/kvm.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import trio

from radics_mesh.errors import UsageError
from radics_mesh.vmm.accelerator import TCG
from tests.kvm import emulated, findings, programs, root
from tests.kvm.emulated import ARCHITECTURES, Prepared
from tests.kvm.findings import Finding

CACHE = root.CHECKOUT / ".cache" / "kvm"
DEADLINE_S = 780.0
_LOG_LINES = 25


def prepare(name: str) -> Prepared:
    print(f"{name}: preparing", flush=True)
    directory = CACHE / name
    (directory / root.IMAGES).mkdir(parents=True, exist_ok=True)
    return emulated.prepare(ARCHITECTURES[name], directory, trio.run(guests, directory, name))


async def guests(directory: Path, arch: str) -> dict[str, bytes]:
    """What goes into the machine's root for its guests, by name."""
    expected, files = {}, {}
    for source in (programs.TRAVELLER, *map(programs.source, programs.SAME)):
        image = programs.built(source, directory / root.IMAGES, arch)
        files[f"{root.IMAGES}/{image.name}"] = image.read_bytes()
        if source is not programs.TRAVELLER:
            expected[source.stem] = await programs.said(image, TCG)
    return {**files, root.EXPECTED: json.dumps(expected).encode()}


async def run(machine: Prepared, found: list[Finding]) -> None:
    """`found` grows while it runs; what it lacks in the end was not found in time."""
    started, name = time.monotonic(), machine.arch.name

    def tell(finding: Finding) -> None:
        found.append(finding)
        at_s = time.monotonic() - started
        good = "" if finding.good else "BAD: "
        print(f"{name}: {at_s:5.1f} s  {finding.what}: {good}{finding.detail}", flush=True)

    with trio.move_on_after(DEADLINE_S) as deadline:
        await emulated.run(machine, tell)
    if deadline.cancelled_caught:
        tell(Finding(findings.TROUBLE, False, f"it did not end in {DEADLINE_S:.0f} s"))


async def run_all(machines: Sequence[Prepared]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {machine.arch.name: [] for machine in machines}
    async with trio.open_nursery() as nursery:
        for machine in machines:
            nursery.start_soon(run, machine, found[machine.arch.name])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.kvm", description=__doc__.splitlines()[0])
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=" or ".join(ARCHITECTURES))
    names = parser.parse_args().machines or list(ARCHITECTURES)
    if unknown := [name for name in names if name not in ARCHITECTURES]:
        parser.error(f"no machine {unknown[0]!r}: {' or '.join(ARCHITECTURES)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        machines = [prepare(name) for name in names]
    except UsageError as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1
    found = trio.run(run_all, machines)
    for machine in machines:
        if not findings.is_good(found[machine.arch.name]):
            tail = machine.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            print("\n".join([f"\nThe end of {machine.log}:", *tail]))
    print(f"\n{findings.table(found)}")
    good = all(map(findings.is_good, found.values()))
    print("\nthe KVM path is good" if good else "\nthe KVM path is NOT good")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
