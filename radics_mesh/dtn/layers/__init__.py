"""Links to neighbours. How to add one: docs/convergence-layers.md.

  tcpcl_wire   TCP convergence layer (RFC 7242): its messages
  tcpcl        one session of it, sans-IO;  tcpcl_sending, tcpcl_receiving: its halves;
               tcpcl_events: what it tells
  tcpcl_session  its Trio shell;  tcpcl_taking: what that does with bundles that come in
  parts        what has come of a bundle, kept for when its session breaks off
  dialling     where somebody may be, and when to try again;  dialler: does that for everybody
  doors        where peers come in, and as whom
  lines        which of two sessions with one peer stays
  contacts     the service that dials, listens and keeps one session a neighbour
  udpcl        UDP convergence layer (RFC 7122): a bundle a datagram, for foreign peers
  memory_layer the same between agents of one process, for simulations: delay, rate, loss, schedule
  ipnd         discovery beacons on the wire;  heard: what they are worth, sans-IO
  discovery    their sockets;  interfaces: the links of this machine
  carried      bundles as files that somebody carries: names, receipts, sans-IO
  stick        such a directory, its files;  carrier: writes and takes them, watches for sticks

A layer tells the agent who is in reach and hands it what comes; it decides nothing about bundles.
"""
