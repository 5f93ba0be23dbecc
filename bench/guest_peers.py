"""What bench/guest.py measures the unikernel beside: the least that QEMU boots, and two Linuxes.

The Linuxes are Debian's own: the cloud kernel as it is packaged, and one built from linux-source
out of `make tinyconfig` and what it needs to run the same static program as its init. Nothing is
installed; both are kept in .cache/peers.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.probe import kernel

PEERS = Path(__file__).resolve().parents[1] / ".cache" / "peers"
CLOUD, TINY = PEERS / "vmlinuz-cloud", PEERS / "vmlinux-tiny"

# Says "!" and a new line on serial, and stops.
_STUB = bytes.fromhex("66baf803 b021 ee b00a ee fa f4 ebfd")
# The same for `virt` with its PL011; an arm64 Image has a header in front.
_STUB_AARCH64 = struct.pack(
    "<10I",
    *(0x58000101, 0x52800420, 0xB9000020),  # ldr x1, =0x09000000; mov w0, '!'; str w0, [x1]
    *(0x52800140, 0xB9000020),  # mov w0, '\n'; str w0, [x1]
    *(0xD503207F, 0x17FFFFFF, 0xD503201F),  # 1: wfi; b 1b; nop
    *(0x09000000, 0),
)

# Beyond tinyconfig: 64 bits, a console that can be read, an init from an initramfs, threads, and a
# start without decompression.
_TINY_OPTIONS = (
    *("64BIT", "PRINTK", "TTY", "SERIAL_8250", "SERIAL_8250_CONSOLE", "BINFMT_ELF"),
    *("BLK_DEV_INITRD", "FUTEX", "EPOLL", "POSIX_TIMERS", "HIGH_RES_TIMERS"),
    *("HYPERVISOR_GUEST", "PVH"),
)
_APPEND = "console=ttyS0 quiet panic=-1 reboot=t mitigations=off"


def stub(arch: str) -> bytes:
    """A bootable image that says one line."""
    if arch == "x86_64":
        return kernel(_STUB)
    head = struct.pack("<IIQQQQQQII", 0x14000010, 0, 0x80000, 4096, 0, 0, 0, 0, 0x644D5241, 0)
    return (head + _STUB_AARCH64).ljust(4096, b"\0")


def linux_arguments(image: Path, initramfs: Path) -> list[str]:
    """QEMU's arguments that start a Linux with it."""
    return ["-kernel", str(image), "-initrd", str(initramfs), "-append", _APPEND]


def initramfs(program: bytes) -> bytes:
    """A cpio archive (newc) with `program` as /init, and the console it writes to."""
    return b"".join(
        (
            _entry(1, "dev", 0o40755),
            _entry(2, "dev/console", 0o20600, device=(5, 1)),
            _entry(3, "init", 0o100755, program),
            _entry(4, "TRAILER!!!", 0),
        )
    )


def _entry(
    inode: int, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
) -> bytes:
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# --- making them ---


def make() -> None:
    """Fetch and build what is not in the cache yet. UsageError when a tool is missing."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as folder:
        if not CLOUD.exists():
            _make_cloud(Path(folder))
        if not TINY.exists():
            _make_tiny(Path(folder))


def _make_cloud(folder: Path) -> None:
    named = _output("apt-cache", "depends", "linux-image-cloud-amd64")
    package = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", named)
    if package is None:
        raise UsageError("apt knows no linux-image-cloud-amd64")
    _unpack(package[1], folder / "cloud")
    (image,) = (folder / "cloud" / "boot").glob("vmlinuz-*")
    _keep(image, CLOUD)


def _make_tiny(folder: Path) -> None:
    tools = ("gcc", "make", "flex", "bison", "bc", "perl", "xz")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if not Path("/usr/include/libelf.h").exists():
        missing.append("libelf-dev")
    if missing:
        raise UsageError(f"building a Linux needs these too: {', '.join(missing)}")
    _unpack("linux-source-6.1", folder / "source")
    (archive,) = (folder / "source" / "usr" / "src").glob("linux-source-*.tar.xz")
    _run("tar", "-xJf", str(archive), "-C", str(folder))
    tree = str(folder / archive.name.removesuffix(".tar.xz"))
    _run("make", "-s", "-C", tree, "tinyconfig")
    options = [word for option in _TINY_OPTIONS for word in ("-e", option)]
    _run(f"{tree}/scripts/config", "--file", f"{tree}/.config", *options)
    _run("make", "-s", "-C", tree, "olddefconfig")
    _run("nice", "make", "-s", "-C", tree, f"-j{os.cpu_count() or 1}", "vmlinux")
    _run("strip", "-s", f"{tree}/vmlinux")
    _keep(Path(tree, "vmlinux"), TINY)


def _unpack(package: str, to: Path) -> None:
    to.mkdir()
    _run("apt-get", "download", package, folder=to)
    (archive,) = to.glob("*.deb")
    _run("dpkg-deb", "-x", str(archive), str(to))


def _keep(built: Path, at: Path) -> None:
    """Whole or not at all."""
    fresh = at.with_name(f"{at.name}.new")
    shutil.copyfile(built, fresh)
    fresh.replace(at)


def _run(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        failure = UsageError(f"{' '.join(command[:4])} failed")
        failure.add_note((done.stdout + done.stderr)[-2000:])
        raise failure


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
