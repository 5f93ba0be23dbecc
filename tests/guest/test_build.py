from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from radics_mesh.cli.vms import build as build_command
from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm.bake import bake
from radics_mesh.vmm.build import BuildReport, architectures, build_image, build_kernel
from radics_mesh.vmm.image import load_segments
from radics_mesh.vmm.tools import cross_prefix
from tests.guest.plain import plain_status, run_plain


def build(folder: Path, *flags: str, **sources: str) -> BuildReport:
    paths = []
    for name, text in sources.items():
        path = folder / name.replace("_", ".")
        path.write_text(text)
        paths.append(path)
    return build_image(paths, folder / "out.img", flags=flags)


def test_c_and_cxx_together(tmp_path: Path) -> None:
    build(
        tmp_path,
        main_cpp='extern "C" int answer(); int main() { return answer(); }',
        part_c="int answer(void) { int class = 42; return class; }",
    )
    assert run_plain(tmp_path / "out.img").returncode == plain_status(42)


def test_c_alone_and_flags_come_last(tmp_path: Path) -> None:
    report = build(
        tmp_path,
        *("-O0", "-DSTATUS=7"),
        main_c="#include <stdio.h>\nint main(int c, char **v) { puts(v[0]); return STATUS + c; }",
    )
    done = run_plain(tmp_path / "out.img")
    assert (done.stdout, done.returncode) == (b"out\n", plain_status(8))
    assert report.image_bytes == (tmp_path / "out.img").stat().st_size
    assert report.kernel_bytes < 128 * 1024


def test_static_pie(tmp_path: Path) -> None:
    text = "#include <iostream>\nint main() { std::cout << &std::cout << std::endl; }"
    build(tmp_path, "-static-pie", "-fPIE", main_cpp=text)
    done = run_plain(tmp_path / "out.img")
    assert done.stdout.startswith(b"0x")
    assert done.returncode == plain_status(0)


def test_a_dynamic_program_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="linked dynamically; it must be static"):
        build_image([Path("/bin/true")], tmp_path / "dynamic.img")
    assert list(tmp_path.iterdir()) == []


def test_compile_errors_are_one_line_and_a_note(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build(tmp_path, bad_cpp="int main() { return nonsense; }")
    assert str(caught.value) == "compiling bad.cpp failed"
    assert "nonsense" in caught.value.__notes__[0]
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.cpp"]


def test_what_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sources"):
        build_image([], tmp_path / "x.img")
    with pytest.raises(UsageError, match="no such file"):
        build_image([tmp_path / "none.cpp"], tmp_path / "x.img")
    with pytest.raises(UsageError, match="no library OS for riscv"):
        build_image([tmp_path / "none.cpp"], tmp_path / "x.img", arch="riscv")
    with pytest.raises(UsageError, match="not an ELF"):
        bake(build_kernel().read_bytes(), b"text", "x")


def test_a_kernel_without_a_program_says_so(tmp_path: Path) -> None:
    done = run_plain(build_kernel())
    assert b"no program behind it" in done.stdout
    with pytest.raises(WireError):
        load_segments(b"")


def test_another_host_builds_with_debians_cross_tools() -> None:
    assert cross_prefix("x86_64", "x86_64") == ""
    assert cross_prefix("x86_64", "aarch64") == "x86_64-linux-gnu-"
    # The very tools exist on every Debian host of that architecture too.
    tool = shutil.which(f"{cross_prefix('x86_64', 'aarch64')}g++")
    assert platform.machine() != "x86_64" or tool is not None


def test_one_build_for_both_architectures(tmp_path: Path) -> None:
    source = tmp_path / "prog.c"
    source.write_text(
        "#include <stdio.h>\n#include <sys/utsname.h>\n"
        "int main(int c, char **v) { struct utsname u; uname(&u); puts(v[0]); puts(u.machine); }"
    )
    command = [str(source), "-o", str(tmp_path / "prog.img"), "--arch", "aarch64,x86_64"]
    done = CliRunner().invoke(build_command, command)
    assert done.exit_code == 0, done.output
    made = {path.name for path in tmp_path.iterdir()} - {"prog.c"}
    assert made == {"prog.x86_64.img", "prog.aarch64.img"}
    for arch in ("x86_64", "aarch64"):
        said = run_plain(tmp_path / f"prog.{arch}.img")
        assert (said.stdout, said.returncode) == (b"prog\n%s\n" % arch.encode(), plain_status(0))


def test_architectures_are_found_wanting_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert architectures(None) == ["aarch64" if platform.machine() == "aarch64" else "x86_64"]
    assert architectures("aarch64,x86_64,aarch64") == ["aarch64", "x86_64"]
    with pytest.raises(UsageError, match="no library OS for vax; there is one for x86_64 and"):
        architectures("x86_64,vax")
    monkeypatch.setenv("PATH", str(tmp_path))
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    package = f"g\\+\\+-{other.replace('_', '-')}-linux-gnu"
    with pytest.raises(UsageError, match=f"apt install {package}"):
        architectures(other)
