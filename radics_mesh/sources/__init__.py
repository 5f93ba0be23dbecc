"""Named append-only data sources, and what their subscribers have got so far.

A source is a sequence of messages numbered from 1, published by one node; message n is the same
bytes for everyone and for ever. Whoever subscribes gets them from its own cursor on, in order,
without gap or repeat, over moves, partitions and restarts.

  log          a file's lines as the numbered messages, checked for change
  ledger       what survives a power cut: publications, cursors, fences (SQLite)
  publication  sans-IO core of the publishing side: pace, back-pressure, fences, credit
  reception    sans-IO core of the subscribing side: order, asking again, acknowledging
  messages     the wire forms that travel between nodes' `sources` services, in bundles
  meter        bytes a second, smoothed
  bell         waking whoever waits for a change
  feed         what a subscriber holds: one interface over a local and a remote source
  publisher    Trio shell of one published source: sends what is due
  publications Trio shell of all that this node publishes: publishing, restoring, announcing
  scribe       the ledger from Trio
  service      Trio shell: the whole, over a DTN agent and the directory

What flows: file -> log -> publication -> (DATA bundle -> reception | nothing) -> feed -> guest,
and acknowledgements the other way, which give the publisher credit for more.
"""
