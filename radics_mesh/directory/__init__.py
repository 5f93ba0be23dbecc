"""One look-up over what this node knows and what the DHT holds.

    announce, withdraw ─▶ sign ─▶ RecordBook ─▶ DHT, again and again until withdrawn
    lookup: in the book and young? else ask the DHT, then the book, stale ones too
    search: index records, directory by directory, then a look-up of each name
    DHT stores, gossip, bundles, sessions ─▶ check ─▶ RecordBook ─▶ changes(), watch()

  changes     that a fact is news
  known       what this node believes, out of all that its book holds, and how old and stale it is
  stating     what this node states: spread, renewed, withdrawn, taken back when the node ends
  indexing    the index records that go with its sources and services
  search      names by their beginning, a page at a time
  watch       what a reader has not been told yet of the facts that it asked for
  vms         who holds each VM, and the proofs of it that are still to be fetched
  refusals    what was not taken, counted by reason
  saved       the book on disk
  neighbours  whom a node's record names
  service     Directory: all of these, asking, learning, running

The cores that need no I/O are in radics_mesh.knowledge.
"""
