"""Bundles on their way through this node; the agent's parts (radics_mesh.dtn.agent).

  sending      what is made here;  receiving: what neighbours bring;  room: for both of them
  endpoints    local registrations and their handlers
  administration  reports and custody, told of all that happens to bundles
  contact      one neighbour, and what is in flight to it;  leaving: bundles as they go on the wire
  forwarding   contacts, several bundles in flight on each
  broken_off   what a session that ends in a bundle's middle leaves to its sender
  departures   where bundles went from here, for who asks later
  cutting      stored bundles for their links;  assembling: what came for here in pieces
  lifetimes    ends them;  summaries: what people are shown

In which one place a stored bundle is at any time: see radics_mesh.dtn.agent.
"""
