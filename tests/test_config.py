from __future__ import annotations

import pytest

from radics_mesh.config import DEFAULT_PORT, Address
from radics_mesh.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pi1", "pi1", DEFAULT_PORT),
        ("10.0.0.2:81", "10.0.0.2", 81),
        ("[fe80::1]:9", "fe80::1", 9),
        ("[::1]", "::1", DEFAULT_PORT),
        ("fe80::1", "fe80::1", DEFAULT_PORT),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize("text", ["", ":80", "host:", "host:x", "host:0", "host:70000", "[::1"])
def test_what_is_no_address_is_one_clear_error(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        Address.parse(text)
