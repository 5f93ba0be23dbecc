from __future__ import annotations

import pytest

from radics_mesh.scopes import Scope, in_order, may_tell, scope_of


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        *(("127.3.2.1", Scope.HOST), ("::1", Scope.HOST)),
        *(("169.254.7.1", Scope.LINK), ("fe80::1%3", Scope.LINK)),
        *(("10.1.2.3", Scope.SITE), ("172.31.0.1", Scope.SITE), ("192.168.1.1", Scope.SITE)),
        *(("100.64.9.9", Scope.SITE), ("fd12::1", Scope.SITE)),
        *(("8.8.8.8", Scope.WORLD), ("2a01:4f8::1", Scope.WORLD), ("pi.example.org", Scope.WORLD)),
    ],
)
def test_scopes(host: str, scope: Scope) -> None:
    assert scope_of(host) is scope


def test_private_addresses_are_for_who_is_inside() -> None:
    assert may_tell("192.168.1.7", "10.0.0.1")
    assert may_tell("8.8.8.8", "192.168.1.7")
    assert not may_tell("192.168.1.7", "8.8.8.8")
    assert not may_tell("fe80::1%2", "192.168.1.7")
    assert not may_tell("127.0.0.1", "192.168.1.7")


def test_what_is_on_an_own_network_is_tried_first() -> None:
    hosts = ["8.8.8.8", "127.0.0.1", "10.9.9.9", "fd12::5", "192.168.1.9", "fe80::1%2"]
    ordered = in_order(hosts, lambda host: host, ["192.168.1.7/24", "fd12::1/64", "127.0.0.1/8"])
    assert ordered == ["fd12::5", "192.168.1.9", "8.8.8.8", "10.9.9.9", "fe80::1%2", "127.0.0.1"]
