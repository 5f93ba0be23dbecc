"""What an emulated machine does, with the product's own code: probe, then one VM's journey.

The accelerator of each leg is forced, whatever the probe found: emulated twice over, times say
little, and both ways have to be gone.
"""

from __future__ import annotations

import logging
import platform
from pathlib import Path

import structlog
import trio

from radics_mesh.vmm import accelerator
from radics_mesh.vmm.accelerator import KVM, TCG
from tests.kvm import findings
from tests.kvm.findings import report
from tests.kvm.journey import SHM, Traveller

ROUNDS = 3
PROBE_DEADLINE_S = 60.0


async def probe() -> None:
    """Both accelerators timed as the product does it, but with patience; then its own choice."""
    for name, what in ((TCG, findings.PROBE_TCG), (KVM, findings.PROBE_KVM)):
        took_s = await accelerator.time_guest(
            accelerator.PROBE, SHM, name, deadline_s=PROBE_DEADLINE_S
        )
        report(what, took_s is not None, "failed" if took_s is None else f"{took_s:.2f} s")
    chosen = await accelerator.choose(Path("/tmp/accelerator"), SHM)
    report(findings.CHOICE, True, f"{chosen.accelerator}: {chosen.reason}")


async def main() -> None:
    await probe()
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
