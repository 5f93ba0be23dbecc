"""Bundles (RFC 5050): signed, stored, forwarded over links that come and go.

  sdnv         the numbers that everything below is written in
  blocks       blocks after the primary one; dictionary and CBHE; previous hop, Age
  bundle       the primary block, a whole bundle, its identity
  security     who signed it: a Payload Integrity Block with Ed25519ph
  security_block  the form of security blocks (RFC 6257)
  confidentiality  payloads that only the destination node reads;  scratch: files without names
  chains       what proves a signer: beside the bundle, or left out where it is known
  processing   decisions, sans-IO: what is made, admitted, changed when it leaves, delivered
  admin_records  status reports and custody signals as bytes
  reports      which of them to make;  custody: who answers for a bundle, timers, retransmission
  coverage     which bytes of a whole are there
  fragments    cutting and joining;  reassembly: which fragments make a whole
  groups       bundles for many: who here is still to have a copy
  held         one stored bundle's index entry;  ages: made from a row, and a row from it
  index        what is held: the first of each queue in memory, the rest in the backlog (on disk)
  content      bytes that may be in a file;  spool: a large bundle on its way into one
  database     the store's files;  commits: group commit
  salvage      opening damaged ones;  carving: rows to which no index leads any more
  quotas       how much the store may hold, of whom;  eviction: who goes for whom when it is full
  filter       a quick "certainly not" before the database is asked
  store        what this node holds, durable before anybody is told so
  routing      which neighbour leads to a node: link state or fixed routes
  routes       other ways, and which of all is for which endpoint (a package; see there)
  waiting      which waiting bundle a contact takes next, sans-IO
  spread       what waits of modules that decide bundle by bundle, sans-IO
  contact      one neighbour, and what is in flight to it;  leaving: bundles as they go on the wire
  forwarding   contacts, several bundles in flight on each
  departures   where bundles went from here, for who asks later
  gossip       tells neighbours what is held here, for modules that leave copies
  endpoints    local registrations and their handlers
  administration  reports and custody, told of all that happens to bundles
  cutting      stored bundles for their links;  assembling: what came for here in pieces
  offload      large bundles are worked on in a thread
  sending      what is made here;  receiving: what neighbours bring;  room: for both of them
  lifetimes    ends them;  summaries: what people are shown
  agent        all of these as one: send, register, receive, contact_up
  tcpcl_wire   TCP convergence layer (RFC 7242): its messages
  tcpcl        one session of it, sans-IO;  tcpcl_sending, tcpcl_receiving: its halves;
               tcpcl_events: what it tells;  tcpcl_session: its Trio shell
  parts        what has come of a bundle, kept for when its session breaks off
  broken_off   what a session that ends in a bundle's middle leaves to its sender
  dialling     whom to dial and when again;  doors: where peers come in, and as whom
  lines        which of two sessions with one peer stays
  contacts     the service that dials, listens and keeps one session a neighbour
  udpcl        UDP convergence layer (RFC 7122): a bundle a datagram, for foreign peers
  memory_layer the same between agents of one process, for simulations: delay, rate, loss, schedule
  ipnd         discovery beacons on the wire;  heard: what they are worth, sans-IO
  discovery    their sockets;  interfaces: the links of this machine
  carried      bundles as files that somebody carries: names, receipts, sans-IO
  stick        such a directory, its files;  carrier: writes and takes them, watches for sticks

A bundle's way: send → store (on disk) → waiting → contact → the next node's receive: parse,
verify, store, only then acknowledge → ... → endpoint's handler, remembered as delivered.
"""
