"""What join makes of its options."""

from __future__ import annotations

import pytest

from radics_mesh.cli.join import config_from, join, parse_foreign, parse_listen, parse_name
from radics_mesh.config import Address, Config
from radics_mesh.errors import UsageError
from radics_mesh.ids import Eid


def configured(*arguments: str) -> Config:
    options = dict(join.make_context("join", list(arguments)).params)
    options.pop("verbose")
    return config_from(options)


def test_defaults_listen_everywhere_and_schedule() -> None:
    config = configured("--name", "barn")
    assert config.name == "barn"
    assert config.listen == Address("0.0.0.0", 5050)
    assert config.scheduler
    assert config.state.is_absolute()
    assert [config.bootstrap, config.neighbours, list(config.foreign)] == [(), (), []]


def test_every_option_reaches_the_configuration() -> None:
    config = configured(
        *("--bootstrap", "10.0.0.1", "--bootstrap", "[fe80::1]:7", "--listen", "127.0.0.1:0"),
        *("--neighbours", "10.0.0.2:1,10.0.0.3:2", "--foreign", "ipn:5.0=10.0.0.9:4556:echo,log"),
        *("--foreign-listen", "0.0.0.0:4556", "--guest-memory", "64", "--no-scheduler"),
        *("--invite", "radics1-x", "--accelerator", "tcg"),
        *("--discover", "wlan0", "--discover", "eth1", "--limit", "1.5M"),
    )
    assert config.move_limit == 1.5 * (1 << 20)
    assert config.discover == ("wlan0", "eth1")
    assert config.bootstrap == (Address("10.0.0.1"), Address("fe80::1", 7))
    assert config.listen == Address("127.0.0.1", 0)
    assert config.neighbours == (Address("10.0.0.2", 1), Address("10.0.0.3", 2))
    assert config.foreign_listen == Address("0.0.0.0", 4556)
    assert config.guest_memory_bytes == 64 << 20
    assert (config.scheduler, config.accelerator) == (False, "tcg")
    (foreign,) = config.foreign
    assert foreign.eid == Eid("ipn:5.0")
    assert foreign.address == Address("10.0.0.9", 4556)
    assert foreign.services == ("echo", "log")


def test_a_foreign_peer_that_dials_us_has_no_address() -> None:
    foreign = parse_foreign("dtn://pi/=[::1]:0:inbox")
    assert (foreign.address, foreign.host, foreign.services) == (None, "::1", ("inbox",))


def test_a_foreign_peer_over_udp() -> None:
    foreign = parse_foreign("ipn:5.0=udp:10.0.0.9:4556:echo,log")
    assert foreign.over_udp
    assert foreign.address == Address("10.0.0.9", 4556)
    assert foreign.services == ("echo", "log")
    with pytest.raises(UsageError, match="--udp-listen"):
        configured("--foreign", "ipn:5.0=udp:10.0.0.9:0:echo", "--foreign-listen", "0.0.0.0:1")


@pytest.mark.parametrize("text", ["", "ipn:5.0", "=1.2.3.4:5:x", "no eid=1.2.3.4:5:x", "a:b=x"])
def test_what_is_no_foreign_peer(text: str) -> None:
    with pytest.raises(UsageError):
        parse_foreign(text)


@pytest.mark.parametrize("text", ["", ":0", "host:65536", "host:x", "[::1:0"])
def test_what_is_no_place_to_listen(text: str) -> None:
    with pytest.raises(UsageError):
        parse_listen(text)


@pytest.mark.parametrize("text", ["barn", "Scheune Süd", "дом", "a" * 64])
def test_what_a_node_may_be_called(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize("text", ["", " ", "a" * 65, "ü" * 33, "a/b", "a:b", "a\x1b[2J", "\udcff"])
def test_what_no_node_may_be_called(text: str) -> None:
    with pytest.raises(UsageError, match="not a node's name"):
        parse_name(text)
