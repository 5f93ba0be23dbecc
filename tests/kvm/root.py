"""What is in an emulated machine: Debian's files that are needed, our code, guests' images.

All of it is one cpio archive that stays in the machine's memory, so there is no disk to emulate.
Python's modules are compiled here: inside, emulated, that would take longer than all else.
"""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.kvm import cpio
from tests.kvm.packages import Packages

CHECKOUT = Path(__file__).resolve().parents[2]
# Images, and what is to be expected of them.
IMAGES, EXPECTED = "images", "expected.json"
# Where Python looks for ours and for the pinned packages.
PYTHONPATH = "/ours:/site"

# Of the unpacked packages' files: what Python and QEMU use. The folders that libraries have for
# codecs and drivers are not among it.
_KEPT = re.compile(
    r"(usr/)?lib(64)?/([^/]*-linux-gnu/)?[^/]*\.so[^/]*"
    r"|usr/lib/[^/]*/qemu/accel-.*\.so"
    r"|usr/lib/python3[^/]*/.*"
    r"|usr/bin/(python3[^/]*|prlimit|qemu-system-[^/]*)"
    r"|usr/share/(qemu|seabios)/.*\.(bin|rom)"
)
_USERS = "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
_GROUPS = "root:x:0:\nkvm:x:101:\nnogroup:x:65534:\n"


def write(
    output: Path,
    packages: Packages,
    site: Path,
    guests: Mapping[str, bytes],
    modules: Sequence[str],
) -> None:
    """The archive. `guests`: files by name, for the journey and the programs. `modules`: names of
    kernel modules, loaded with what they depend on."""
    ours = _stage(output.with_name("ours"))
    compile_python(packages.root / "usr" / "lib")
    compile_python(site)
    entries = [
        *_tree(packages.root, "", _KEPT),
        *_tree(site, "site"),
        *_tree(ours, "ours"),
        *_modules(packages.modules, modules),
        *(cpio.file(name, content) for name, content in guests.items()),
        cpio.file("etc/passwd", _USERS.encode()),
        cpio.file("etc/group", _GROUPS.encode()),
    ]
    with output.open("wb") as file:
        file.writelines(cpio.archive([*_directories(entries), *entries]))


def _stage(ours: Path) -> Path:
    """A copy of the product and of this package, compiled."""
    shutil.rmtree(ours, ignore_errors=True)
    for name in ("radics_mesh", "tests/kvm"):
        shutil.copytree(CHECKOUT / name, ours / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "tests" / "__init__.py", ours / "tests")
    compile_python(ours)
    return ours


def compile_python(directory: Path) -> None:
    """Harmless when the machine's Python is another version: it would compile for itself."""
    words = ("-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash")
    # Some packages hold files for Pythons to come; then it ends with 1.
    subprocess.run([sys.executable, *words, directory], capture_output=True)


def _tree(top: Path, prefix: str, kept: re.Pattern[str] | None = None) -> Iterator[cpio.Entry]:
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if kept is not None and not kept.fullmatch(name):
            continue
        name = f"{prefix}/{name}".lstrip("/")
        if path.is_symlink():
            yield cpio.link(name, str(path.readlink()))
        elif path.is_file():
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            yield cpio.file(name, path.read_bytes(), executable=executable)


def _modules(tree: Path, names: Sequence[str]) -> Iterator[cpio.Entry]:
    """Kernel modules and what they need, named so that their names' order is that of loading."""
    files = {path.name.split(".")[0].replace("-", "_"): path for path in tree.rglob("*.ko*")}
    needed: dict[str, bytes] = {}

    def need(name: str) -> None:
        content = files[name].read_bytes()
        if files[name].suffix == ".xz":
            content = lzma.decompress(content)
        found = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in (found[1].decode() if found else "").split(","):
            if other and other not in needed:
                need(other.replace("-", "_"))
        needed[name] = content

    for name in names:
        need(name)
    for index, (name, content) in enumerate(needed.items()):
        yield cpio.file(f"modules/{index:02}-{name}.ko", content)


def _directories(entries: Sequence[cpio.Entry]) -> Iterator[cpio.Entry]:
    """All that are above the entries, and mount points."""
    names = {str(parent) for entry in entries for parent in Path(entry.name).parents}
    for name in sorted({*names, "dev", "modules", "proc", "sys", "tmp"} - {"."}):
        yield cpio.directory(name)
