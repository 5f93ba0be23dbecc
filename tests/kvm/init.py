"""Process 1 of an emulated machine: makes it one that a node could run on, runs `inside`, ends it.

What Debian's own start would do of it, and no more: file systems, kernel modules, and /dev/kvm for
its group, because QEMU runs as nobody with that group.
"""

from __future__ import annotations

import ctypes
import grp
import os
import platform
import subprocess
import sys
from pathlib import Path

from tests.kvm.findings import TROUBLE, Finding

MODULES = Path("/modules")
_MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/dev/shm"),
           ("tmpfs", "/tmp"), ("cgroup2", "/sys/fs/cgroup"))  # fmt: skip
_FINIT_MODULE = {"x86_64": 313, "aarch64": 273}
_RB_POWER_OFF = 0x4321FEDC
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    try:
        for kind, where in _MOUNTS:
            Path(where).mkdir(exist_ok=True)
            _check(_libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None), where)
        # The serial line is for what we report; what the kernel has to say is in its own log.
        Path("/proc/sys/kernel/printk").write_text("1")
        for module in sorted(MODULES.iterdir()):
            _load(module)
        _give_kvm()
        status = subprocess.run([sys.executable, "-m", "tests.kvm.inside"]).returncode
        if status:
            print(Finding(TROUBLE, False, f"it ended with status {status}").line())
    finally:
        sys.stdout.flush()
        _libc.reboot(_RB_POWER_OFF)


def _load(module: Path) -> None:
    with module.open("rb") as file:
        number = _FINIT_MODULE[platform.machine()]
        _check(_libc.syscall(number, file.fileno(), b"", 0), module.name)


def _give_kvm() -> None:
    device = Path("/dev/kvm")
    if device.exists():
        os.chown(device, 0, grp.getgrnam("kvm").gr_gid)
        device.chmod(0o660)


def _check(result: int, what: str) -> None:
    if result:
        print(f"{what}: {os.strerror(ctypes.get_errno())}", flush=True)


if __name__ == "__main__":
    main()
