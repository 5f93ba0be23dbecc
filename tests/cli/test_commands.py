"""The command line as its users run it: real processes against a real control socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.control import SOCKET_NAME, Answer, ControlServer
from radics_mesh.control_api import REQUESTS
from radics_mesh.errors import UsageError
from tests import answers
from tests.patience import PATIENCE_S

Done = subprocess.CompletedProcess[bytes]


async def radics(*arguments: str, state: Path, stdin: bytes = b"", **extra: str) -> Done:
    environment = {**os.environ, "RADICS_STATE": str(state), "RADICS_DEBUG": "", **extra}
    return await trio.run_process(
        [sys.executable, "-m", "radics_mesh", *arguments],
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=environment,
    )


@asynccontextmanager
async def node(state: Path, **handlers: Any) -> AsyncIterator[ControlServer]:
    """A control server that answers as a node would, with the given handlers."""
    server = ControlServer(state / SOCKET_NAME)
    for name, handler in handlers.items():
        server.handle(name, handler)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server
            nursery.cancel_scope.cancel()


def answering(answer: Answer, seen: dict[str, Any] | None = None) -> Any:
    async def handler(**params: Any) -> Answer:
        if seen is not None:
            seen.update(params)
        return answer

    return handler


def error_line(done: Done) -> str:
    """The one line on stderr of a command that failed."""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, done.stderr.decode()
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["ps"], 1, "no node runs here"),
        (["dance"], 2, "No such command 'dance'"),
        (["run", "missing.img", "--name", "x"], 2, "'missing.img' does not exist"),
        (["build", "missing.cpp", "-o", "x.img"], 2, "'missing.cpp' does not exist"),
        (["join", "--listen", "nonsense:port"], 1, "not an address: nonsense:port"),
        (["join", "--foreign", "ipn:5.0"], 1, "not a foreign peer: ipn:5.0"),
        (["migrate", "x"], 2, "give --to NODE or --near SOURCE"),
        (["migrate", "x", "--cancel", "--to", "barn"], 2, "--cancel goes alone"),
        (["migrate", "x", "--to", "y", "--limit", "fast"], 2, "is no rate: a number, with one of"),
        (["send", "mill/inbox", "missing.bin"], 2, "missing.bin"),
        (["ps", "--state", ""], 2, "an empty name"),
        (["ps", "--state", "~no.such.user/x"], 2, "no such user"),
        (["recv", "x", "--timeout", "nan"], 2, "no finite number"),
        (["invite", "--hours", "nan"], 2, "no finite number"),
        (["publish", "x", "--file", "/dev/null", "--rate", "1e300"], 2, "not in the range"),
        (["build", "/dev/null", "-o", ""], 2, "an empty name"),
        (["build", "/dev/null", "-o", "/no/such/x.img"], 2, "there is no directory /no/such"),
        (["join", "--bootstrap", ""], 1, "not an address"),
        (["join", "--name", "a/b"], 1, "not a node's name: 'a/b'"),
        (["join", "--guest-memory", "99999999999"], 2, "not in the range"),
        (["join", "--foreign", "ipn:5.0=h:0:x"], 1, "give --foreign-listen"),
    ],
)
async def test_a_mistake_is_one_line(
    arguments: list[str], status: int, says: str, tmp_path: Path
) -> None:
    done = await radics(*arguments, state=tmp_path)
    assert says in error_line(done)
    assert (done.returncode, done.stdout) == (status, b"")


async def test_a_compile_error_shows_the_compilers_words_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.cpp").write_text("int main() { return nothing; }\n")
    done = await radics("build", str(tmp_path / "bad.cpp"), "-o", "x.img", state=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert any("bad.cpp:1:21: error:" in line for line in lines)
    assert lines[-1] == "error: compiling bad.cpp failed"
    assert b"Traceback" not in done.stderr
    assert done.returncode == 1


async def test_the_nodes_refusal_is_one_line(tmp_path: Path) -> None:
    async def stop(name: str) -> Answer:
        raise UsageError(f"no VM is called {name};\n`ps` lists them")

    async with node(tmp_path, stop=stop):
        done = await radics("stop", "counter", state=tmp_path)
    assert error_line(done) == "error: no VM is called counter; `ps` lists them"
    assert done.returncode == 1


async def test_a_bug_is_one_line_and_a_traceback_only_on_demand(tmp_path: Path) -> None:
    async with node(tmp_path, ps=answering({})):
        done = await radics("ps", state=tmp_path)
        debugged = await radics("--debug", "ps", state=tmp_path)
    assert "a bug in radics_mesh: KeyError" in error_line(done)
    assert "RADICS_DEBUG=1" in error_line(done)
    assert done.returncode != 0
    assert b"Traceback" in debugged.stderr


async def test_what_msgpack_cannot_say_is_one_line(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff")
    async with node(tmp_path, stop=answering({}), send=answering({})):
        done = await radics("stop", name, state=tmp_path)
        huge = await radics("send", "a/b", "--lifetime", "9" * 30, state=tmp_path)
    assert error_line(done) == "error: '\\udcff' is not UTF-8 text"
    assert error_line(huge) == "error: a number is too large: 64 bits are taken"


async def test_ps_is_plain_text_without_a_terminal(tmp_path: Path) -> None:
    rows = [answers.vm("wordcount"), answers.vm("a\x1b[2Jb", status=3, state="exited")]
    async with node(tmp_path, ps=answering({"vms": rows})):
        done = await radics("ps", state=tmp_path)
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == [
        *("VM", "STATE", "NODE", "EPOCH", "MEMORY", "SOURCES", "IN", "MOVES", "UP", "NOTE")
    ]
    assert lines[1].startswith("wordcount  running     barn  2      64 MiB  camera/door  41 kB/s")
    assert "exited (3)" in lines[2]
    assert b"\x1b" not in done.stdout


async def test_status_as_text_and_as_json(tmp_path: Path) -> None:
    async with node(tmp_path, status=answering(dict(answers.status()))):
        text = await radics("status", state=tmp_path)
        as_json = await radics("status", "--json", state=tmp_path)
    assert json.loads(as_json.stdout) == answers.status()
    for word in ("barn  mesh mmmmmmmm  up 60 min", "tower", "wordcount", "event 29", "received 12"):
        assert word in text.stdout.decode()


async def test_run_passes_everything_on(tmp_path: Path) -> None:
    image, seen = tmp_path / "prog.img", dict[str, Any]()
    image.write_bytes(b"image")
    async with node(tmp_path, run=answering({"vm": answers.vm("wc")}, seen)):
        done = await radics(
            *("run", str(image), "--name", "wc", "--source", "a", "--source", "b", "--memory"),
            *("32", "--pin", "--env", "A=1", "--env", "B=", "--checkpoint-every", "5min"),
            *("--commit", "output", "--restart", "on-failure:3", "--cpu", "50%", "--messages", "9"),
            *("--storage", "8", "--policy", "restartable:60", "--keep-at", "mill"),
            *("--", "--verbose", "x"),
            state=tmp_path,
        )
    assert done.stdout == b"wc (vvvvvvvv) is running on barn\n"
    assert seen == {
        "image": str(image),
        "name": "wc",
        "sources": ["a", "b"],
        "memory_bytes": 32 << 20,
        "pin": True,
        "arguments": ["--verbose", "x"],
        "environment": ["A=1", "B="],
        "stdin": False,
        "checkpoint_every_s": 300.0,
        "commit_output": True,
        "restart": "on-failure:3",
        "cpu_percent": 50,
        "messages_s": 9,
        "storage_bytes": 8 << 20,
        "policy": "restartable:60",
        "keep_at": ["mill"],
        "count": 1,
    }


async def test_run_feeds_a_file_and_then_ends_the_input(tmp_path: Path) -> None:
    image, fed = tmp_path / "prog.img", list[tuple[bytes, bool]]()
    image.write_bytes(b"image")
    text = bytes(range(256)) * 600

    async def feed(name: str, data: bytes, end: bool) -> Answer:
        fed.append((data, end))
        return {"name": name}

    seen: dict[str, Any] = {}
    async with node(tmp_path, run=answering({"vm": answers.vm("wc")}, seen), feed=feed):
        await radics("run", str(image), "--name", "wc", "--stdin", "-", state=tmp_path, stdin=text)
        assert seen["stdin"]
        assert b"".join(data for data, _ in fed) == text
        assert [end for _, end in fed] == [False] * (len(fed) - 1) + [True]
        fed.clear()
        await radics("feed", "wc", state=tmp_path, stdin=b"more")
        assert fed == [(b"more", False)]


async def test_request_prints_the_reply(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    reply = {"id": "b1", "source": "dtn://x/", "signer": None, "payload": b"pong"}
    async with node(tmp_path, request=answering(reply, seen)):
        done = await radics("request", "vm/echo", "--timeout", "5", state=tmp_path, stdin=b"ping")
    assert done.stdout == b"pong\n"
    assert seen == {"destination": "vm/echo", "payload": b"ping", "timeout_s": 5.0}


async def test_send_takes_standard_input_byte_for_byte(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    async with node(tmp_path, send=answering({"id": "b1"}, seen)):
        done = await radics("send", "mill/inbox", state=tmp_path, stdin=b"\x00\xff\n")
    assert done.stdout == b"b1\n"
    given = {"destination": "mill/inbox", "payload": b"\x00\xff\n"}
    assert seen == {**REQUESTS["send"].defaults, **given}


async def test_send_gives_a_file_by_its_name_and_spools_what_is_large(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    got: list[tuple[bytes, bytes]] = []

    async def send(payload: bytes, file: str, **others: object) -> Answer:
        got.append((payload, Path(file).read_bytes()))
        return {"id": f"b{len(got)}"}

    large = os.urandom(3 << 20)
    async with node(tmp_path, send=send):
        named = await radics("send", "mill/inbox", str(file), state=tmp_path)
        spooled = await radics("send", "mill/inbox", state=tmp_path, stdin=large)
    assert (named.stdout, spooled.stdout) == (b"b1\n", b"b2\n")
    assert got == [(b"", b"content"), (b"", large)]
    assert not list(tmp_path.glob("sending-*"))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([("C", "received", ""), ("C", "delivered", "")], None),
        ([("B", "deleted", "its lifetime ended")], "error: B has deleted it: its lifetime ended"),
        ([("B", "forwarded", "")], "error: nobody has told within 300 s that it was delivered"),
    ],
)
async def test_send_waits_for_what_becomes_of_it(
    tmp_path: Path, told: list[tuple[str, str, str]], said: str | None
) -> None:
    seen: dict[str, Any] = {}

    async def track(id: str) -> AsyncGenerator[Answer, None]:
        for who, what, reason in told:
            yield {"node": who, "what": what, "reason": reason, "at": None, "fragment": None}

    async with node(tmp_path, send=answering({"id": "b1"}, seen)) as server:
        server.handle_stream("track", track)
        words = ("send", "a/b", "--wait", "--timeout", "300", "--json")
        done = await radics(*words, state=tmp_path)
    assert [row["what"] for row in json.loads(done.stdout)["sightings"]] == [t[1] for t in told]
    assert done.returncode == (said is not None)
    assert said is None or error_line(done) == said
    assert seen["report"] == ["deleted", "delivered"]


async def test_a_large_payload_comes_in_parts(tmp_path: Path) -> None:
    parts = (b"one ", b"two ", b"three")

    async def recv(service: str, count: int | None) -> AsyncGenerator[Answer, None]:
        offset = 0
        for part in parts:
            total = sum(map(len, parts))
            yield {"id": "b1", "source": "s", "payload": part, "offset": offset, "total": total}
            offset += len(part)

    async with node(tmp_path) as server:
        server.handle_stream("recv", recv)
        plain = await radics("recv", "inbox", state=tmp_path)
        as_json = await radics("recv", "inbox", "--json", state=tmp_path)
    assert plain.stdout == b"one two three\n"
    assert [json.loads(line)["payload"] for line in as_json.stdout.splitlines()] == [
        "one two three"
    ]


async def test_any_command_prints_its_answer_as_json(tmp_path: Path) -> None:
    status = answers.status()
    verdict = {"snapshot": {"vm": "x"}, "damage": ["page 3"]}
    cases: dict[tuple[str, ...], tuple[object, int]] = {
        ("nodes",): ({"nodes": status["nodes"]}, 0),
        ("ps",): ({"vms": status["vms"]}, 0),
        ("bundles",): ({"bundles": [], "counts": status["bundles"]}, 0),
        ("contacts",): ({"contacts": []}, 0),
        ("bundles", "why", "dtn://x/", "1.2"): ({"id": "dtn://x/ 1.2"}, 0),
        ("snapshots", "verify"): ({"verdicts": [verdict]}, 1),
    }
    names = ("nodes", "ps", "bundles", "contacts", "bundle_why", "snapshot_verify")
    answered = {
        name: answering(answer)  # type: ignore[arg-type]
        for name, (answer, _) in zip(names, cases.values(), strict=True)
    }
    async with node(tmp_path, **answered):
        for arguments, (answer, code) in cases.items():
            done = await radics(*arguments, "--json", state=tmp_path)
            assert json.loads(done.stdout) == answer
            assert (done.returncode, done.stderr) == (code, b"")


async def test_recv_prints_and_only_then_takes(tmp_path: Path) -> None:
    taken = []

    async def recv(service: str, count: int | None) -> AsyncGenerator[Answer, None]:
        for payload in (b"text", b"\xff"):
            yield {"id": "b1", "source": "dtn://x/", "signer": None, "payload": payload}
            taken.append(payload)

    async with node(tmp_path) as server:
        server.handle_stream("recv", recv)
        plain = await radics("recv", "inbox", state=tmp_path)
        as_json = await radics("recv", "inbox", "--json", state=tmp_path)
    assert plain.stdout == b"text\n\xff\n"
    documents = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [d.get("payload") for d in documents] == ["text", None]
    assert documents[1]["payload_base64"] == "/w=="
    assert taken == [b"text", b"\xff"] * 2


async def test_recv_gives_up_after_its_timeout(tmp_path: Path) -> None:
    async def recv(service: str, count: int | None) -> AsyncGenerator[Answer, None]:
        await trio.Event().wait()
        yield {}

    async with node(tmp_path) as server:
        server.handle_stream("recv", recv)
        done = await radics("recv", "x", "--count", "1", "--timeout", "0.1", state=tmp_path)
    assert error_line(done) == "error: 0 of 1 bundles arrived within 0.1 s"
    assert done.returncode == 1


async def test_logs_are_the_guests_bytes(tmp_path: Path) -> None:
    async def logs(name: str, follow: bool) -> AsyncGenerator[Answer, None]:
        yield {"data": b"one\n\xfe"}
        yield {"data": b"two"}

    async with node(tmp_path) as server:
        server.handle_stream("logs", logs)
        done = await radics("logs", "wc", state=tmp_path)
    assert done.stdout == b"one\n\xfetwo"


async def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    async def logs(name: str, follow: bool) -> AsyncGenerator[Answer, None]:
        while True:
            yield {"data": b"x" * 65536}

    async with node(tmp_path) as server:
        server.handle_stream("logs", logs)
        command = f"{sys.executable} -m radics_mesh logs wc -f --state {tmp_path} | head -c 3"
        done = await trio.run_process(
            ["sh", "-c", command], capture_stdout=True, capture_stderr=True
        )
    assert (done.stdout, done.stderr) == (b"xxx", b"")


async def test_the_other_commands_word_their_answers(tmp_path: Path) -> None:
    moved = {
        **{"name": "wc", "source": "barn", "target": "mill", "epoch": 3},
        **{"bytes": 1_200_000, "downtime_s": 0.0874},
    }
    chain = [
        {"epoch": 1, "holder": "barn", "snapshot": None, "how": "born"},
        {"epoch": 65536, "holder": "mill", "snapshot": "s" * 52, "how": "forced"},
    ]
    whereabouts = {
        **{"name": "wc", "id": "v" * 32, "node": "mill", "state": "running"},
        **{"age_s": 4.0, "stale": False, "chain": chain, "policy": "restartable:60"},
    }
    invitation = {"token": "radics1-x", "uses": 1, "expires": 0.0, "addresses": ["[::1]:5050"]}
    cases = {
        ("migrate", "wc", "--to", "mill"): b"wc: barn -> mill, epoch 3, 1.2 MB, down 87 ms\n",
        ("where", "wc"): b"wc: running on mill (4 s ago), restartable:60\n  epoch 1  barn  born\n"
        b"  epoch 65536  mill  from snapshot ssssssssssssssss, forced\n",
        ("why", "wc"): b"stays: nothing is nearer\n",
        ("approve", "12-34"): b"mill is a member now (nnnnnnnn)\n",
        ("invite",): b"radics1-x\n",
        ("bundles",): (
            b"stored 2, 4.1 kB of 1.1 GB\n"
            b"sent 0, received 12\nforwarded 7, delivered 0\nrefused 0\n"
        ),
    }
    async with node(
        tmp_path,
        migrate=answering(moved),
        where=answering(whereabouts),
        why=answering({"name": "wc", "lines": ["stays: nothing is nearer"]}),
        approve=answering({"name": "mill", "id": "n" * 32}),
        invite=answering(invitation),
        bundles=answering({"bundles": [], "counts": dict(answers.status()["bundles"])}),
    ):
        for arguments, expected in cases.items():
            done = await radics(*arguments, state=tmp_path)
            assert (done.stdout, done.returncode) == (expected, 0), arguments
