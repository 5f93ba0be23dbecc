"""A data mule: A and C are never up at the same time, M meets one after the other."""

from __future__ import annotations

import trio

from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows, receive
from tests.patience import PATIENCE_S

EVERYWHERE = ("--route", "*=epidemic")


async def counted(peer: Peer, name: str) -> int | None:
    """How often `peer` has counted something; None while it is never."""
    counters = (await peer.call("status"))["bundles"]["counters"]
    return int(counters.get(name, 0)) or None


async def asking_for_custody(peer: Peer) -> list[str]:
    """The identities of the data that a peer holds, reports and signals left out."""
    found = []
    for row in (await peer.call("bundles"))["bundles"]:
        shown = await peer.call("bundle", id=row["id"])
        if "custody" in shown["asks"]:
            found.append(str(row["id"]))
    return found


async def test_a_mule_between_two_that_never_meet(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        a, mule, c = make_peer("A"), make_peer("M"), make_peer("C")
        await mule.start(*EVERYWHERE, "--neighbours", a.address, "--neighbours", c.address)
        token = (await mule.call("invite", uses=2, hours=1.0))["token"]

        await c.start(*EVERYWHERE, "--invite", token, "--neighbours", mule.address)
        await knows(mule, "C", connected=True)
        c.stop()

        await a.start(*EVERYWHERE, "--invite", token, "--neighbours", mule.address)
        await knows(a, "C")
        sent = await a.call(
            "send", destination="C/mail", payload=b"by mule", custody=True, report=["delivered"]
        )
        # A is rid of it before C exists for it: M answers for it now.
        assert await until(lambda: counted(a, "custody_released")) == 1
        assert await asking_for_custody(a) == []
        a.stop()
        mule.sigkill()  # nor does that lose it
        await mule.start()
        assert await asking_for_custody(mule) == [sent["id"]]

        await c.start()
        (item,) = await receive(c, "mail", 1)
        assert (item["id"], item["payload"]) == (sent["id"], b"by mule")
        await until(lambda: counted(mule, "custody_released"))
        assert await asking_for_custody(mule) == []
        c.stop()

        await a.start()

        async def delivered() -> str | None:
            seen = (await a.call("path", id=sent["id"]))["sightings"]
            return seen[-1]["node"] if seen and seen[-1]["what"] == "delivered" else None

        assert await until(delivered) == "C"
