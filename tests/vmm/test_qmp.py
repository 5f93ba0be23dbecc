"""The control socket against a QEMU that speaks, lies, or falls silent, and a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from radics_mesh.errors import GuestError, LinkError
from radics_mesh.vmm.launch import Launch, launch
from radics_mesh.vmm.qemu import control
from radics_mesh.vmm.qmp import Qmp
from tests.patience import PATIENCE_S
from tests.vmm import stubs
from tests.vmm.test_machine import HELLO, MEMORY_BYTES

GREETING: dict[str, object] = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}}}
Line = dict[str, object] | bytes


async def server(
    stream: trio.abc.Stream, greeting: Line, answers: Callable[[dict[str, object]], Sequence[Line]]
) -> None:
    # The client may hang up while an event is on its way to it; QEMU does not mind either.
    with suppress(trio.BrokenResourceError):
        await serve(stream, greeting, answers)


async def serve(
    stream: trio.abc.Stream, greeting: Line, answers: Callable[[dict[str, object]], Sequence[Line]]
) -> None:
    async def say(line: Line) -> None:
        await stream.send_all(
            line if isinstance(line, bytes) else json.dumps(line).encode() + b"\r\n"
        )

    await say(greeting)
    held = b""
    async for data in stream:
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            for answer in answers(json.loads(line)):
                await say(answer)
    await stream.aclose()


async def talking(
    nursery: trio.Nursery,
    answers: Callable[[dict[str, object]], Sequence[Line]],
    greeting: Line = GREETING,
) -> Qmp:
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server, theirs, greeting, answers)
    qmp = Qmp(ours)
    with trio.fail_after(PATIENCE_S):
        await qmp.negotiate()
    return qmp


def obedient(request: dict[str, object]) -> Sequence[Line]:
    return [
        {"event": "STOP", "data": {}},
        {"return": {"stale": True}, "id": -1},
        {"return": request.get("arguments", {}), "id": request["id"]},
        {"event": "RESUME", "data": {}},
    ]


async def test_replies_find_their_commands_between_events(nursery: trio.Nursery) -> None:
    qmp = await talking(nursery, obedient)
    assert qmp.version == (7, 2, 22)
    assert await qmp.execute("cont", a=1) == {"a": 1}
    assert (await qmp.event("RESUME"))["event"] == "RESUME"
    assert [event["event"] for event in qmp.events] == ["STOP", "STOP"]
    await qmp.aclose()


async def test_a_refusal_is_qemus_own_words(nursery: trio.Nursery) -> None:
    def answers(request: dict[str, object]) -> Sequence[Line]:
        if request["execute"] == "qmp_capabilities":
            return [{"return": {}, "id": request["id"]}]
        return [{"error": {"class": "GenericError", "desc": "no such thing"}, "id": request["id"]}]

    qmp = await talking(nursery, answers)
    with pytest.raises(GuestError, match="QEMU refused frob: no such thing"):
        await qmp.execute("frob")
    await qmp.aclose()


@pytest.mark.parametrize(
    "greeting",
    [b"garbage\n", b"[]\n", b"{}\n", b'{"QMP": 1}\n', b"\xff\n", b"[" * 100_000 + b"\n"],
)
async def test_who_does_not_greet_is_no_qemu(nursery: trio.Nursery, greeting: bytes) -> None:
    with pytest.raises(LinkError):
        await talking(nursery, obedient, greeting)
    nursery.cancel_scope.cancel()


async def test_a_closed_connection_is_a_link_error() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(LinkError):
        await Qmp(ours).negotiate()


async def test_an_endless_line_is_a_link_error(nursery: trio.Nursery) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def flood() -> None:
        while True:
            await theirs.send_all(b"x" * 65536)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(flood)
    with trio.fail_after(PATIENCE_S), pytest.raises(LinkError, match="endless"):
        await Qmp(ours).negotiate()
    nursery.cancel_scope.cancel()


async def test_a_real_qemu(tmp_path: Path) -> None:
    vm = Launch(tmp_path, tmp_path, stubs.write(tmp_path, stubs.IDLE), MEMORY_BYTES, "tcg", HELLO)
    machine = await launch(vm)
    qmp = await control(tmp_path)
    assert qmp.version >= (7, 0, 0)
    assert (await qmp.execute("query-status"))["status"] == "running"
    with pytest.raises(GuestError, match="frob"):
        await qmp.execute("frob")
    await qmp.execute("stop")
    with trio.fail_after(PATIENCE_S):
        assert (await qmp.event("STOP"))["event"] == "STOP"
    await qmp.aclose()
    await machine.kill()
    with pytest.raises(LinkError, match="does not listen"):
        await control(tmp_path)
