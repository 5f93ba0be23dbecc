"""Bundles (RFC 5050): signed, stored, forwarded over links that come and go.

Packages, from the ground up; imports point down only (a contract in setup.cfg):

  wire      bundles as bytes: blocks, bundles, records, and content that may be in a file
  trust     who signed a bundle, who may read it
  storage   what this node holds, durable before anybody is told so
  rules     what RFC 5050 has a node decide, sans-IO: processing, fragments, reports, custody
  routes    which neighbour comes next, and which waiting bundle it takes
  handling  bundles on their way through: sent, received, delivered here, handed on, ended
  layers    links: TCPCL, UDPCL, beacons, memory, files that somebody carries

And over all of them but the last:

  agent     all of these as one: send, register, receive, contact_up
  gossip    tells neighbours what is held here, for modules that leave copies

A bundle's way: send → store (on disk) → waiting → contact → the next node's receive: parse,
verify, store, only then acknowledge → ... → endpoint's handler, remembered as delivered.
"""
