"""What an emulated machine does, with the product's own code: the probe, programs, a VM's journey.

The accelerator of each leg is forced, whatever the probe found: emulated twice over, times say
little, and both ways have to be gone.
"""

from __future__ import annotations

import json
import logging
import platform
import tempfile
from pathlib import Path

import structlog
import trio

from radics_mesh.vmm import accelerator, adoption, architecture, qemu, usage
from radics_mesh.vmm import probe as probe_guests
from radics_mesh.vmm.accelerator import KVM, TCG
from radics_mesh.vmm.cgroup import Groups
from tests.kvm import findings, root
from tests.kvm.findings import report
from tests.kvm.journey import Traveller
from tests.kvm.programs import SHM, said

ROUNDS = 3
PROBE_DEADLINE_S = 60.0
SPIN_MEMORY_BYTES, SPIN_SHARE, SPIN_S = 16 << 20, 0.3, 6.0


async def probe() -> None:
    """Both accelerators timed as the product does it, but with patience; then its own choice."""
    image = accelerator.PROBES[architecture.of_host()]
    for name, what in ((TCG, findings.PROBE_TCG), (KVM, findings.PROBE_KVM)):
        took_s = await accelerator.time_guest(image, SHM, name, deadline_s=PROBE_DEADLINE_S)
        report(what, took_s is not None, "failed" if took_s is None else f"{took_s:.2f} s")
    chosen = await accelerator.choose(Path("/tmp/accelerator"), SHM)
    print(f"why {chosen.accelerator}: {chosen.reason}")
    report(findings.CHOICE, True, chosen.accelerator)


async def programs() -> None:
    """The test programs under KVM, each against what it said outside."""
    expected: dict[str, str] = json.loads(Path("/", root.EXPECTED).read_text())
    others = []
    for name, text in expected.items():
        under_kvm = await said(Path("/", root.IMAGES, f"{name}.img"), KVM)
        if under_kvm != text:
            others.append(name)
            print(f"{name} says under KVM:\n{under_kvm}\nand under TCG:\n{text}", flush=True)
    alike = f"{len(expected) - len(others)} of {len(expected)} say what they say under TCG"
    report(findings.PROGRAMS, not others, ", not ".join([alike, *others]))


async def groups() -> None:
    """A guest that does nothing but spin, in a control group that may have a third of a processor.
    This machine is its node's alone, as a node's service would have its group."""
    made = Groups.here()
    if made is None:
        report(findings.GROUPS, False, "none can be made")
        return
    spins = {"x86_64": probe_guests.kernel(b"\xeb\xfe")}.get(
        platform.machine(), probe_guests.arm64_image(b"\x00\x00\x00\x14")
    )
    with tempfile.TemporaryDirectory() as name:
        image = Path(name) / "spin.img"
        image.write_bytes(spins)
        image.chmod(0o444)
        files = qemu.Files.name(Path(name), SHM, image, SPIN_MEMORY_BYTES)
        process = await qemu.start(files, TCG, paused=False)
        await trio.sleep(1)
        enclosed = made.enclose(process.pid, SPIN_MEMORY_BYTES, SPIN_SHARE)
        before, began = usage.of(process.pid), trio.current_time()
        await trio.sleep(SPIN_S)
        after = usage.of(process.pid)
        share = (after.cpu_s - before.cpu_s) / (trio.current_time() - began)
        group = Path("/sys/fs/cgroup") / after.cgroup.lstrip("/")
        limit = int((group / "memory.max").read_text())
        await adoption.end(process, files.lock)
        files.discard()
    made.sweep()
    good = enclosed and share < SPIN_SHARE * 1.2 and limit > SPIN_MEMORY_BYTES
    said = f"{share * 100:.0f} % of a processor, may have {SPIN_SHARE * 100:.0f}; memory {limit}"
    report(findings.GROUPS, good and not group.exists(), said)


async def main() -> None:
    await groups()
    await probe()
    await programs()
    traveller = Traveller()
    await traveller.travel(KVM, findings.RUN, findings.PARK_KVM)
    for left in reversed(range(ROUNDS)):
        await traveller.travel(TCG, findings.WARM_TCG, findings.PARK_TCG)
        if left:
            await traveller.travel(KVM, findings.WARM_KVM, findings.PARK_KVM)
    await traveller.arrive(KVM, findings.WARM_KVM)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"machine: {platform.machine()} {platform.release()} Python {platform.python_version()}")
    trio.run(main)
