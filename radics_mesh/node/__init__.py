"""The composition root: everything above is made, wired and run here, in one nursery.

run        from a Config to a running peer: open the state, enter the mesh, start the services
state      the state directory: the key, the mesh, the chain, the lock
joining    how this node becomes a member: found a mesh, a token, a knock, or it is one already;
           founding
services   makes the services and tells them of each other
facts      what this node says about itself: load, capacity, neighbours;  own_record: and when
others     what the other nodes' records lead to here;  names: what people call them
requests   what the control socket answers
rows       nodes, sources, bundles, knocks as its answers show them;  vm_rows: VMs
recovery_requests, ...  more of the answers, by subject
bundle_rows  bundles and contacts in full, and why a bundle is where it is;  verdicts
sightings  what status reports have told;  contact_log: contacts, and those that were
plans      what contact plans say of this node
policing   policy.toml: read, and read again;  renewing: certificates, before they end
timing     what the wall clock is worth, and what the others say
echo       the service that every node has, for `ping`
replicas   stateless VMs of one name on several nodes
addressees whom people mean by NAME/SERVICE
journal    what happened here lately
"""
