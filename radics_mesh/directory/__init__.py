"""One look-up over what this node knows and what the DHT holds.

    announce, withdraw ─▶ sign ─▶ RecordBook ─▶ DHT, again and again until withdrawn
    lookup: fresh in the book? else the DHT, else what is stale
    DHT stores, bundles, sessions ─▶ check ─▶ RecordBook ─▶ changes()

  changes     that a fact is news
  known       what this node believes, out of all that its book holds
  vms         who holds each VM, and the proofs of it that are still to be fetched
  refusals    what was not taken, counted by reason
  saved       the book on disk
  neighbours  whom a node's record names
  service     Directory: stating, asking, learning, running

The cores that need no I/O are in radics_mesh.knowledge.
"""
