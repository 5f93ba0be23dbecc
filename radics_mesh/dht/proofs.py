"""Who answers: a member, and the one whose id it bears.

An id says where in the mesh a node's keys lie, so whoever could choose ids could sit around any
key. Therefore a node counts, in the table and among a key's holders, only once an answer of it was
signed by the key that its id is the hash of, and a chain of membership came with it. The signature
covers the answer and the message id in it, 20 random bytes of the caller's: none can be replayed.

A member can still pass calls on to another one and its answers back, and so seem to be it for as
long as it does; it learns and alters nothing by that, and could as well answer itself.

Wire form, after an answer: msgpack [chain, signature].
"""

from __future__ import annotations

from radics_mesh.codec import Fields, pack
from radics_mesh.dht.rpc import DATAGRAM_MAX_BYTES, Answer
from radics_mesh.identity import SIGNATURE_BYTES, verify
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.membership import CHAIN_MAX_BYTES

CONTEXT = "dht answer"


def prove(me: Me, answer: bytes) -> bytes:
    """The answer with its proof."""
    return answer + pack([me.chain, me.identity.sign(CONTEXT, answer)])


def prover(me: Me, answer: Answer) -> NodeId:
    """Which member answered; WireError or PeerError when that is not proved."""
    fields = Fields.parse(answer.proof, "proof", limit_bytes=DATAGRAM_MAX_BYTES)
    chain, signature = fields.blob(limit=CHAIN_MAX_BYTES), fields.blob(SIGNATURE_BYTES)
    fields.end()
    public = me.verifier.member(chain, me.clock.wall()).public
    verify(public, CONTEXT, answer.signed, signature)
    return NodeId.of_key(public)
