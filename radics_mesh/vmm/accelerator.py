"""Which accelerator really works here, found by running a guest against a deadline.

/dev/kvm may exist and be unusable: on some virtual machines a guest that takes a second under TCG
(emulation) takes a minute under KVM. So a probe of the host's own architecture runs under both, as
a guest would be run (same command line, user and sandbox), and KVM is taken only if it ends
properly and sooner; guests of another architecture are emulated whatever it finds. The answer holds
until the machine boots again or QEMU is another one; it is kept in a file.

A probe costs at most twice the deadline and never raises for what it finds: TCG always works.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from radics_mesh.durable import write_durably
from radics_mesh.errors import MeshError, UsageError
from radics_mesh.vmm import adoption, architecture, probe, qemu
from radics_mesh.vmm import image as image_file
from radics_mesh.vmm.architecture import AARCH64, X86_64

log = structlog.get_logger(__name__)

TCG, KVM = "tcg", "kvm"
ACCELERATORS = (TCG, KVM)
PROBES = {X86_64: probe.kernel(probe.WORK), AARCH64: probe.ARM64}
_DEADLINE_S = 5.0
_MEMORY_BYTES = 16 << 20
_KVM_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Finding:
    """`reason` is for people: why it is this one."""

    accelerator: str
    reason: str


async def choose(
    cache: Path,
    ram_directory: Path,
    *,
    configured: str | None = None,
    image: bytes | None = None,
) -> Finding:
    """The accelerator for this host's guests. `image`: instead of the probe, a guest that ends by
    itself.

    `configured` overrides all; UsageError when it is unknown. UsageError also without QEMU.
    """
    if configured is not None:
        if configured not in ACCELERATORS:
            raise UsageError(f"unknown accelerator {configured!r}: tcg or kvm")
        return Finding(configured, "configured")
    program = qemu.find(architecture.of_host())
    key = [await trio.to_thread.run_sync(_qemu_version, program), _BOOT_ID.read_text().strip()]
    finding = _cached(cache, key)
    if finding is None:
        finding = await _probe(image or PROBES[architecture.of_host()], ram_directory)
        content = {"key": key, "accelerator": finding.accelerator, "reason": finding.reason}
        write_durably(cache, json.dumps(content).encode("utf-8"))
        log.info("accelerator chosen", accelerator=finding.accelerator, reason=finding.reason)
    return finding


def _qemu_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
    found = re.search(r"version (\S+)", done.stdout)
    return found[1] if found else "unknown"


def _cached(cache: Path, key: list[str]) -> Finding | None:
    try:
        content = json.loads(cache.read_text())
        if content["key"] != key or content["accelerator"] not in ACCELERATORS:
            return None
        return Finding(content["accelerator"], str(content["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _probe(image: bytes, ram_directory: Path) -> Finding:
    if platform.machine() not in architecture.ALL:
        return Finding(TCG, f"there are no guests for {platform.machine()}, which this host is")
    if not _KVM_DEVICE.exists():
        return Finding(TCG, "there is no /dev/kvm")
    tcg_s = await time_guest(image, ram_directory, TCG)
    kvm_s = await time_guest(image, ram_directory, KVM, deadline_s=tcg_s or _DEADLINE_S)
    if kvm_s is None:
        return Finding(TCG, "KVM did not run the probe properly, or no sooner than TCG")
    under_tcg = "and did not end well under TCG" if tcg_s is None else f"{tcg_s:.2f} s under TCG"
    return Finding(KVM, f"the probe took {kvm_s:.2f} s under KVM, {under_tcg}")


async def time_guest(
    image: bytes, ram_directory: Path, accelerator: str, *, deadline_s: float = _DEADLINE_S
) -> float | None:
    """Seconds from QEMU's start to the guest's own end; None when it did not end well in time."""
    with tempfile.TemporaryDirectory(prefix="radics-probe-") as name:
        image_path = Path(name) / "probe.img"
        image_path.write_bytes(image)
        image_path.chmod(0o444)
        files = qemu.Files.name(Path(name), ram_directory, image_path, _MEMORY_BYTES)
        started = trio.current_time()
        try:
            process = await qemu.start(files, accelerator, paused=False)
        except MeshError as error:
            log.warning("accelerator probe", accelerator=accelerator, reason=str(error))
            return None
        code: int | None = None
        with trio.move_on_after(deadline_s):
            code = await process.wait()
        took_s = trio.current_time() - started
        try:
            with trio.CancelScope(shield=True):
                await adoption.end(process, files.lock)
        except MeshError as error:  # a process stuck in the kernel: nothing more can be done
            log.warning("accelerator probe", accelerator=accelerator, reason=str(error))
        files.discard()
    return took_s if code in image_file.architecture_of(image).end_codes else None
