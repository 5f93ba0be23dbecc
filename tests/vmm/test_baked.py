from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.vmm.baked import BakedFile, collect, pack


def unpack(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """What the library OS makes of it."""
    (count,) = struct.unpack_from("<Q", packed)
    found, at = {}, 8
    for _ in range(count):
        offset, size, mode, path_bytes = struct.unpack_from("<QQII", packed, at)
        path = packed[at + 24 : at + 24 + path_bytes].decode()
        found[path] = (mode, packed[offset : offset + size])
        assert size < 4096 or offset % 4096 == 0
        at = -(-(at + 24 + path_bytes) // 8) * 8
    return found


def test_files_and_directories(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "tool").write_bytes(b"run me")
    (tree / "tool").chmod(0o700)
    (tree / "big").write_bytes(b"x" * 5000)
    (tree / "link").symlink_to("big")
    (tmp_path / "a:b").write_text("colon")
    files = collect([f"{tree}:/opt/tree/", f"{tmp_path / 'a:b'}:/etc/colon"])
    assert unpack(pack(files)) == {
        "/etc/colon": (0o100644, b"colon"),
        "/opt/tree": (0o040755, b""),
        "/opt/tree/big": (0o100644, b"x" * 5000),
        "/opt/tree/empty": (0o040755, b""),
        "/opt/tree/link": (0o100644, b"x" * 5000),
        "/opt/tree/tool": (0o100755, b"run me"),
    }


def test_a_tree_may_be_the_root_and_lie_over_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / name).write_text(name)
    files = collect([f"{tmp_path / 'a'}:/", f"{tmp_path / 'b'}:/"])
    assert list(unpack(pack(files))) == ["/etc", "/etc/a", "/etc/b"]


def test_no_files_are_no_bytes() -> None:
    assert pack([]) == b""


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("file", "say SRC:DST"),
        (":/x", "say SRC:DST"),
        ("file:", "DST must be an absolute path"),
        ("file:x", "x must be an absolute path"),
        ("file:/dir/", "names a directory"),
        ("none:/x", "none: No such file"),
        ("loop:/x", "Too many levels"),
        ("pipe:/x", "neither a file nor a directory"),
    ],
)
def test_bad_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("loop").mkdir()
    Path("loop/again").symlink_to("../loop")
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match=says):
        collect([option])


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["/a", "/a"], "/a: baked in twice"),
        (["/a", "/a/b"], "/a/b: /a is a file"),
        (["/a/../b"], "must be an absolute path"),
        (["//a"], "must be an absolute path"),
        (["/a/"], "must be an absolute path"),
        (["/a\0"], "must be an absolute path"),
        (["/" + "n" * 256], "too long"),
        (["/n" * 2048], "too long"),
        (["/proc/cpuinfo"], "library OS's own"),
        (["/tmp"], "is a directory"),
    ],
)
def test_bad_paths(paths: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        pack([BakedFile(path, b"") for path in paths])
