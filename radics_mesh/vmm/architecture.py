"""What differs between the processors that guests are made for.

A guest of either runs on a host of either: by KVM where they are the same, else by emulation. So
the program must see the same processor everywhere. On x86_64 that is QEMU's `qemu64`, under TCG and
KVM alike, because glibc picks its string routines once, by CPUID. On aarch64 a program is told by
AT_HWCAP, and the library OS tells it of FP and ASIMD alone, which every ARMv8-A processor has.
Under KVM it is the host's own processor, since QEMU can give no other, and a program that keeps to
what it was told cannot tell.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from radics_mesh.errors import UsageError


@dataclass(frozen=True)
class Architecture:
    """`name` is Debian's and `uname -m`'s.

    `baseline` names what a program sees, in snapshots and offers: equal ones can swap a VM.
    `end`: QEMU's options for a guest that ends QEMU itself, and `end_codes` how it then ends; 1 is
    QEMU's own failure on both.
    """

    name: str
    elf_machine: int
    binary: str
    package: str
    machine: str
    tcg_cpu: str
    kvm_cpu: str
    baseline: str
    end: tuple[str, ...]
    end_codes: range

    def cpu(self, accelerator: str) -> str:
        return self.kvm_cpu if accelerator == "kvm" else self.tcg_cpu


# What the accelerators would add to qemu64 on their own, each another thing, is visible.
_QEMU64 = "qemu64,-x2apic,-svm,kvm=off,tcg-cpuid=off"

X86_64 = Architecture(
    name="x86_64",
    elf_machine=62,
    binary="qemu-system-x86_64",
    package="qemu-system-x86",
    machine="microvm,acpi=off,rtc=off",
    tcg_cpu=_QEMU64,
    kvm_cpu=_QEMU64,
    baseline="qemu64",
    end=("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
    end_codes=range(3, 256, 2),  # (status << 1) | 1
)
AARCH64 = Architecture(
    name="aarch64",
    elf_machine=183,
    binary="qemu-system-aarch64",
    package="qemu-system-arm",
    machine="virt,gic-version=2",
    tcg_cpu="cortex-a72",
    kvm_cpu="host",
    baseline="armv8-a",
    # PSCI needs no device. Semihosting would tell the status too, but would also open the host's
    # files to a guest that has got hold of its kernel; the status comes over the channel.
    end=(),
    end_codes=range(1),
)
ALL = {architecture.name: architecture for architecture in (X86_64, AARCH64)}


def named(name: str) -> Architecture:
    """UsageError for one that no guest is made for."""
    if name not in ALL:
        raise UsageError(f"no library OS for {name}; there is one for {' and '.join(ALL)}")
    return ALL[name]


def of_host() -> Architecture:
    """This host's own, whose guests may run by KVM. x86_64's guests are emulated elsewhere too."""
    return ALL.get(platform.machine(), X86_64)
