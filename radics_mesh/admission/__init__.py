"""How a stranger becomes a member, over TCP to the port that sessions use.

exchange   both protocols without I/O: keys, proofs, codes
tokens     the invite tokens this node has given out, durable
knocks     who knocks and waits for a person, bounded, in memory
service    the member's side: serves strangers, `approve`, `make_token`
join       the stranger's side: `join_with_token`, `knock`

    stranger                                   member
    magic, kind, key or commitment, padding →                 128 bytes
                                             ← its keys        96 bytes
    proof (token) or opening (knock)        →
                                             ← certificate chain, mesh, addresses: encrypted, and
                                               for a knock only after a person approved its code

Until the last message a stranger has got fewer bytes than it has brought, none of them private.
TCP's own handshake has proved its address (docs/decisions/0021-admission.md).
"""
