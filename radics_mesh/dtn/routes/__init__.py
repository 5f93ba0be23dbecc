"""Ways to choose next hops: one interface, chosen by configuration and by endpoint.

  module      the interface; modules that decide by target only
  routing     link state and fixed routes
  digests     how bundles are named in what neighbours tell each other
  neighbours  what neighbours hold, and what is known to have been delivered
  direct      to the destination's own node, nowhere else
  spreading   what those with several copies have in common
  epidemic    a copy to everybody who has none
  spray       a bounded number of copies, half of them handed on at each meeting
  prophet     a copy to whoever meets the destination more often (RFC 6693)
  kept        its table, over a restart
  contact_plan  scheduled contacts, from a file;  planned: earliest arrival over them
  messages    what neighbours tell each other
  table       which module for which endpoint;  choice: made from the configuration
  allotted    how many copies are left, on disk
  waiting     which waiting bundle a contact takes next: modules that decide by target are asked
              once for all bundles to it
  spread      what waits of the other modules, which are asked once a bundle

Sans-IO, all but `allotted`; time is `now`. radics_mesh.dtn.gossip sends and takes the messages.
"""
