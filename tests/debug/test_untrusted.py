"""What images and guests bring is untrusted: any bytes give a value or WireError, in some time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.debug.backtrace import Backtracer
from radics_mesh.debug.cfi import CallFrames
from radics_mesh.debug.cursor import Cursor
from radics_mesh.debug.elf import ElfFile
from radics_mesh.debug.expressions import evaluate
from radics_mesh.debug.image import Debuggable
from radics_mesh.debug.memory import TABLES, AddressSpace, Ram
from radics_mesh.debug.parked_guest import ParkedGuest
from radics_mesh.debug.registers import AARCH64, X86_64
from radics_mesh.errors import WireError
from radics_mesh.vmm import frames, outputs
from radics_mesh.vmm.symbols import pack_symbols, symbols_of

PAGE = 4096


def nothing(address: int, length: int) -> bytes:
    raise WireError("no memory")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from radics_mesh.vmm.build import build_kernel, compile_program

    folder = tmp_path_factory.mktemp("untrusted")
    (folder / "p.c").write_text("int main(void) { return 0; }\n")
    build_kernel()
    compile_program([folder / "p.c"], folder / "p", debug=True)
    return (folder / "p").read_bytes()


def look_at(content: bytes, address: int) -> None:
    """All that a backtrace does with a program."""
    try:
        elf = ElfFile(content)
        tracer = Backtracer(Debuggable(elf, elf))
        registers = [address] * elf.architecture.count
        tracer.frames(0, registers, lambda at, length: address.to_bytes(8, "little")[:length])
        CallFrames(elf).row(address)
    except WireError:
        return


@given(st.binary(max_size=500))
def test_any_bytes_as_a_program(data: bytes) -> None:
    look_at(data, 0x400000)
    look_at(b"\x7fELF\x02\x01\x01" + data, 0x400000)


def test_a_program_with_damage_anywhere(program: bytes) -> None:
    chance = random.Random(57)
    starts = [start for start, _ in CallFrames(ElfFile(program))._starts]
    section = ElfFile(program).section(".eh_frame")
    assert section is not None
    at = program.index(section[1])
    for _ in range(60):
        damaged = bytearray(program)
        for _ in range(200):
            damaged[chance.randrange(at, at + len(section[1]))] = chance.randrange(256)
            damaged[chance.choice((chance.randrange(1024), chance.randrange(len(program))))] ^= 16
        look_at(bytes(damaged), chance.choice(starts))


def test_every_function_of_a_program_can_be_undone(program: bytes) -> None:
    """No instruction of what a compiler and glibc's authors wrote is unknown."""
    elf = ElfFile(program)
    table = CallFrames(elf)
    for start, _ in table._starts:
        assert table.row(start) is not None


@given(st.binary(max_size=60))
def test_any_bytes_as_an_expression(code: bytes) -> None:
    try:
        value = evaluate(code, {7: 0x1000}, lambda at, length: bytes(length), 8)
    except WireError:
        return
    assert 0 <= value < 1 << 64


def test_an_expression_of_glibc() -> None:
    """Where __restore_rt finds the stack pointer: DW_OP_breg7 160, deref."""
    memory = {0x1000 + 160: 0x2000}
    read = lambda at, length: memory[at].to_bytes(length, "little")  # noqa: E731
    assert evaluate(b"\x77\xa0\x01\x06", {7: 0x1000}, read, None) == 0x2000


@pytest.mark.parametrize(
    ("data", "unsigned", "signed"),
    [
        (b"\x02", 2, 2),
        (b"\x7f", 127, -1),
        (b"\x80\x7f", 16256, -128),
        (b"\xe5\x8e\x26", 624485, 624485),
    ],
)
def test_numbers_of_dwarf(data: bytes, unsigned: int, signed: int) -> None:
    assert Cursor(data, 0).uleb() == unsigned
    assert Cursor(data, 0).sleb() == signed


@given(st.dictionaries(st.integers(0, 63), st.binary(min_size=8, max_size=64), max_size=20))
def test_any_memory_as_a_parked_guest(pages: dict[int, bytes]) -> None:
    ram = Ram({n: (page * 512)[:PAGE].ljust(PAGE, b"\1") for n, page in pages.items()}, 64 * PAGE)
    for architecture in (X86_64, AARCH64):
        with pytest.raises(WireError):
            ParkedGuest(ram, architecture)
        space = AddressSpace(ram, 0, (0, PAGE), TABLES[architecture.name])
        for address in (0, 0x400000, 1 << 46, (1 << 64) - PAGE):
            try:
                space.read(address, 64)
            except WireError:
                continue


@given(st.integers(0, 62))
def test_page_tables_in_a_circle_end(number: int) -> None:
    entry = (number * PAGE | 7).to_bytes(8, "little")
    ram = Ram({n: entry * 512 for n in range(64)}, 64 * PAGE)
    for name in TABLES:
        with pytest.raises(WireError, match="without end"):
            AddressSpace(ram, 0, (0, 0), TABLES[name]).program_pages()


@given(st.binary(max_size=200))
def test_any_bytes_as_symbols(data: bytes) -> None:
    trailer = pack_symbols(b"\x7fELF")[-16:]
    for candidate in (data, data + trailer, data + len(data).to_bytes(8, "little") + trailer[8:]):
        try:
            symbols_of(candidate)
        except WireError:
            continue
    assert symbols_of(data + pack_symbols(data)) == data


@given(st.binary(max_size=600))
def test_any_bytes_as_a_thread(data: bytes) -> None:
    try:
        told = frames.parse_told(data)
    except WireError:
        return
    assert told.index < told.threads <= 256


@given(st.binary(max_size=100))
def test_an_exit_counts_whatever_follows_it(rest: bytes) -> None:
    body = bytes(8) + b"\4" + b"\1" + (11).to_bytes(4, "little") + b"\3\0why" + rest
    output = outputs.parse_output(body)
    assert isinstance(output.body, outputs.Exit)
    assert (output.body.how, output.body.status, output.body.why) == (1, 11, "why")
