"""What the answers on the control socket look like: the shapes that `control_api.REQUESTS` names.

  mesh      nodes, sources, events, knocks, and the whole status
  vms       virtual machines: state, moves, ownership, recovery
  kept      snapshots and images
  bundles   bundles in all detail, also those that somebody carries
  contacts  neighbours and contact plans

Mappings as msgpack carries them; what their values mean is said at the top of `control_api`.
"""
