"""What becomes of a bundle with each neighbour, in words for people."""

from __future__ import annotations

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.agent import Agent, Contact
from radics_mesh.dtn.storage.held import Held
from radics_mesh.wording import duration

NEXT = "takes it next"
FLYING = "is being given it"
REFUSED = "has refused it"
FULL = "is full"
NOWHERE = "leads nowhere"


def verdict(agent: Agent, contact: Contact, held: Held, now: Monotonic) -> str:
    """Begins with one of the words above; details come after a semicolon."""
    if held in contact.in_flight:
        return FLYING
    if held in contact.refused:
        return REFUSED
    if not agent.leads(held, contact.peer):
        return NOWHERE
    left_s = contact.rest_until - now
    return f"{FULL}; asked again in {duration(left_s)}" if left_s > 0 else NEXT
