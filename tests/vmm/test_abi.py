"""The header and its twin say the same."""

from __future__ import annotations

import re
from pathlib import Path

from radics_mesh.vmm import abi

HEADER = Path(__file__).parents[2] / "guest_lib" / "include" / "radics_abi.h"


def header_numbers() -> dict[str, int]:
    found = re.findall(
        r"^#define\s+RADICS_(\w+)\s+(0[xX][0-9a-fA-F]+|\d+)\b", HEADER.read_text(), re.MULTILINE
    )
    return {name: int(value, 0) for name, value in found}


def test_every_number_of_the_header_is_in_the_twin() -> None:
    twin = {name: getattr(abi, name, None) for name in header_numbers()}
    assert twin == header_numbers()


def test_the_twin_has_no_number_of_its_own() -> None:
    own = {name for name, value in vars(abi).items() if name.isupper() and isinstance(value, int)}
    # The header gives it in words, beside RADICS_F_STREAM.
    assert own - header_numbers().keys() == {"MESSAGE_OVERHEAD"}
    assert f"plus {abi.MESSAGE_OVERHEAD} bytes a message" in HEADER.read_text()


def test_every_define_is_a_number_or_the_guard() -> None:
    defined = set(re.findall(r"^#define\s+RADICS_(\w+)", HEADER.read_text(), re.MULTILINE))
    assert defined - header_numbers().keys() == {"ABI_H"}
