"""Kademlia on Trio: who publishes a source, runs a VM, holds an image.

The package `kademlia` (and below it `rpcudp`), made Trio-native by subclassing; no asyncio loop
runs. On the wire it is stock Kademlia, so that a stock node can talk to it where nothing is sealed.

  rpc        datagrams to messages and back, node lists: sans-IO, for bytes from anybody
  proofs     who answers: a member, under its own id; sans-IO
  checks     whether somebody is at an address before it is given more than it brought; sans-IO
  limits     how much others may ask of this node; sans-IO
  table      the routing table: exactly the k closest, and contacts that fail are doubted
  contacts   whom the table takes in and puts out, and what makes it believe so
  homes      where else nodes are; sans-IO
  witnesses  as whom others see this node; sans-IO
  store      what this node holds for others: checked, merged by publisher, bounded; sans-IO
  calls      calls with retransmission, and whom to leave alone for a while
  protocol   the answers to others' calls, and this node's own
  frontier   whom a look-up asks next, and whose word it takes; sans-IO
  crawl      look-ups: the k closest nodes, or what three holders say of a key
  merge      the best of what several holders say of a key; sans-IO
  peers      addresses that outlive partitions and restarts
  server     the service: put, get, run

A datagram names its sender but proves nothing (the mesh key shows that some member sent it). So
nothing is believed for having come from somewhere: a contact counts when it has answered and proved
its id (docs/decisions/0083-hostile-members.md), a value when `store.Contents`, given by
radics_mesh.directory, says that its signature or its hash holds for its key.
"""
