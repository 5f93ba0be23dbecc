"""A file's lines are the messages, the same ones for ever, or an error."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import UsageError
from radics_mesh.sources.log import FileLog
from radics_mesh.sources.messages import MESSAGE_MAX_BYTES


def lines_of(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def read_all(log: FileLog, step_bytes: int) -> list[bytes]:
    messages: list[bytes] = []
    while len(messages) < log.length:
        messages += log.read(len(messages) + 1, log.length, step_bytes)
    return messages


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\n", b"ab\n", b"\r", b"x"])).map(b"".join),
    st.integers(0, 50),
)
def test_messages_are_the_lines(content: bytes, step_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "f"
        file.write_bytes(content)
        log = FileLog.open(file)
        assert read_all(log, step_bytes) == lines_of(content)
        assert log.position(log.length) == len(content)


def test_any_message_of_a_long_file_is_found(tmp_path: Path) -> None:
    lines = [b"%d" % (n * n) for n in range(1000)]
    (tmp_path / "f").write_bytes(b"\n".join(lines))
    log = FileLog.open(tmp_path / "f")
    for number in (1, 63, 64, 65, 128, 129, 999, 1000):
        assert log.read(number, log.length, 0) == [lines[number - 1]]
    positions = [log.position(n) for n in range(1001)]
    assert positions == sorted(positions)


def test_a_read_keeps_within_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc\n" * 100)
    log = FileLog.open(tmp_path / "f")
    assert len(log.read(1, 100, 10)) == 3
    assert len(log.read(1, 2, 1000)) == 2


def test_a_changed_file_is_refused_and_served_again_when_put_back(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"one\ntwo\n")
    log = FileLog.open(file)
    file.write_bytes(b"one\nTWO\n")
    with pytest.raises(UsageError, match="changed since"):
        log.read(1, 2, 100)
    file.unlink()
    with pytest.raises(UsageError, match="cannot read"):
        log.read(1, 2, 100)
    file.write_bytes(b"one\ntwo\n")
    assert log.read(1, 2, 100) == [b"one", b"two"]


def test_a_grown_file_serves_what_was_published(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"one\ntwo")
    log = FileLog.open(file)
    with file.open("ab") as more:
        more.write(b" and a half\nthree\n")
    assert log.read(1, 2, 100) == [b"one", b"two"]
    again = FileLog.open(file, log.content)
    assert again.read(2, 2, 100) == [b"two"]


def test_a_restart_does_not_accept_another_content(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"one\ntwo\n")
    content = FileLog.open(file).content
    file.write_bytes(b"one\ntow\n")
    os.utime(file, (0, 0))
    with pytest.raises(UsageError, match="changed since"):
        FileLog.open(file, content)


def test_a_line_longer_than_a_message_is_refused_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"short\n" * 70 + b"x" * MESSAGE_MAX_BYTES + b"\n")
    assert FileLog.open(file).length == 71
    file.write_bytes(b"short\n" * 70 + b"x" * (MESSAGE_MAX_BYTES + 1))
    with pytest.raises(UsageError, match="line 71 of"):
        FileLog.open(file)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        FileLog.open(tmp_path / "none")
