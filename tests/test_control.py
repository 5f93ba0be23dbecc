"""The control socket over real Unix sockets."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh import control_api
from radics_mesh.codec import pack
from radics_mesh.control import (
    MESSAGE_MAX_BYTES,
    SOCKET_NAME,
    Answer,
    ControlClient,
    ControlServer,
    state_lock,
)
from radics_mesh.control_api import REQUESTS
from radics_mesh.errors import CapacityError, GuestError, LinkError, MeshError, UsageError
from tests.patience import PATIENCE_S


@asynccontextmanager
async def serving(server: ControlServer) -> AsyncIterator[ControlClient]:
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield ControlClient(server.path.parent)
            nursery.cancel_scope.cancel()


@pytest.fixture
def server(tmp_path: Path) -> ControlServer:
    return ControlServer(tmp_path / SOCKET_NAME)


async def test_a_request_brings_its_parameters_and_its_answer(server: ControlServer) -> None:
    seen: dict[str, Any] = {}

    async def send(**params: object) -> Answer:
        seen.update(params)
        return {"id": "b1"}

    server.handle("send", send)
    async with serving(server) as client:
        answer = await client.call("send", destination="mill/inbox", payload=b"\x00\xff")
    assert answer == {"id": "b1"}
    given = {"destination": "mill/inbox", "payload": b"\x00\xff"}
    assert seen == {**REQUESTS["send"].defaults, **given}


async def test_only_the_nodes_own_user_may_connect(server: ControlServer) -> None:
    async with serving(server):
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert not server.path.exists()


@pytest.mark.parametrize("kind", [UsageError, CapacityError, LinkError, GuestError])
async def test_a_mesh_error_arrives_as_the_same_class(
    server: ControlServer, kind: type[MeshError]
) -> None:
    async def fail(name: str) -> Answer:
        raise kind(f"no {name}")

    server.handle("stop", fail)
    async with serving(server) as client:
        with pytest.raises(kind, match="no counter") as caught:
            await client.call("stop", name="counter")
        assert type(caught.value) is kind


async def test_a_more_special_error_arrives_as_its_public_class(server: ControlServer) -> None:
    class NoSuchVm(UsageError):
        pass

    async def fail(name: str) -> Answer:
        raise NoSuchVm(f"no {name}")

    server.handle("stop", fail)
    async with serving(server) as client:
        with pytest.raises(UsageError) as caught:
            await client.call("stop", name="x")
        assert type(caught.value) is UsageError


@pytest.mark.parametrize(
    ("request_name", "params", "reason"),
    [
        ("dance", {}, "no request 'dance'"),
        ("stop", {}, "'name' is missing"),
        ("stop", {"name": 3}, "name must not be 3"),
        ("stop", {"name": "x", "force": True}, "unknown parameter 'force'"),
        ("invite", {"uses": True}, "uses must not be True"),
        ("run", {"image": "/i", "name": "n", "sources": [1]}, "sources must not be"),
    ],
)
async def test_a_wrong_request_is_refused_before_any_handler(
    server: ControlServer, request_name: str, params: dict[str, Any], reason: str
) -> None:
    async with serving(server) as client:
        with pytest.raises(UsageError, match=reason):
            await client.call(request_name, **params)


async def test_a_stream_brings_every_item_in_order(server: ControlServer) -> None:
    async def events(follow: bool) -> AsyncGenerator[Answer, None]:
        for number in range(5):
            yield {"number": number}

    server.handle_stream("events", events)
    async with serving(server) as client:
        got = [item["number"] async for item in client.stream("events")]
    assert got == [0, 1, 2, 3, 4]


async def test_an_item_counts_as_done_only_when_the_next_is_asked_for(
    server: ControlServer,
) -> None:
    done: list[int] = []
    closed = trio.Event()

    async def recv(service: str, count: int | None) -> AsyncGenerator[Answer, None]:
        try:
            for number in range(3):
                yield {"number": number}
                done.append(number)
        finally:
            closed.set()

    server.handle_stream("recv", recv)
    async with serving(server) as client:
        async with aclosing(client.stream("recv", service="inbox")) as items:
            assert (await anext(items))["number"] == 0
            assert done == []
            assert (await anext(items))["number"] == 1
            assert done == [0]
        await closed.wait()
    assert done == [0], "the client left without asking for the item after 1"


async def test_a_waiting_stream_ends_when_its_client_leaves(server: ControlServer) -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def watch(interval_s: float) -> AsyncGenerator[Answer, None]:
        yield {}
        try:
            started.set()
            await trio.sleep_forever()
        finally:
            cancelled.set()

    server.handle_stream("watch", watch)
    async with serving(server) as client:
        async with trio.open_nursery() as nursery:

            async def consume() -> None:
                async with aclosing(client.stream("watch")) as items:
                    async for _ in items:
                        pass

            nursery.start_soon(consume)
            await started.wait()
            nursery.cancel_scope.cancel()
        await cancelled.wait()


async def test_an_error_in_a_stream_comes_after_its_items(server: ControlServer) -> None:
    async def logs(name: str, follow: bool) -> AsyncGenerator[Answer, None]:
        yield {"data": b"one"}
        raise GuestError("the guest panicked")

    server.handle_stream("logs", logs)
    async with serving(server) as client, aclosing(client.stream("logs", name="x")) as items:
        assert (await anext(items))["data"] == b"one"
        with pytest.raises(GuestError, match="panicked"):
            await anext(items)


async def test_a_plain_request_runs_to_its_end_without_its_client(server: ControlServer) -> None:
    started, go_on, ended = trio.Event(), trio.Event(), trio.Event()

    async def migrate(**params: object) -> Answer:
        started.set()
        await go_on.wait()
        ended.set()
        return {}

    server.handle("migrate", migrate)
    async with serving(server) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.call("migrate", name="x", to="y"))
            await started.wait()
            nursery.cancel_scope.cancel()
        go_on.set()
        await ended.wait()


NONSENSE = [
    b"",
    b"\x00",
    struct.pack("!I", MESSAGE_MAX_BYTES + 1),
    struct.pack("!I", 3) + b"\xc1\xc1\xc1",
    struct.pack("!I", 100) + b"short",
    struct.pack("!I", 0),
    struct.pack("!I", len(pack({"a": 1}))) + pack({"a": 1}),
    struct.pack("!I", len(pack([9, "ps", {}]))) + pack([9, "ps", {}]),
    struct.pack("!I", len(pack([1, "ps", 3]))) + pack([1, "ps", 3]),
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_ends_its_own_connection_only(
    server: ControlServer, nonsense: bytes
) -> None:
    async def ps() -> Answer:
        return {"vms": []}

    server.handle("ps", ps)
    async with serving(server) as client:
        stream = await trio.open_unix_socket(str(server.path))
        async with stream:
            await stream.send_all(nonsense)
            await stream.send_eof()
            while await stream.receive_some(1000):
                pass
        assert await client.call("ps") == {"vms": []}


async def test_a_message_too_long_is_refused_before_it_is_read(server: ControlServer) -> None:
    async with serving(server):
        stream = await trio.open_unix_socket(str(server.path))
        async with stream:
            await stream.send_all(struct.pack("!I", MESSAGE_MAX_BYTES + 1))
            assert b"WireError" in await stream.receive_some(1000)
            assert await stream.receive_some(1000) == b""


async def test_without_a_node_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no node runs here.*join --state"):
        await ControlClient(tmp_path / "nowhere").call("ps")


async def test_a_dead_nodes_socket_is_no_node_and_no_obstacle(server: ControlServer) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(server.path))
    with pytest.raises(UsageError, match="no node runs here"):
        await ControlClient(server.path.parent).call("ps")
    async with serving(server):
        pass


async def test_a_state_directory_deeper_than_a_socket_name_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    server = ControlServer(deep / SOCKET_NAME)

    async def ps() -> Answer:
        return {"vms": []}

    server.handle("ps", ps)
    async with serving(server) as client:
        assert await client.call("ps") == {"vms": []}


def test_one_node_a_state_directory(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (
        state_lock(state),
        pytest.raises(UsageError, match=rf"already runs.*pid {os.getpid()}"),
        state_lock(state),
    ):
        pass
    with state_lock(state):
        pass


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="cannot use state directory"),
        state_lock(tmp_path / "file" / "state"),
    ):
        pass


def test_handlers_fit_the_table(server: ControlServer) -> None:
    async def answer() -> Answer:
        return {}

    async def stream() -> AsyncGenerator[Answer, None]:
        yield {}

    with pytest.raises(ValueError, match="watch is a stream"):
        server.handle("watch", answer)
    with pytest.raises(ValueError, match="ps is no stream"):
        server.handle_stream("ps", stream)


@given(
    st.sampled_from(sorted(control_api.REQUESTS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_any_parameters_are_complete_or_refused(name: str, params: object) -> None:
    try:
        complete = control_api.checked(name, params)
    except UsageError:
        return
    assert set(complete) == set(control_api.REQUESTS[name].types)
