"""Decisions about bundles: admission, block flags, ages, departure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from radics_mesh.clock import Monotonic, Wall, to_dtn
from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.processing import (
    Gate,
    Refusal,
    age_on_arrival,
    depart,
    obey_flags,
    originate,
)
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import UsageError
from radics_mesh.ids import Eid
from tests.dtn.bundles import plain
from tests.dtn.world import START, HandClock, Members

MEMBERS = Members(HandClock())
A, B = MEMBERS.me("a"), MEMBERS.me("b")
NOW = Monotonic(50.0)
IBR = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("echo",))


def made(**changes: int) -> Bundle:
    options = {"lifetime_s": 60, "priority": 1} | changes
    return originate(
        A,
        B.node_id.service("inbox"),
        b"hello",
        source=A.identity.eid,
        stamp=(7, 9),
        lifetime_s=options["lifetime_s"],
        ownership=b"",
        priority=options["priority"],
    )


def test_what_is_made_is_admitted() -> None:
    held = Gate(B).admit(made(), A.node_id, now=NOW, wall=START)
    assert (held.signer, held.previous, held.priority) == (A.node_id, A.node_id, 1)
    assert held.deadline == NOW + 60


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        (B.identity.eid, B.identity.eid),
        (Eid("dtn:none"), A.identity.eid),
        (Eid("ipn:1.1"), A.identity.eid),
    ],
)
def test_what_cannot_be_made(destination: Eid, source: Eid) -> None:
    with pytest.raises(UsageError):
        originate(
            A,
            destination,
            b"",
            source=source,
            stamp=(1, 1),
            lifetime_s=1,
            ownership=b"",
            priority=1,
        )


@pytest.mark.parametrize(
    ("reason", "bundle"),
    [
        ("expired", depart(made(), A.identity.eid, 60_000_000)),
        ("unsigned", plain(A.identity.eid, B.identity.eid)),
        ("signature", replace(made(), lifetime_s=61)),
        ("empty", made().with_blocks((blocks.age(0),))),
    ],
)
def test_refusals(reason: str, bundle: Bundle) -> None:
    with pytest.raises(Refusal) as caught:
        Gate(B).admit(bundle, A.node_id, now=NOW, wall=START)
    assert caught.value.reason == reason


def test_foreign_peers_reach_their_services_only() -> None:
    gate = Gate(B)
    held = gate.admit(plain(destination=B.node_id.service("echo")), IBR, now=NOW, wall=START)
    assert held.signer is None
    assert held.previous is None
    for bundle, reason in (
        (plain(destination=B.node_id.service("control")), "closed"),
        (plain(destination=A.node_id.service("echo")), "closed"),
        (plain(destination=Eid("dtn://other/echo")), "closed"),
        (plain(A.identity.eid, B.node_id.service("echo")), "unsigned"),
    ):
        with pytest.raises(Refusal) as caught:
            gate.admit(bundle, IBR, now=NOW, wall=START)
        assert caught.value.reason == reason
    # A member's bundle, which it only carries.
    assert gate.admit(made(), IBR, now=NOW, wall=START).signer == A.node_id


def test_age_decides_and_the_wall_clock_only_without_it() -> None:
    created = to_dtn(Wall(START - 100))
    assert age_on_arrival(plain(created=created), START) == 100_000_000
    assert age_on_arrival(plain(created=created), Wall(0.0)) == 0
    assert age_on_arrival(plain(created=0), START) == 0
    assert age_on_arrival(plain(created=to_dtn(Wall(START + 9))), START) == 0
    with_age = plain(created=created, extra=(blocks.age(5),))
    assert age_on_arrival(with_age, START) == 5
    of_ibr = plain(created=1, extra=(Block(blocks.AGE_OF_OTHERS, 1, sdnv.encode(6)),))
    assert age_on_arrival(of_ibr, START) == 6


def test_block_flags_are_obeyed() -> None:
    must = Block(200, blocks.DELETE_BUNDLE_IF_UNPROCESSABLE, b"")
    may_go = Block(201, blocks.DISCARD_IF_UNPROCESSABLE, b"")
    stays = Block(202, blocks.IN_EVERY_FRAGMENT, b"")
    assert obey_flags(plain(extra=(must,))) is None
    obeyed = obey_flags(plain(extra=(may_go, stays)))
    assert obeyed is not None
    assert [block.kind for block in obeyed.blocks] == [202, blocks.PAYLOAD]
    assert obeyed.blocks[0].flags == blocks.IN_EVERY_FRAGMENT | blocks.FORWARDED_UNPROCESSED
    untouched = plain(extra=(blocks.age(1),))
    assert obey_flags(untouched) is untouched
    bundle = sign(plain(A.identity.eid, extra=(must,)), A.identity, A.chain)
    assert Gate(B).judge(bundle.encode(), A.node_id, now=NOW, wall=START).deleted
    lighter = sign(plain(A.identity.eid, extra=(may_go,)), A.identity, A.chain)
    judged = Gate(B).judge(lighter.encode(), A.node_id, now=NOW, wall=START)
    assert not judged.deleted
    assert Bundle.parse(judged.raw).block(201) is None


def test_departure_says_who_and_how_old() -> None:
    first = depart(made(), A.identity.eid, 5)
    second = depart(Bundle.parse(first.encode()), B.identity.eid, 10)
    kinds = [block.kind for block in second.blocks]
    signed = blocks.INTEGRITY, blocks.CHAIN, blocks.PAYLOAD
    assert kinds == [blocks.PREVIOUS_HOP, blocks.AGE, *signed]
    assert blocks.read_previous_hop(second.blocks[0]) == B.identity.eid
    assert second.age_us == 10
    assert Gate(B).admit(second, A.node_id, now=NOW, wall=START).age_us == 10


def test_departure_replaces_the_age_of_others_and_keeps_what_is_after_the_payload() -> None:
    of_ibr = Block(blocks.AGE_OF_OTHERS, 1, sdnv.encode(6))
    custody = Block(blocks.AGE_OF_OTHERS, 0, b"\x05ipn:1.0")
    payload = Block(blocks.PAYLOAD, 0, b"x")
    after = Block(200, 0, b"after")
    bundle = plain().with_blocks((of_ibr, custody, payload, after))
    left = depart(bundle, A.identity.eid, 7)
    assert left.age_us == 7
    kinds = [block.kind for block in left.blocks]
    assert kinds == [blocks.PREVIOUS_HOP, blocks.AGE, blocks.AGE_OF_OTHERS, blocks.PAYLOAD, 200]
