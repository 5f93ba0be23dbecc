from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kvm import cpio

NAMES = st.text(min_size=1, max_size=40).filter(lambda name: name[0] != "/" and "\0" not in name)


def read(data: bytes) -> list[tuple[str, int, bytes]]:
    """(name, mode, content) of all entries, as the format's description has it."""
    found: list[tuple[str, int, bytes]] = []
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, length, name_length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_length]
        at = (at + 110 + name_length + 3) & ~3
        content, at = data[at : at + length], (at + length + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return found
        assert name.endswith(b"\0")
        found.append((name[:-1].decode(), mode, content))


def test_an_entry_to_the_byte() -> None:
    data = b"".join(cpio.archive([cpio.file("a", b"hello", executable=True)]))
    head = (
        b"070701" b"00000001" b"000081ED" b"00000000" b"00000000" b"00000001" b"00000000"
        b"00000005" b"00000000" b"00000000" b"00000000" b"00000000" b"00000002" b"00000000"
    )  # fmt: skip
    assert data.startswith(head + b"a\0" + b"hello\0\0\0" + b"070701" + b"00000002")


@given(st.lists(st.tuples(NAMES, st.binary(max_size=50))))
def test_what_goes_in_comes_out(files: list[tuple[str, bytes]]) -> None:
    entries = [cpio.file(name, content) for name, content in files]
    expected = [(name, stat.S_IFREG | 0o644, content) for name, content in files]
    assert read(b"".join(cpio.archive(entries))) == expected


def test_directories_and_links() -> None:
    entries = [cpio.directory("d"), cpio.link("d/l", "../target")]
    assert read(b"".join(cpio.archive(entries))) == [
        ("d", stat.S_IFDIR | 0o755, b""),
        ("d/l", stat.S_IFLNK | 0o777, b"../target"),
    ]


@pytest.mark.parametrize("name", ["", "/etc", "a\0b"])
def test_a_name_that_it_cannot_hold(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        list(cpio.archive([cpio.file(name, b"")]))
